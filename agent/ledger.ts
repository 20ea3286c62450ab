/**
 * The user's ledger: `ledger.db` in the user's own state folder, our record of what we put where,
 * written before the thing itself. It holds no secret. Times are milliseconds since 1970, local.
 */
import { createHash } from "node:crypto";
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { CreatedPath, KeyAlgorithm } from "../platform/trust_store.ts";
import { explained, openDatabase } from "./database.ts";
import type { PlannedRenewal } from "./renewal.ts";

/** Versions of the file, oldest first. */
export const LEDGER_MIGRATIONS = [
  `
  CREATE TABLE key (
    spki_sha256 TEXT PRIMARY KEY,
    spki BLOB NOT NULL,
    algorithm TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE certificate (
    sha256 TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    serial TEXT NOT NULL,
    common_name TEXT NOT NULL,
    recorded_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE created_path (path TEXT PRIMARY KEY, kind TEXT NOT NULL) STRICT;
  CREATE TABLE renewal (serial TEXT PRIMARY KEY, renew_at INTEGER NOT NULL) STRICT;
  CREATE TABLE summary (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL) STRICT;
  CREATE TABLE event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  `,
  `
  ALTER TABLE renewal ADD COLUMN window_start TEXT NOT NULL DEFAULT '';
  ALTER TABLE renewal ADD COLUMN window_end TEXT NOT NULL DEFAULT '';
  `,
  `
  ALTER TABLE key ADD COLUMN applications TEXT;
  CREATE TABLE filter (place TEXT PRIMARY KEY, recorded_at INTEGER NOT NULL) STRICT;
  `,
] as const;

const EVENT_DAYS = 90;

/** A certificate that we put into the user's store, or were about to. */
export interface LedgerCertificate {
  sha256: string;
  role: "root" | "intermediate" | "leaf";
  serial: string;
  commonName: string;
}

/** One user's ledger. */
export class Ledger {
  readonly #database: DatabaseSync;

  /** @throws NewerDatabase, DamagedDatabase, Problem; as every method does when the disk fails */
  constructor(private readonly path: string, private readonly now: () => number) {
    this.#database = openDatabase(path, LEDGER_MIGRATIONS);
  }

  /** SPKI hashes of every key that we made and have not seen gone. */
  keys(): string[] {
    return this.#all("SELECT spki_sha256 FROM key ORDER BY created_at, rowid")
      .map((row) => String(row.spki_sha256));
  }

  /** A key of ours by its SPKI hash: DER SubjectPublicKeyInfo and kind. */
  key(spkiSha256: string): { spki: Uint8Array; algorithm: KeyAlgorithm } | undefined {
    const row = this.#get("SELECT spki, algorithm FROM key WHERE spki_sha256 = ?", spkiSha256);
    // A row that its own name contradicts is of no key.
    if (!(row?.spki instanceof Uint8Array) || sha256(row.spki) !== spkiSha256) return undefined;
    return { spki: row.spki, algorithm: row.algorithm === "RSA-2048" ? "RSA-2048" : "P-256" };
  }

  /** @param applications that the key is made for, where the store has a list of them */
  recordKey(
    spkiSha256: string,
    spki: Uint8Array,
    algorithm: KeyAlgorithm,
    applications?: readonly string[],
  ): void {
    this.#run(
      "INSERT OR IGNORE INTO key VALUES (?, ?, ?, ?, ?)",
      spkiSha256,
      spki,
      algorithm,
      this.now(),
      applications === undefined ? null : JSON.stringify(applications),
    );
  }

  /** Paths of the applications that a key was made for; undefined where nobody knows. */
  applications(spkiSha256: string): string[] | undefined {
    const value = this.#get("SELECT applications FROM key WHERE spki_sha256 = ?", spkiSha256)
      ?.applications;
    return typeof value === "string" ? stringsIn(value) : undefined;
  }

  forgetKey(spkiSha256: string): void {
    this.#run("DELETE FROM key WHERE spki_sha256 = ?", spkiSha256);
  }

  certificates(): LedgerCertificate[] {
    return this.#all("SELECT * FROM certificate ORDER BY recorded_at, rowid")
      .map((row) => ({
        sha256: String(row.sha256),
        // Written by recordCertificate alone.
        role: row.role === "root" || row.role === "intermediate" ? row.role : "leaf",
        serial: String(row.serial),
        commonName: String(row.common_name),
      }));
  }

  recordCertificate(certificate: LedgerCertificate): void {
    this.#run(
      "INSERT OR IGNORE INTO certificate VALUES (?, ?, ?, ?, ?)",
      certificate.sha256,
      certificate.role,
      certificate.serial,
      certificate.commonName,
      this.now(),
    );
  }

  forgetCertificate(sha256: string): void {
    this.#run("DELETE FROM certificate WHERE sha256 = ?", sha256);
  }

  /** Folders and databases that we made, in the order they were made. */
  createdPaths(): CreatedPath[] {
    return this.#all("SELECT * FROM created_path ORDER BY rowid")
      .map((row) => ({
        path: String(row.path),
        kind: row.kind === "database" ? "database" as const : "directory" as const,
      }));
  }

  recordPath(created: CreatedPath): void {
    this.#run("INSERT OR IGNORE INTO created_path VALUES (?, ?)", created.path, created.kind);
  }

  forgetPath(path: string): void {
    this.#run("DELETE FROM created_path WHERE path = ?", path);
  }

  /** Where filters in the user's own settings are, or were about to be. */
  filters(): string[] {
    return this.#all("SELECT place FROM filter ORDER BY rowid").map((row) => String(row.place));
  }

  /** When one of these was written last, local milliseconds; undefined without any. */
  filterWrittenAt(): number | undefined {
    const newest = this.#get("SELECT max(recorded_at) AS newest FROM filter")?.newest;
    return typeof newest === "number" ? newest : undefined;
  }

  recordFilter(place: string): void {
    this.#run("INSERT OR REPLACE INTO filter VALUES (?, ?)", place, this.now());
  }

  forgetFilter(place: string): void {
    this.#run("DELETE FROM filter WHERE place = ?", place);
  }

  /**
   * When a leaf is to be renewed, kept over restarts; undefined for one without a plan, or with one
   * that was never drawn in its window.
   */
  renewal(serial: string): PlannedRenewal | undefined {
    const row = this.#get("SELECT * FROM renewal WHERE serial = ?", serial);
    if (!row) return undefined;
    const window = { start: String(row.window_start), end: String(row.window_end) };
    const renewAt = Number(row.renew_at);
    const drawn = renewAt >= Date.parse(window.start) && renewAt <= Date.parse(window.end);
    return drawn ? { renewAt, window } : undefined;
  }

  recordRenewal(serial: string, { renewAt, window }: PlannedRenewal): void {
    this.#run(
      "INSERT OR REPLACE INTO renewal VALUES (?, ?, ?, ?)",
      serial,
      renewAt,
      window.start,
      window.end,
    );
  }

  forgetRenewal(serial: string): void {
    this.#run("DELETE FROM renewal WHERE serial = ?", serial);
  }

  /** What this user's `status` shows, as the last run left it (JSON). */
  summary(): string | undefined {
    const value = this.#get("SELECT body FROM summary")?.body;
    return typeof value === "string" ? value : undefined;
  }

  saveSummary(body: string): void {
    this.#run("INSERT OR REPLACE INTO summary VALUES (1, ?)", body);
  }

  /** Appends to the user's audit log; `detail` never holds a secret. */
  recordEvent(type: string, detail: string): void {
    const now = this.now();
    this.#run("INSERT INTO event (at, type, detail) VALUES (?, ?, ?)", now, type, detail);
    this.#run("DELETE FROM event WHERE at < ?", now - EVENT_DAYS * 86_400_000);
  }

  close(): void {
    this.#database.close();
  }

  #get(sql: string, ...values: string[]): Row | undefined {
    return explained(this.path, () => this.#database.prepare(sql).get(...values));
  }

  #all(sql: string): Row[] {
    return explained(this.path, () => this.#database.prepare(sql).all());
  }

  #run(sql: string, ...values: (string | number | Uint8Array | null)[]): void {
    explained(this.path, () => this.#database.prepare(sql).run(...values));
  }
}

type Row = Record<string, SQLOutputValue>;

/** A list of texts in JSON; undefined for anything else that somebody may have put there. */
function stringsIn(json: string): string[] | undefined {
  try {
    const list: unknown = JSON.parse(json);
    return Array.isArray(list) && list.every((one) => typeof one === "string") ? list : undefined;
  } catch {
    return undefined;
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
