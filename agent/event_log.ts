/** The audit log as people and programs read it: out of `state.db`, changing nothing. */
import type { DatabaseSync } from "node:sqlite";
import type { SystemFacts } from "../platform/platform.ts";
import { explained, readDatabase } from "./database.ts";
import { isClone } from "./identity.ts";
import { MIGRATIONS } from "./state_schema.ts";
import { alignedLines, type Cell } from "./terminal_text.ts";
import { logTime } from "./time_text.ts";

/** An event as `events --json` shows it: as the agent server's events are, with this device's ids. */
export interface LoggedEvent {
  /** Grows with each event of this device; `status` names it beside a problem. */
  eventId: number;
  /** RFC 3339, by this device's clock then. */
  at: string;
  type: string;
  userId: string | null;
  /** The account of that user, while it is known. */
  username: string | null;
  detail: string;
}

/** What was read. */
export interface EventLog {
  /** Whether the device is enrolled now; a log outlives that. */
  enrolled: boolean;
  /** Oldest first. */
  events: LoggedEvent[];
}

/**
 * Reads the events from `since` on, milliseconds since 1970.
 *
 * @throws NewerDatabase, DamagedDatabase, Problem
 */
export function readEventLog(
  path: string,
  since: number,
  system: Pick<SystemFacts, "machine">,
): EventLog {
  return explained(path, () => {
    const database = readDatabase(path, MIGRATIONS);
    if (!database) return { enrolled: false, events: [] };
    try {
      return { enrolled: isEnrolled(database, system), events: eventsSince(database, since) };
    } finally {
      database.close();
    }
  });
}

function isEnrolled(database: DatabaseSync, system: Pick<SystemFacts, "machine">): boolean {
  const identity = database.prepare("SELECT device_id, machine FROM identity").get();
  const machine = text(identity?.machine);
  const cloned = machine !== null && isClone({ machine }, system);
  return text(identity?.device_id) !== null && !cloned;
}

function eventsSince(database: DatabaseSync, since: number): LoggedEvent[] {
  const rows = database.prepare(
    `SELECT event_id, at, type, event.user_id, username, detail
       FROM event LEFT JOIN user USING (user_id) WHERE at >= ? ORDER BY event_id`,
  ).all(since);
  return rows.map((row) => ({
    eventId: Number(row.event_id),
    at: new Date(Number(row.at)).toISOString(),
    type: String(row.type),
    userId: text(row.user_id),
    username: text(row.username),
    detail: String(row.detail),
  }));
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** The events for people, a line each, times in the local zone. */
export function eventsText(events: readonly LoggedEvent[], color: boolean): string {
  const rows = events.map(({ eventId, at, type, userId, username, detail }): Cell[] => [
    { text: String(eventId).padStart(6), tone: "faint" },
    logTime(Date.parse(at)),
    type,
    username ?? userId ?? "-",
    detail,
  ]);
  return alignedLines(rows, color).map((line) => `${line}\n`).join("");
}
