/**
 * Gathers what `doctor` judges. Nothing is changed, everything is bounded in time, and a user's
 * things are looked at by a process with that user's rights.
 */
import { toProblem } from "../platform/errors.ts";
import type { DoctorPlatform, SelfProgram } from "../platform/platform.ts";
import { type Config, readConfig } from "./config.ts";
import { LIMITS } from "./contract.ts";
import { parseDesiredState, wants } from "./desired.ts";
import { readDeviceKey } from "./device_key.ts";
import type { DeviceFacts, DoctorFacts, ServerFacts, SyncFacts } from "./doctor.ts";
import { gatherUsers, type UserQuestion } from "./doctor_user_facts.ts";
import { isClone } from "./identity.ts";
import { ledgerSummary } from "./ledger_summary.ts";
import { noAnswer, openServerClient } from "./server_client.ts";
import { type DeviceRecord, State } from "./state.ts";
import { agentRunning, readable } from "./status.ts";
import { certificateDer, sha256Hex } from "./verify.ts";

/** What gathering needs of the world. */
export interface DoctorWorld {
  platform: DoctorPlatform;
  /** This program, for processes of users. */
  program: SelfProgram;
  now: () => number;
  /** A label for a host name that no browser has met. */
  fresh: () => string;
  /** Hears what is being looked at. */
  progress: (what: string) => void;
}

/** Longest that one look may take, milliseconds. */
export const LOOK_MS = 10_000;

/** Looks at everything that the caller may see. */
export async function gatherFacts(world: DoctorWorld): Promise<DoctorFacts> {
  const { platform, now } = world;
  const { stateDir, configFile } = platform.paths;
  world.progress("the device");
  const config = tryConfig(configFile);
  const facts: DoctorFacts = {
    now: now(),
    command: platform.root === undefined ? "device-trust" : `device-trust --root ${platform.root}`,
    privileged: true,
    ...("problem" in config ? { config: config.problem } : {}),
    ...await platform.hasCertificateLibrary()
      ? {}
      : { library: "the library libnss3, which browsers keep certificates with, is missing" },
    filters: [],
    users: [],
  };
  const usable = "problem" in config ? {} : config;
  switch (readable(`${stateDir}/state.db`)) {
    case "absent":
      return facts;
    case "denied":
      return { ...facts, privileged: false, ...await ownFacts(world, usable) };
    case "yes":
      return { ...facts, ...await deviceFacts(world, usable) };
  }
}

/** What root, or the owner of a `--root`, may see: everything. */
async function deviceFacts(world: DoctorWorld, config: Config): Promise<Partial<DoctorFacts>> {
  const { platform, now } = world;
  const { stateDir } = platform.paths;
  const state = new State(`${stateDir}/state.db`, now);
  try {
    const record = state.device();
    if (!record) return {};
    const device = await describeDevice(record, world);
    const stored = state.sync();
    const desired = desiredOf(state);
    const sync: SyncFacts = {
      ...(stored.lastSync === undefined ? {} : { lastSync: stored.lastSync }),
      ...(stored.error ? { error: stored.error } : {}),
      ...("code" in desired ? { error: desired } : {}),
    };
    const agent = agentRunning(stateDir);
    const found: Partial<DoctorFacts> = { device, sync };
    found.agent = { running: agent !== undefined, ...(agent?.pid ? { pid: agent.pid } : {}) };
    if (device.deviceId === undefined || device.cloned) return found;
    world.progress("the agent server");
    found.server = await askServer(world, record, config, stored.clockOffset);
    if ("code" in desired) return found;
    found.desired = { enabled: desired.distribution.enabled };
    const { brand, selection, users } = desired;
    const rows = state.users();
    if (desired.distribution.enabled && rows.length > 0) {
      found.filters = platform.inspectFilters({ brand, patterns: selection.patterns });
    }
    const questions = rows.map((row): UserQuestion => {
      const user = users.find(({ userId }) => userId === row.userId);
      return {
        username: row.username,
        row,
        wanted: wants(desired, user, record.leaving),
        ...(user ? { email: user.email } : {}),
      };
    });
    const trust = { ...(record.serverCa ? { serverCa: record.serverCa } : {}) };
    found.users = await gatherUsers(world, questions, selection.patterns, trust);
    return found;
  } finally {
    state.close();
  }
}

/** What a managed user may see without root's rights: the user's own line, by the own ledger. */
async function ownFacts(world: DoctorWorld, config: Config): Promise<Partial<DoctorFacts>> {
  const { platform, now } = world;
  const summary = ledgerSummary(platform, now);
  if (!summary) return {};
  const { deviceId, publicUrl, state, error, ...details } = summary;
  const { leafName } = details;
  const device: DeviceFacts = {
    deviceId,
    server: publicUrl,
    cloned: false,
    leaving: false,
    pinned: {},
  };
  const serverCa = tryRead(config.serverCa);
  world.progress("the agent server");
  const health = await askHealth(publicUrl, { ...(serverCa ? { serverCa } : {}) }, config, now);
  const brand = leafName?.split(" ")[0];
  const patterns = brand === undefined ? [] : await platform.installedPatterns(brand);
  const row = {
    state,
    details,
    ...(error ? { error } : {}),
  };
  const username = Deno.env.get("USER") ?? Deno.env.get("LOGNAME") ?? "";
  const question = { username, row, wanted: state !== "removed" };
  // Its authority may be known to root alone: a failure then says nothing.
  const known = serverCa !== undefined || !("code" in health);
  return {
    device,
    ...(known ? { server: { url: publicUrl, health } } : {}),
    filters: brand === undefined ? [] : platform.inspectFilters({ brand, patterns }),
    users: await gatherUsers(world, [question], patterns, serverCa ? { serverCa } : {}),
  };
}

async function describeDevice(record: DeviceRecord, world: DoctorWorld): Promise<DeviceFacts> {
  const { deviceId, server, leaving, root, intermediate } = record;
  const hash = async (pem: string | undefined) =>
    pem === undefined ? undefined : await sha256Hex(certificateDer(pem));
  const [rootHash, intermediateHash] = await Promise.all([hash(root), hash(intermediate)]);
  return {
    ...(deviceId === undefined ? {} : { deviceId }),
    server,
    cloned: isClone(record, await world.platform.system()),
    leaving,
    key: await lookAtKey(`${world.platform.paths.stateDir}/device.key`),
    pinned: {
      ...(rootHash ? { root: rootHash } : {}),
      ...(intermediateHash ? { intermediate: intermediateHash } : {}),
    },
  };
}

async function lookAtKey(path: string): Promise<DeviceFacts["key"]> {
  try {
    return await readDeviceKey(path) ? "ok" : "missing";
  } catch (error) {
    return toProblem(error);
  }
}

function desiredOf(state: State) {
  const stored = state.desired();
  try {
    if (!stored) throw new Error("The server has not said yet what it wants of this device.");
    return parseDesiredState(JSON.parse(stored.body));
  } catch (error) {
    const { code, message } = toProblem(error);
    return { code, message };
  }
}

async function askServer(
  world: DoctorWorld,
  record: DeviceRecord,
  config: Config,
  offset: number,
): Promise<ServerFacts> {
  const { now, platform } = world;
  const url = record.publicUrl ?? record.server;
  const trust = { ...(record.serverCa ? { serverCa: record.serverCa } : {}) };
  const health = await askHealth(url, trust, config, now);
  const key = await readDeviceKey(`${platform.paths.stateDir}/device.key`).catch(() => undefined);
  if ("code" in health || !key || record.deviceId === undefined) return { url, health };
  const client = openServerClient({
    publicUrl: url,
    ...trust,
    ...(config.proxy ? { proxy: config.proxy } : {}),
    signer: key.signer(record.deviceId),
    clock: { offset, known: false },
    now,
  });
  try {
    const { status, problemType } = await client.request({
      method: "GET",
      path: `/v1/devices/${record.deviceId}/desired-state`,
      timeout: LOOK_MS,
      maxBytes: LIMITS.desiredStateBytes,
    });
    return { url, health, signed: { status, ...(problemType ? { problemType } : {}) } };
  } catch (error) {
    const { code, message } = toProblem(error);
    return { url, health, signed: { code, message } };
  } finally {
    client.close();
  }
}

async function askHealth(
  url: string,
  { serverCa }: { serverCa?: string },
  { proxy, caStore }: Config,
  now: () => number,
): Promise<ServerFacts["health"]> {
  // As the agent: a pinned authority is the only one that counts, else the configured ones do.
  if (serverCa) Deno.env.set("DENO_TLS_CA_STORE", "");
  else if (caStore) Deno.env.set("DENO_TLS_CA_STORE", caStore === "system" ? "system" : "mozilla");
  const client = Deno.createHttpClient({
    caCerts: serverCa ? [serverCa] : [],
    ...(proxy ? { proxy: { url: proxy } } : {}),
  });
  try {
    const response = await fetch(`${url}/healthz`, {
      client,
      redirect: "manual",
      signal: AbortSignal.timeout(LOOK_MS),
    });
    await response.body?.cancel();
    const date = Date.parse(response.headers.get("date") ?? "");
    // The field has whole seconds.
    const skew = date + 500 - now();
    return { status: response.status, ...(Number.isNaN(date) ? {} : { skew }) };
  } catch (error) {
    const { code, message } = noAnswer(url, error, now());
    return { code, message };
  } finally {
    client.close();
  }
}

function tryConfig(path: string): Config | { problem: string } {
  try {
    return readConfig(path);
  } catch (error) {
    return { problem: toProblem(error).message };
  }
}

function tryRead(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return Deno.readTextFileSync(path);
  } catch {
    // Root's alone; what needs it is not checked then.
    return undefined;
  }
}
