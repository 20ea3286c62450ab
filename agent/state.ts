/**
 * The agent's own state on the device: `state/state.db`, root only. It holds no secret; the device
 * key is a file of its own (identity.ts). Times are milliseconds since 1970 by the local clock
 * unless a name says otherwise.
 */
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import type { ProblemCode } from "../platform/errors.ts";
import type { RemovedItem, RenewalWindow, UserState } from "./contract.ts";
import { DamagedDatabase, explained, openDatabase, transaction } from "./database.ts";
import type { Anchors } from "./verify.ts";

/** Versions of the file, oldest first. */
export const MIGRATIONS = [
  `
  CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    device_id TEXT,
    server TEXT NOT NULL,
    public_url TEXT,
    server_ca TEXT,
    machine TEXT,
    root TEXT,
    intermediate TEXT,
    leaving INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE desired (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    etag TEXT NOT NULL,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE sync (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_sync INTEGER,
    clock_offset INTEGER NOT NULL DEFAULT 0,
    error TEXT
  ) STRICT;
  CREATE TABLE user (
    user_id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    uid TEXT,
    state TEXT NOT NULL,
    details TEXT NOT NULL,
    error TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    checked_at INTEGER,
    unreported INTEGER NOT NULL DEFAULT 0,
    removed TEXT NOT NULL DEFAULT '[]'
  ) STRICT;
  CREATE TABLE created_directory (path TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
  CREATE TABLE event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    user_id TEXT,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX event_at ON event (at);
  `,
  "ALTER TABLE identity ADD COLUMN former TEXT NOT NULL DEFAULT '[]';",
] as const;

/** How long the audit log is kept. */
const DAY = 86_400_000;
const EVENT_DAYS = 90;
/** Events of one user in a day: a user's own reports cause them, and must not fill the disk. */
const EVENTS_A_DAY = 500;

/** Who this device is to its agent server. Certificates are PEM. */
export interface DeviceRecord {
  /** Absent until the server has answered the enrolment. */
  deviceId?: string;
  /** As the administrator gave it, without a trailing slash. */
  server: string;
  publicUrl?: string;
  serverCa?: string;
  /** SHA-256 of the machine id that the key was made on; absent where there is none. */
  machine?: string;
  root?: string;
  intermediate?: string;
  /** Roots and intermediates that were pinned before, newest first. */
  former?: Anchors[];
  /** Set once unenrolment or deletion began: everything goes, nothing is installed again. */
  leaving: boolean;
}

/** A problem as `status` shows it. */
export interface RecordedProblem {
  code: ProblemCode;
  message: string;
}

/** What the user-agent said of its store the last time. */
export interface UserDetails {
  serial?: string;
  leafName?: string;
  /** RFC 3339. */
  notAfter?: string;
  /** RFC 3339. */
  renewAt?: string;
  /** The server's window that `renewAt` was drawn in. */
  renewal?: RenewalWindow;
  store?: { kind: string; location: string };
  /** Which anchors are in the store; absent in reports of an earlier version. */
  anchors?: string;
  /** Serials of our leaves in the store. */
  held?: string[];
}

/** A managed user on this device, or one whose removal is not finished. */
export interface UserRow {
  userId: string;
  username: string;
  /** The OS's own id of the account, as text (uid or SID); absent while there is no account. */
  uid?: string;
  state: UserState;
  details: UserDetails;
  error?: RecordedProblem;
  /** Failures in a row. */
  attempts: number;
  retryAt?: number;
  /** When a user-agent last looked at the store. */
  checkedAt?: number;
  /** Whether the agent server has not heard of this row's newest state. */
  unreported: boolean;
  /** The receipt of a removal that the agent server has not heard of. */
  removed: RemovedItem[];
}

/** The last exchange with the agent server. */
export interface SyncRow {
  lastSync?: number;
  /** Server time minus local time, milliseconds. */
  clockOffset: number;
  error?: RecordedProblem;
}

/** An entry of the audit log. */
export interface EventRow {
  eventId: number;
  at: number;
  type: string;
  userId?: string;
  detail: string;
}

/** The agent's state. Not shared between processes that write the same rows at once. */
export class State {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #inode: number | null;

  /** @throws NewerDatabase, DamagedDatabase, Problem; as every method does when the disk fails */
  constructor(private readonly path: string, private readonly now: () => number) {
    this.#database = openDatabase(path, MIGRATIONS);
    // What is in memory is no file that anybody could replace.
    this.#inode = path === ":memory:" ? null : Deno.statSync(path).ino;
  }

  /** Whether the file that this was opened from was removed, replaced or damaged since. */
  isLost(): boolean {
    try {
      if (Deno.statSync(this.path).ino !== this.#inode) return true;
      openDatabase(this.path, MIGRATIONS).close();
      return false;
    } catch (error) {
      return error instanceof Deno.errors.NotFound || error instanceof DamagedDatabase;
    }
  }

  device(): DeviceRecord | undefined {
    const row = this.#get("SELECT * FROM identity");
    if (!row) return undefined;
    return {
      server: String(row.server),
      leaving: row.leaving === 1,
      ...(row.former === "[]" ? {} : { former: JSON.parse(String(row.former)) }),
      ...texts({
        deviceId: row.device_id,
        publicUrl: row.public_url,
        serverCa: row.server_ca,
        machine: row.machine,
        root: row.root,
        intermediate: row.intermediate,
      }),
    };
  }

  saveDevice(device: DeviceRecord): void {
    this.#run(
      `INSERT OR REPLACE INTO identity
         (id, device_id, server, public_url, server_ca, machine, root, intermediate, leaving, former)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      device.deviceId ?? null,
      device.server,
      device.publicUrl ?? null,
      device.serverCa ?? null,
      device.machine ?? null,
      device.root ?? null,
      device.intermediate ?? null,
      device.leaving ? 1 : 0,
      JSON.stringify(device.former ?? []),
    );
  }

  /** Forgets device, desired state, users and sync; the audit log stays. */
  forgetDevice(): void {
    for (const table of ["identity", "desired", "sync", "user"]) this.#run(`DELETE FROM ${table}`);
  }

  /** Notes that an earlier state was lost, and what with it. */
  recordReplaced(detail: string): void {
    this.recordEvent("state.replaced", detail);
  }

  /** Whether an earlier state was lost, so that this one need not know what users hold. */
  isSuccessor(): boolean {
    return this.#get("SELECT 1 FROM event WHERE type = 'state.replaced' LIMIT 1") !== undefined;
  }

  /** The device has left its server for good: {@link State.forgetDevice}, and the log tells. */
  endDevice({ deviceId = "", machine }: DeviceRecord): void {
    this.transaction(() => {
      this.forgetDevice();
      this.recordEvent("device.left", leftText(deviceId, machine));
    });
  }

  /** Whether this machine left its server, or was deleted there, and was not enrolled since. */
  hasLeft(machine: string | undefined): boolean {
    const sql = `SELECT type, detail FROM event WHERE type IN ('device.left', 'device.enrolled')
      ORDER BY event_id DESC LIMIT 1`;
    const { type, detail } = this.#get(sql) ?? {};
    return type === "device.left" && String(detail).endsWith(leftText("", machine));
  }

  desired(): { etag: string; body: string; receivedAt: number } | undefined {
    const row = this.#get("SELECT * FROM desired");
    if (!row) return undefined;
    return { etag: String(row.etag), body: String(row.body), receivedAt: Number(row.received_at) };
  }

  saveDesired(etag: string, body: string): void {
    this.#run("INSERT OR REPLACE INTO desired VALUES (1, ?, ?, ?)", etag, body, this.now());
  }

  sync(): SyncRow {
    const row = this.#get("SELECT * FROM sync");
    if (!row) return { clockOffset: 0 };
    return {
      clockOffset: Number(row.clock_offset),
      ...(row.last_sync === null ? {} : { lastSync: Number(row.last_sync) }),
      ...problemOf(row.error),
    };
  }

  saveSync(sync: SyncRow): void {
    this.#run(
      "INSERT OR REPLACE INTO sync VALUES (1, ?, ?, ?)",
      sync.lastSync ?? null,
      Math.round(sync.clockOffset),
      sync.error ? JSON.stringify(sync.error) : null,
    );
  }

  users(): UserRow[] {
    return this.#all("SELECT * FROM user ORDER BY username, user_id").map(userRow);
  }

  user(userId: string): UserRow | undefined {
    const row = this.#get("SELECT * FROM user WHERE user_id = ?", userId);
    return row && userRow(row);
  }

  saveUser(user: UserRow): void {
    this.#run(
      "INSERT OR REPLACE INTO user VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      user.userId,
      user.username,
      user.uid ?? null,
      user.state,
      JSON.stringify(user.details),
      user.error ? JSON.stringify(user.error) : null,
      user.attempts,
      user.retryAt ?? null,
      user.checkedAt ?? null,
      user.unreported ? 1 : 0,
      JSON.stringify(user.removed),
    );
  }

  forgetUser(userId: string): void {
    this.#run("DELETE FROM user WHERE user_id = ?", userId);
  }

  /** Directories that we made, in the order they were made. */
  createdDirectories(): string[] {
    return this.#all("SELECT path FROM created_directory ORDER BY rowid").map((row) =>
      String(row.path)
    );
  }

  recordDirectory(path: string): void {
    this.#run("INSERT OR IGNORE INTO created_directory VALUES (?, ?)", path, this.now());
  }

  forgetDirectory(path: string): void {
    this.#run("DELETE FROM created_directory WHERE path = ?", path);
  }

  /**
   * Appends to the audit log; `detail` never holds a secret. Of one user it keeps the first 500 of
   * a day.
   */
  recordEvent(type: string, detail: string, userId?: string): void {
    const now = this.now();
    if (userId !== undefined && this.#eventsOfADay(now, userId) >= EVENTS_A_DAY) return;
    this.#run(
      "INSERT INTO event (at, type, user_id, detail) VALUES (?, ?, ?, ?)",
      now,
      type,
      userId ?? null,
      detail,
    );
  }

  /**
   * Forgets what the audit log no longer keeps, by the agent server's time. An event that a wrong
   * clock dated long ago, or yet to come, goes with those around it.
   *
   * @param serverTime milliseconds since 1970, told by the server
   */
  forgetOldEvents(serverTime: number): void {
    this.#run(
      `DELETE FROM event WHERE event_id <
         (SELECT min(event_id) FROM event WHERE at BETWEEN ? AND ?)`,
      serverTime - EVENT_DAYS * DAY,
      serverTime + DAY,
    );
  }

  /** The newest events first. */
  events(limit: number): EventRow[] {
    return this.#all("SELECT * FROM event ORDER BY event_id DESC LIMIT ?", limit).map((row) => ({
      eventId: Number(row.event_id),
      at: Number(row.at),
      type: String(row.type),
      detail: String(row.detail),
      ...texts({ userId: row.user_id }),
    }));
  }

  /** The newest event with this detail; undefined when there is none. */
  lastEventOf(detail: string): number | undefined {
    const row = this.#get("SELECT max(event_id) AS newest FROM event WHERE detail = ?", detail);
    return typeof row?.newest === "number" ? row.newest : undefined;
  }

  /** All writes of `work` count or none. */
  transaction<T>(work: () => T): T {
    return explained(this.path, () => transaction(this.#database, work));
  }

  close(): void {
    this.#database.close();
  }

  /** Of the last day; what a clock that was set back has not reached yet does not count. */
  #eventsOfADay(now: number, userId: string): number {
    const sql = "SELECT count(*) AS events FROM event WHERE at > ? AND at <= ? AND user_id = ?";
    return Number(this.#get(sql, now - DAY, now, userId)?.events);
  }

  #get(sql: string, ...values: (string | number | null)[]): Row | undefined {
    return explained(this.path, () => this.#prepare(sql).get(...values));
  }

  #all(sql: string, ...values: (string | number | null)[]): Row[] {
    return explained(this.path, () => this.#prepare(sql).all(...values));
  }

  #run(sql: string, ...values: (string | number | null)[]): void {
    explained(this.path, () => this.#prepare(sql).run(...values));
  }

  /**
   * Each once: memory of SQLite's own is freed when the garbage collector comes by, which in a
   * process that waits is rarely (seen: 2 KB a statement, for hours).
   */
  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

type Row = Record<string, SQLOutputValue>;

function leftText(deviceId: string, machine: string | undefined): string {
  return machine === undefined ? deviceId : `${deviceId} on the machine ${machine}`;
}

function userRow(row: Row): UserRow {
  return {
    userId: String(row.user_id),
    username: String(row.username),
    // Written by saveUser alone, in a folder that only root can write.
    state: String(row.state) as UserState,
    details: JSON.parse(String(row.details)),
    attempts: Number(row.attempts),
    unreported: row.unreported === 1,
    removed: JSON.parse(String(row.removed)),
    ...texts({ uid: row.uid }),
    ...(row.retry_at === null ? {} : { retryAt: Number(row.retry_at) }),
    ...(row.checked_at === null ? {} : { checkedAt: Number(row.checked_at) }),
    ...problemOf(row.error),
  };
}

function problemOf(error: SQLOutputValue | undefined): { error?: RecordedProblem } {
  return typeof error === "string" ? { error: JSON.parse(error) } : {};
}

/** The members that are text, under their names. */
function texts<K extends string>(
  values: Record<K, SQLOutputValue | undefined>,
): { [P in K]?: string } {
  const result: { [P in K]?: string } = {};
  for (const key in values) {
    const value = values[key];
    if (typeof value === "string") result[key] = value;
  }
  return result;
}
