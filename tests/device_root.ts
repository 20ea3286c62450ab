/** The folder of a device that runs under `--root`: accounts with homes, and what is below. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { selfProgram } from "../agent/self_program.ts";
import { runCommand } from "../platform/command.ts";
import { canExecute } from "../platform/linux/user_process.ts";
import { type CertutilState, certutilState } from "./nss_witness.ts";

/** First of the accounts' uids: above those that systems give to people. */
const FIRST_UID = 61_301;

/** Makes `root` with an account and a home for each name; without names there is nobody. */
export async function makeDeviceRoot(root: string, names: readonly string[]): Promise<void> {
  await Deno.mkdir(`${root}/etc`, { recursive: true });
  // Accounts with rights of their own must be able to pass through.
  await Deno.chmod(root, 0o711);
  const separate = await canBeOthers();
  let passwd = "";
  for (const [at, name] of names.entries()) {
    const uid = FIRST_UID + at;
    await Deno.mkdir(homeOf(root, name), { recursive: true });
    await Deno.chmod(homeOf(root, name), 0o700);
    if (separate) await Deno.chown(homeOf(root, name), uid, uid);
    passwd += `${name}:x:${uid}:${uid}::/home/${name}:/bin/sh\n`;
  }
  await Deno.writeTextFile(`${root}/etc/passwd`, passwd);
}

/** A folder of one test, through which every account may pass; removed after it. */
export async function inPassableFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  try {
    await Deno.chmod(folder, 0o711);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** An account's home. */
export function homeOf(root: string, name: string): string {
  return `${root}/home/${name}`;
}

/** The NSS database that an account's browsers use when nothing was there before. */
export function databaseOf(root: string, name: string): string {
  return `${homeOf(root, name)}/.pki/nssdb`;
}

/** What certutil tells of a database; undefined where there is none. Of the same bytes, once. */
export async function databaseState(directory: string): Promise<CertutilState | undefined> {
  return await withDatabaseCopy(directory, (copy) => {
    const bytes = ["cert9.db", "key4.db"].map((file) => Deno.readFileSync(`${copy}/${file}`));
    const hash = createHash("sha256").update(bytes[0] ?? "").update(bytes[1] ?? "").digest("hex");
    const state = told.get(hash) ?? certutilState(copy);
    told.set(hash, state);
    return state;
  });
}

const told = new Map<string, CertutilState>();

/** Looks at a copy of a database, because certutil adds a file to the one that it looks at. */
export async function withDatabaseCopy<T>(
  directory: string,
  look: (copy: string) => T,
): Promise<T | undefined> {
  const copy = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  try {
    for (const file of ["cert9.db", "key4.db"]) {
      await Deno.copyFile(`${directory}/${file}`, `${copy}/${file}`);
    }
    return look(copy);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** Whether accounts can have rights of their own: root runs this, from where others can read it. */
async function canBeOthers(): Promise<boolean> {
  if (Deno.uid() !== 0) return false;
  const { files } = selfProgram(undefined, fileURLToPath(new URL("../main.ts", import.meta.url)));
  const runAs = { uid: FIRST_UID, gid: FIRST_UID, groups: "none" } as const;
  const account = { name: "test", uid: String(FIRST_UID), home: "/", runAs };
  return await canExecute(account, files, { run: runCommand });
}
