/** What operators read: the state of the device and of every managed user, and its exit code. */
import { toProblem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { FilterReport, UserState } from "./contract.ts";
import { parseDesiredState } from "./desired.ts";
import { isClone } from "./identity.ts";
import { ledgerSummary } from "./ledger_summary.ts";
import { lockHolder } from "./lock.ts";
import { type RecordedProblem, State, type UserRow } from "./state.ts";
import { oneLine } from "./text_lines.ts";
import { VERSION } from "./version.ts";

/** `status --json` (DESIGN section 7). Times are RFC 3339. */
export interface Status {
  device: { id: string | null; server: string | null; enrolled: boolean };
  distribution: { enabled: boolean; version: string | null; lastSync: string | null };
  users: UserStatus[];
  agent: { running: boolean; pid: number | null; version: string };
  /** The device's own trouble: the server out of reach, a refused desired state. */
  lastError: RecordedProblem | null;
}

/** One managed user's line. */
export interface UserStatus {
  userId: string;
  username: string;
  state: UserState;
  serial: string | null;
  leafName: string | null;
  notAfter: string | null;
  renewAt: string | null;
  store: { kind: string; location: string } | null;
  filters: FilterReport[];
  lastError: RecordedProblem | null;
}

/** States that a person, or time, has yet to deal with. */
const UNFINISHED: ReadonlySet<UserState> = new Set(["failed", "waiting", "removing"]);

/** Reads the device's status; the agent may run or not. Without root: the caller's own line. */
export async function readStatus(platform: DevicePlatform, now: () => number): Promise<Status> {
  const { stateDir } = platform.paths;
  const running = agentRunning(stateDir);
  const agent = { running: running !== undefined, pid: running?.pid ?? null, version: VERSION };
  const path = `${stateDir}/state.db`;
  switch (readable(path)) {
    case "absent":
      return notEnrolled(agent);
    case "denied":
      return { ...notEnrolled(agent), ...ownLine(platform, now) };
  }
  const state = new State(path, now);
  try {
    const device = state.device();
    const system = await platform.system();
    const enrolled = device?.deviceId !== undefined && !isClone(device, system);
    const sync = state.sync();
    const desired = enrolled ? desiredOf(state) : undefined;
    const wanted = desired?.distribution.enabled ?? false;
    const filters = desired && wanted && state.users().length > 0
      ? platform.inspectFilters({ brand: desired.brand, patterns: desired.selection.patterns })
        .map(({ browser, location, state }) => ({ browser, location, state }))
      : [];
    return {
      device: {
        id: enrolled ? device.deviceId ?? null : null,
        server: device?.server ?? null,
        enrolled,
      },
      distribution: {
        enabled: wanted,
        version: state.desired()?.etag ?? null,
        lastSync: sync.lastSync === undefined ? null : iso(sync.lastSync),
      },
      users: enrolled ? state.users().map((row) => userStatus(row, filters)) : [],
      agent,
      lastError: sync.error ?? null,
    };
  } finally {
    state.close();
  }
}

/** 0 all is well, 3 not enrolled, 4 something needs attention (DESIGN section 7). */
export function statusExitCode(status: Status): number {
  if (!status.device.enrolled) return 3;
  const unfinished = status.users.some((user) =>
    UNFINISHED.has(user.state) || user.filters.some((filter) => filter.state !== "ok")
  );
  return unfinished ? 4 : 0;
}

/** The status for people. */
export function statusText(status: Status): string {
  const { device, distribution, agent } = status;
  if (!device.enrolled) {
    return "This device is not enrolled. Enrol it: device-trust enroll --server URL " +
      "--connect-key-file FILE\n";
  }
  const lines = [
    `device        ${device.id} at ${device.server}`,
    `agent         ${agent.running ? `running (pid ${agent.pid ?? "?"})` : "not running"}, ` +
    `version ${agent.version}`,
    `distribution  ${distribution.enabled ? "ON" : "OFF"}, ` +
    (distribution.lastSync ? `last heard ${distribution.lastSync}` : "never heard"),
    ...(status.lastError ? [`problem       ${status.lastError.message}`] : []),
    ...status.users.flatMap(userLines),
    ...(status.users.length === 0 ? ["users         none is bound to this device"] : []),
  ];
  return `${lines.map(oneLine).join("\n")}\n`;
}

function userLines(user: UserStatus): string[] {
  const name = user.username.padEnd(13);
  const until = user.notAfter ? `, valid until ${user.notAfter}` : "";
  const renewal = user.renewAt ? `, renewal ${user.renewAt}` : "";
  return [
    `${name} ${user.state}${user.leafName ? `: ${user.leafName}${until}${renewal}` : ""}`,
    ...(user.store ? [`${"".padEnd(13)} ${user.store.kind} ${user.store.location}`] : []),
    ...user.filters.map((filter) =>
      `${"".padEnd(13)} filter ${filter.browser}: ${filter.state} (${filter.location})`
    ),
    ...(user.lastError
      ? [`${"".padEnd(13)} ${user.lastError.code}: ${user.lastError.message}`]
      : []),
  ];
}

function userStatus(row: UserRow, filters: FilterReport[]): UserStatus {
  const { serial, leafName, notAfter, renewAt, store } = row.details;
  return {
    userId: row.userId,
    username: row.username,
    state: row.state,
    serial: serial ?? null,
    leafName: leafName ?? null,
    notAfter: notAfter ?? null,
    renewAt: renewAt ?? null,
    store: store ?? null,
    filters,
    lastError: row.error ?? null,
  };
}

function desiredOf(state: State) {
  const stored = state.desired();
  if (!stored) return undefined;
  try {
    return parseDesiredState(JSON.parse(stored.body));
  } catch (error) {
    // It was accepted by an earlier version: the agent will hear a newer one.
    state.recordEvent("desired-state.refused", toProblem(error).message);
    return undefined;
  }
}

/** What the caller's own ledger knows, where the device's state is not for the caller's eyes. */
function ownLine(platform: DevicePlatform, now: () => number): Partial<Status> {
  const report = ledgerSummary(platform, now);
  if (!report) return {};
  const { userId, state, serial, leafName, notAfter, renewAt, store, error } = report;
  return {
    device: { id: report.deviceId, server: report.publicUrl, enrolled: true },
    distribution: { enabled: state !== "removed", version: null, lastSync: null },
    users: [{
      userId,
      username: Deno.env.get("USER") ?? "",
      state,
      serial: serial ?? null,
      leafName: leafName ?? null,
      notAfter: notAfter ?? null,
      renewAt: renewAt ?? null,
      store: store ?? null,
      filters: [],
      lastError: error ?? null,
    }],
  };
}

function notEnrolled(agent: Status["agent"]): Status {
  return {
    device: { id: null, server: null, enrolled: false },
    distribution: { enabled: false, version: null, lastSync: null },
    users: [],
    agent,
    lastError: null,
  };
}

/** The agent that holds the lock in this state folder; undefined also where nobody can tell. */
export function agentRunning(stateDir: string): { pid?: number } | undefined {
  try {
    return lockHolder(`${stateDir}/agent.lock`);
  } catch (error) {
    // Without root's rights nobody can tell.
    if (error instanceof Deno.errors.PermissionDenied) return undefined;
    throw error;
  }
}

/** Whether a file can be opened. */
export function readable(path: string): "yes" | "absent" | "denied" {
  try {
    Deno.openSync(path).close();
    return "yes";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "absent";
    if (error instanceof Deno.errors.PermissionDenied) return "denied";
    throw error;
  }
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
