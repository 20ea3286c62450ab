/**
 * The agent's own state on the device: `state/state.db`, root only. It holds no secret; the device
 * key is a file of its own (identity.ts). Times are milliseconds since 1970 by the local clock
 * unless a name says otherwise.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { DamagedDatabase, explained, openDatabase, transaction } from "./database.ts";
import {
  type DeviceRecord,
  type EventRow,
  problemOf,
  type Row,
  type SyncRow,
  texts,
  type UserRow,
  userRow,
} from "./state_rows.ts";
import { MIGRATIONS } from "./state_schema.ts";

export type {
  DeviceRecord,
  EventRow,
  RecordedProblem,
  SyncRow,
  UserDetails,
  UserRow,
} from "./state_rows.ts";

/** How long the audit log is kept. */
const DAY = 86_400_000;
const EVENT_DAYS = 90;
/** Events of one user in a day: a user's own reports cause them, and must not fill the disk. */
const EVENTS_A_DAY = 500;

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

  /** SHA-256 of certificates that we added to what the device keeps for all its users. */
  deviceCertificates(): string[] {
    return this.#all("SELECT sha256 FROM device_certificate ORDER BY rowid")
      .map((row) => String(row.sha256));
  }

  recordDeviceCertificate(sha256: string): void {
    this.#run("INSERT OR IGNORE INTO device_certificate VALUES (?, ?)", sha256, this.now());
  }

  forgetDeviceCertificate(sha256: string): void {
    this.#run("DELETE FROM device_certificate WHERE sha256 = ?", sha256);
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

function leftText(deviceId: string, machine: string | undefined): string {
  return machine === undefined ? deviceId : `${deviceId} on the machine ${machine}`;
}
