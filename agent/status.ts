/** What operators read: the state of the device and of every managed user, and its exit code. */
import { isReadOnly } from "../platform/files.ts";
import { hasRoom } from "../platform/room.ts";
import type { DesiredFilters } from "../platform/filters.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { FilterReport, UserState } from "./contract.ts";
import { EXIT } from "./exit.ts";
import { isClone } from "./identity.ts";
import { lockHolder } from "./lock.ts";
import { type RecordedProblem, State, type UserRow } from "./state.ts";
import { ownFilters } from "./state_rows.ts";
import { VERSION } from "./version.ts";

/** `status --json` (DESIGN section 7). Times are RFC 3339. */
export interface Status {
  device: { id: string | null; server: string | null; enrolled: boolean };
  distribution: { enabled: boolean; version: string | null; lastSync: string | null };
  users: UserStatus[];
  agent: { running: boolean; pid: number | null; version: string };
}

/** What people are told beside; `--json` has no place for it. */
export interface StatusNotes {
  /** The device's own trouble: the server out of reach, a refused desired state. */
  problem?: RecordedProblem;
  /** Server time minus local time when the server was last heard, milliseconds. */
  clockOffset: number;
  /** Events of the audit log that tell of a problem, by its message. */
  events: ReadonlyMap<string, number>;
  /** Whether the agent cannot keep its state, and so can do nothing until somebody sees to it. */
  isStuck?: true;
  /** Whether the caller may see no more than the caller's own line. */
  isOwnPart: boolean;
}

/** What is there to be read. */
export interface StatusReport {
  status: Status;
  notes: StatusNotes;
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
export async function readStatus(
  platform: DevicePlatform,
  now: () => number,
): Promise<StatusReport> {
  const { stateDir } = platform.paths;
  const running = agentRunning(stateDir);
  const agent = { running: running !== undefined, pid: running?.pid ?? null, version: VERSION };
  const path = `${stateDir}/state.db`;
  switch (readable(path)) {
    case "absent":
      return { status: notEnrolled(agent), notes: NOTHING };
    case "denied": {
      const status = { ...notEnrolled(agent), ...await ownLine(platform, now) };
      return { status, notes: { ...NOTHING, isOwnPart: true } };
    }
  }
  const state = new State(path, now);
  try {
    const device = state.device();
    const enrolled = device?.deviceId !== undefined && !isClone(device, await platform.system());
    const sync = state.sync();
    const stored = state.desired();
    const wanted = enrolled ? wantedFilters(stored?.body) : undefined;
    const rows = enrolled ? state.users() : [];
    const filters = wanted && rows.length > 0
      ? platform.inspectFilters(wanted)
        .map(({ browser, location, state }) => ({ browser, location, state }))
      : [];
    const status: Status = {
      device: {
        id: enrolled ? device.deviceId ?? null : null,
        server: device?.server ?? null,
        enrolled,
      },
      distribution: {
        enabled: wanted !== undefined,
        version: stored?.etag ?? null,
        lastSync: sync.lastSync === undefined ? null : iso(sync.lastSync),
      },
      users: rows.map((row) => userStatus(row, filters)),
      agent,
    };
    const { error, clockOffset } = sync;
    const told = [{ error }, ...rows].flatMap(({ error }) => error?.message ?? []);
    const events = new Map(told.flatMap((message): [string, number][] => {
      const eventId = state.lastEventOf(message);
      return eventId === undefined ? [] : [[message, eventId]];
    }));
    const stuck = stateTrouble(stateDir);
    const problem = stuck ?? error;
    const notes: StatusNotes = {
      clockOffset,
      events,
      isOwnPart: false,
      ...(problem ? { problem } : {}),
      ...(stuck ? { isStuck: true } : {}),
    };
    return { status, notes };
  } finally {
    state.close();
  }
}

/** Why the agent cannot write to its state, which it does before it does anything else. */
function stateTrouble(stateDir: string): RecordedProblem | undefined {
  if (!hasRoom(stateDir)) {
    const message = `No room is left for ${stateDir}: nothing is installed, renewed or removed. ` +
      "Free some space.";
    return { code: "disk-full", message };
  }
  if (!isReadOnly(stateDir)) return undefined;
  const message = `${stateDir} is read-only: nothing is installed, renewed or removed. Mount it ` +
    "read-write.";
  return { code: "internal", message };
}

/** 0 all is well, 3 not enrolled, 4 something needs attention (DESIGN section 7). */
export function statusExitCode({ status: { device, users }, notes }: StatusReport): number {
  if (!device.enrolled) return EXIT.notEnrolled;
  const unfinished = notes.isStuck === true ||
    users.some((user) =>
      UNFINISHED.has(user.state) || user.filters.some((filter) => filter.state !== "ok")
    );
  return unfinished ? EXIT.attention : EXIT.done;
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
    filters: [...filters, ...ownFilters(row)],
    lastError: row.error ?? null,
  };
}

/**
 * The filters that the stored desired state wants; undefined when distribution is OFF. It was
 * checked before it was stored, and the checking library would take longer than all the rest here.
 */
function wantedFilters(body: string | undefined): DesiredFilters | undefined {
  if (body === undefined) return undefined;
  const { distribution, brand, selection } = JSON.parse(body);
  if (distribution?.enabled !== true) return undefined;
  // Another version of this program may have stored another shape: the agent will hear a newer one.
  if (typeof brand !== "string" || !Array.isArray(selection?.patterns)) return undefined;
  return { brand, patterns: selection.patterns.map(String) };
}

/** What the caller's own ledger knows, where the device's state is not for the caller's eyes. */
async function ownLine(platform: DevicePlatform, now: () => number): Promise<Partial<Status>> {
  const { ledgerSummary } = await import("./ledger_summary.ts");
  const report = ledgerSummary(platform, now);
  if (!report) return {};
  const { userId, state, serial, leafName, notAfter, renewAt, store, error } = report;
  const filters = ownFilters({ details: { filters: report.filters } });
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
      filters,
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
  };
}

const NOTHING: StatusNotes = { clockOffset: 0, events: new Map(), isOwnPart: false };

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
