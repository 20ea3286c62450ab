/** NSS databases as Mozilla's own tools see them: certutil and pk12util, and SQLite below. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Problem } from "../platform/errors.ts";
import { type NssdbStore, type OpenNssdb, openNssdb } from "../platform/linux/nssdb.ts";
import type { CreatedPath, TrustStore } from "../platform/trust_store.ts";
import { type Requirement, testWith } from "./skip.ts";
import { makeThrowawayCa, type ThrowawayCa } from "./throwaway_ca.ts";

/** What a witness wrote to standard output. */
export function run(program: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  const errors = new TextDecoder().decode(stderr);
  if (!success) throw new Error(`${program} ${args.join(" ")} failed: ${errors}`);
  return new TextDecoder().decode(stdout);
}

/** Nickname -> trust flags of every certificate, by `certutil -L`. */
export function certutilTrust(directory: string): Record<string, string> {
  const lines = run("certutil", "-L", "-d", `sql:${directory}`).split("\n").slice(4);
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^(.*\S)\s+(\S*,\S*,\S*)\s*$/.exec(line);
      return match ? [[match[1] ?? "", match[2] ?? ""]] : [];
    }),
  );
}

/** Every private key by `certutil -K`: `kind id name`. */
export function certutilKeys(directory: string): string[] {
  const args = ["-K", "-d", `sql:${directory}`];
  const { stdout, stderr } = new Deno.Command("certutil", { args }).outputSync();
  if (new TextDecoder().decode(stderr).includes("no keys found")) return [];
  return new TextDecoder().decode(stdout).split("\n")
    .flatMap((line) => /^<\s*\d+>\s*(.*\S)\s*$/.exec(line)?.[1] ?? [])
    .map((line) => line.replace(/\s+/g, " "));
}

/** How many objects of any kind a database holds. */
export function objectCount(directory: string): number {
  const count = (file: string, table: string) => {
    const database = new DatabaseSync(`${directory}/${file}`, { readOnly: true });
    try {
      return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n);
    } finally {
      database.close();
    }
  };
  return count("cert9.db", "nssPublic") + count("key4.db", "nssPrivate");
}

/** A new database with the empty password, as certutil makes it. */
export function makeDatabase(directory: string): void {
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  run("certutil", "-N", "-d", `sql:${directory}`, "--empty-password");
}

/** Puts a key and certificate of the user's own, and a trusted authority, into a database. */
export function plantOwnThings(directory: string, ca: ThrowawayCa): void {
  const database = ["-d", `sql:${directory}`];
  const file = (name: string) => `${ca.folder}/${name}`;
  ca.selfSigned("/CN=My Own CA");
  run("certutil", "-A", ...database, "-n", "My Own CA", "-t", "CT,C,", "-i", file("other.pem"));
  ca.selfSigned("/CN=My Own Certificate/O=Home");
  run(
    "openssl",
    ...["pkcs12", "-export", "-inkey", file("other.key"), "-in", file("other.pem")],
    ...["-name", "my own", "-passout", "pass:x", "-out", file("own.p12")],
  );
  run("pk12util", "-i", file("own.p12"), ...database, "-W", "x");
}

/** What certutil tells of a database. */
export interface CertutilState {
  /** Nickname -> trust flags. */
  trust: Record<string, string>;
  /** PEM. */
  certificates: string[];
  keys: string[];
}

/** All that certutil tells of a database, so that two moments can be compared. */
export function certutilState(directory: string): CertutilState {
  const trust = certutilTrust(directory);
  const certificates = Object.keys(trust).map((name) =>
    run("certutil", "-L", "-d", `sql:${directory}`, "-n", name, "-a")
  );
  return { trust, certificates, keys: certutilKeys(directory) };
}

/** Every file below a folder with its bytes' hash, links with their target, for comparison. */
export function treeState(folder: string): string[] {
  const found: string[] = [];
  const walk = (path: string) => {
    for (const entry of [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1)) {
      const child = `${path}/${entry.name}`;
      const { mode, uid } = Deno.lstatSync(child);
      const facts = `${child} ${((mode ?? 0) & 0o777).toString(8)} ${uid}`;
      if (entry.isSymlink) found.push(`${facts} -> ${Deno.readLinkSync(child)}`);
      else if (entry.isFile) found.push(`${facts} ${Deno.readFileSync(child).toBase64()}`);
      else found.push(facts);
      if (entry.isDirectory) walk(child);
    }
  };
  walk(folder);
  return found;
}

/** Fails unless `work` leaves every file below the folder byte for byte as it was. */
export async function leavesUntouched(folder: string, work: () => unknown): Promise<void> {
  const before = treeState(folder);
  await work();
  assert.deepEqual(treeState(folder), before);
}

/** A home of the moment and what a test of nssdb works with. */
export interface NssWorld {
  home: string;
  ca: ThrowawayCa;
  /** Everything that stores recorded as made, in order. */
  created: CreatedPath[];
  /** Opens the user's store; what is opened is closed after the test. */
  open(options?: Partial<OpenNssdb>): NssdbStore;
}

/** What every test of nssdb needs. */
export const NSS_WITNESSES = ["libnss3", "openssl", "certutil", "pk12util"] as const;

/** Registers a test with a home of its own; `needs` is what it needs beside the witnesses. */
export function nssTest(
  sentence: string,
  body: (world: NssWorld) => void | Promise<void>,
  needs: readonly Requirement[] = [],
): void {
  testWith([...NSS_WITNESSES, ...needs], sentence, async () => {
    const folder = Deno.makeTempDirSync({ prefix: "nssdb-" });
    const home = `${folder}/home`;
    Deno.mkdirSync(home, { mode: 0o700 });
    const created: CreatedPath[] = [];
    const stores: NssdbStore[] = [];
    const open = (options: Partial<OpenNssdb> = {}) => {
      const recordPath = (path: CreatedPath) => void created.push(path);
      const store = openNssdb({ home, recordPath, lockTimeout: 0, ...options });
      stores.push(store);
      return store;
    };
    try {
      await body({ home, ca: makeThrowawayCa(folder), created, open });
    } finally {
      for (const store of stores) store.close();
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

/** What {@link onSmallDisk} needs. */
export const MOUNTING: readonly Requirement[] = [
  "root",
  { met: Deno.uid() !== 0 || canMount(), otherwise: "this machine refuses to mount" },
];

/** A small file system of its own at a folder, for as long as `work` takes. */
export async function onSmallDisk(folder: string, work: () => Promise<void>): Promise<void> {
  run("mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", folder);
  try {
    await work();
  } finally {
    run("umount", "--lazy", folder);
  }
}

function canMount(): boolean {
  const folder = Deno.makeTempDirSync();
  try {
    run("mount", "-t", "tmpfs", "none", folder);
    run("umount", folder);
    return true;
  } catch {
    return false;
  } finally {
    Deno.removeSync(folder);
  }
}

/** Makes a key, and installs a chain for it as the user-agent does. */
export async function installBundle(store: TrustStore, ca: ThrowawayCa, name = "Leaf") {
  let key = "";
  const spki = await store.createKey("P-256", (_spki, id) => key = id);
  const leaf = ca.issue(spki, { subject: `/CN=${name}` });
  await store.install("root", ca.root);
  await store.install("leaf", leaf);
  return { key, spki, leaf, sha256: await sha256(leaf) };
}

/** Takes a bundle's parts away again, in the user-agent's order. */
export async function removeBundle(
  store: TrustStore,
  ca: ThrowawayCa,
  bundle: { key: string; sha256: string },
): Promise<void> {
  await store.removeCertificate(bundle.sha256);
  await store.removeKey(bundle.key);
  await store.removeCertificate(await sha256(ca.root));
}

/** SHA-256, lower-case hexadecimal. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes))).toHex();
}

/** For `assert.rejects` and `assert.throws`: a Problem of this code whose words match. */
export function isProblem(code: Problem["code"], words = /./): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}
