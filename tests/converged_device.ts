/**
 * What a device that has converged is like: store, ledger, selection filter, state rows and the agent
 * server agree with each other to the last certificate and key; the store by Mozilla's own certutil.
 */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { Ledger } from "../agent/ledger.ts";
import { ledgerPath } from "../agent/ledger_file.ts";
import { State, type UserRow } from "../agent/state.ts";
import { userPaths } from "../platform/paths.ts";
import { devicePlatform } from "../platform/platform.ts";
import { databaseOf, databaseState, homeOf } from "./device_root.ts";
import { type CertutilState, makeDatabase, plantOwnThings, treeState } from "./nss_witness.ts";
import { makeThrowawayCa } from "./throwaway_ca.ts";
import type { Administration } from "./product.ts";

/** A device and its agent server, as a test sees both. */
export interface SeenDevice {
  root: string;
  deviceId: string;
  server: Pick<Administration, "admin">;
  /** What is somebody else's in the store of the account, and is to stay as it is. */
  planted?: CertutilState;
}

/** What the admin API says of a device's user, as far as it is of interest here. */
const KnownUser = z.object({
  username: z.string(),
  state: z.string().nullable(),
  leaves: z.array(z.object({ serial: z.string() })),
});
type KnownUser = z.infer<typeof KnownUser>;
const KnownDevices = z.object({
  items: z.array(z.object({ deviceId: z.string(), users: z.array(KnownUser) })),
});
const Settings = z.object({ brand: z.string(), selectionPatterns: z.array(z.string()) });

/**
 * Fails unless each of these accounts holds exactly the leaves that the agent server lists, each
 * with its key, and the two authorities; with ledger, rows and filters to match. Gives the leaves'
 * serials.
 */
export async function expectServed(
  device: SeenDevice,
  names: readonly string[],
): Promise<string[]> {
  const all: string[] = [];
  const { root, server } = device;
  const { brand, selectionPatterns } = Settings.parse(await server.admin("GET", "/settings"));
  const platform = await devicePlatform(root);
  const filters = platform.inspectFilters({ brand, patterns: selectionPatterns });
  assert.ok(filters.length > 0);
  assert.deepEqual(filters.filter(({ state }) => state !== "ok"), []);
  const known = await knownUsers(device);
  for (const name of names) {
    const user = known?.find(({ username }) => username === name);
    assert.equal(user?.state, "installed", name);
    const serials = user?.leaves.map(({ serial }) => serial).toSorted() ?? [];
    assert.ok(serials.length === 1 || serials.length === 2, `${serials.length} live leaves`);
    assert.deepEqual(await heldBy(device, name), { leaves: serials, authorities: 2 });
    const row = rowOf(device, name);
    assert.deepEqual([row?.state, row?.unreported, row?.error], ["installed", false, undefined]);
    assert.deepEqual(row?.details.held?.toSorted(), serials);
    all.push(...serials);
  }
  assert.deepEqual(halfWritten(root), []);
  return all;
}

/** Fails unless nothing is in the stores of these accounts, no filter is left, and the server knows. */
export async function expectEmpty(device: SeenDevice, names: readonly string[]): Promise<void> {
  const { root } = device;
  const known = await knownUsers(device);
  for (const name of names) {
    assert.deepEqual(await heldBy(device, name), { leaves: [], authorities: 0 });
    const user = known?.find(({ username }) => username === name);
    assert.deepEqual([user?.state, user?.leaves], ["removed", []], name);
    assert.equal(rowOf(device, name)?.unreported, false);
  }
  assert.deepEqual(policyFiles(root), []);
  assert.deepEqual(halfWritten(root), []);
}

/** Fails unless the device has left no trace but its log, and the server knows it no more. */
export async function expectLeft(device: SeenDevice, names: readonly string[]): Promise<void> {
  const { root } = device;
  assert.equal(await knownUsers(device), undefined, "the agent server knows it still");
  for (const name of names) {
    const home = homeOf(root, name);
    // Killed in its last step, a removal may leave folders that every desktop makes, empty.
    const desktop = [`${home}/.local`, `${home}/.local/state`];
    assert.deepEqual(pathsBelow(home).filter((path) => !desktop.includes(path)), []);
  }
  assert.deepEqual(policyFiles(root), []);
  const state = `${root}/var/lib/device-trust`;
  const log = /\/(state\.db(-wal|-shm)?|\w+\.lock(\.pid)?)$/;
  assert.deepEqual(pathsBelow(state).filter((path) => !log.test(path)), []);
  assert.equal(withState(device, (state) => state.device()), undefined);
}

/** Puts somebody else's key, certificate and authority into an account's store, as `planted`. */
export async function plantOthers(device: SeenDevice, name: string): Promise<void> {
  const directory = databaseOf(device.root, name);
  const { uid, gid } = Deno.statSync(homeOf(device.root, name));
  const folder = Deno.makeTempDirSync({ prefix: "device-trust-test-" });
  try {
    makeDatabase(directory);
    plantOwnThings(directory, makeThrowawayCa(folder));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  if (uid !== null && uid !== Deno.uid()) {
    const files = [...Deno.readDirSync(directory)].map((file) => `${directory}/${file.name}`);
    for (const path of [dirname(directory), directory, ...files]) Deno.chownSync(path, uid, gid);
  }
  device.planted = await databaseState(directory) ?? assert.fail("There is no database.");
}

/** What the server says of the device's users; undefined when it does not know the device. */
async function knownUsers({ deviceId, server }: SeenDevice): Promise<KnownUser[] | undefined> {
  const devices = KnownDevices.parse(await server.admin("GET", "/devices?limit=500"));
  return devices.items.find((item) => item.deviceId === deviceId)?.users;
}

/** What an account's store holds, when its ledger knows of exactly that, and every leaf has its key. */
async function heldBy({ root, planted }: SeenDevice, name: string) {
  const { trust, certificates, keys } = without(planted, await storeOf(root, name));
  const all = certificates.map((pem) => new X509Certificate(pem));
  const leaves = all.filter(({ ca }) => !ca);
  const flags = all.map(({ ca }) => ca ? ",," : "u,u,u");
  assert.deepEqual(Object.values(trust).toSorted(), flags.toSorted(), JSON.stringify(trust));
  assert.equal(keys.length, leaves.length, `keys of ${name}: ${keys.join()}`);
  const ledger = ledgerOf(root, name);
  assert.deepEqual(ledger.certificates, all.map(fingerprint).toSorted(), `ledger of ${name}`);
  assert.deepEqual(ledger.keys, leaves.map(keyHash).toSorted(), `keys in the ledger of ${name}`);
  return {
    leaves: leaves.map(({ serialNumber }) => serialNumber.toLowerCase().padStart(32, "0"))
      .toSorted(),
    authorities: all.length - leaves.length,
  };
}

/** What is in a store beside what is somebody else's, which has to be there. */
function without(planted: CertutilState | undefined, store: CertutilState): CertutilState {
  const { trust = {}, certificates = [], keys = [] } = planted ?? {};
  for (const [name, flags] of Object.entries(trust)) assert.equal(store.trust[name], flags, name);
  for (const thing of certificates) assert.ok(store.certificates.includes(thing), thing);
  for (const thing of keys) assert.ok(store.keys.includes(thing), thing);
  return {
    trust: Object.fromEntries(Object.entries(store.trust).filter(([name]) => !(name in trust))),
    certificates: store.certificates.filter((thing) => !certificates.includes(thing)),
    keys: store.keys.filter((thing) => !keys.includes(thing)),
  };
}

async function storeOf(root: string, name: string): Promise<CertutilState> {
  return await databaseState(databaseOf(root, name)) ?? { trust: {}, certificates: [], keys: [] };
}

function ledgerOf(root: string, name: string): { certificates: string[]; keys: string[] } {
  const path = ledgerPath(userPaths({ os: "linux", home: homeOf(root, name) }));
  if (!existsSync(path)) return { certificates: [], keys: [] };
  const ledger = new Ledger(path, Date.now);
  try {
    const certificates = ledger.certificates().map(({ sha256 }) => sha256);
    return { certificates: certificates.toSorted(), keys: ledger.keys().toSorted() };
  } finally {
    ledger.close();
  }
}

/**
 * Whether the agent has taken a desired state since then (local milliseconds), has each of these
 * accounts in this state, and has told the server so.
 */
export function isReported(
  device: Pick<SeenDevice, "root">,
  names: readonly string[],
  wanted: UserRow["state"],
  since: number,
): boolean {
  return withState(device, (state) => {
    const rows = state.users();
    return (state.desired()?.receivedAt ?? 0) > since && rows.length === names.length &&
      rows.every((row) => row.state === wanted && !row.unreported && !row.error);
  });
}

function rowOf(device: SeenDevice, name: string): UserRow | undefined {
  return withState(device, (state) => state.users().find(({ username }) => username === name));
}

function withState<T>({ root }: Pick<SeenDevice, "root">, look: (state: State) => T): T {
  const state = new State(`${root}/var/lib/device-trust/state.db`, Date.now);
  try {
    return look(state);
  } finally {
    state.close();
  }
}

function policyFiles(root: string): string[] {
  return pathsBelow(`${root}/etc`).filter((path) => path.endsWith("Autoselect.json"));
}

/** Files of ours that were begun and never put into their place. */
function halfWritten(root: string): string[] {
  return pathsBelow(root).filter((path) => path.endsWith(".tmp"));
}

function pathsBelow(folder: string): string[] {
  return treeState(folder).flatMap((entry) => entry.split(" ")[0] ?? []);
}

function fingerprint({ raw }: X509Certificate): string {
  return createHash("sha256").update(raw).digest("hex");
}

function keyHash({ publicKey }: X509Certificate): string {
  const spki = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("hex");
}
