/**
 * The mock server's SQLite file: its schema and a thin typed access to it. Times are milliseconds
 * since 1970, ids lower-case UUIDs, hashes and serials lower-case hexadecimal, lists and objects
 * JSON. It holds no secret: a connect key is there as its hash, a private key not at all.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { z } from "zod";

/** The schema's steps; the file's `user_version` counts those that were taken. */
const MIGRATIONS = [
  `
CREATE TABLE setting (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  value TEXT NOT NULL,
  distributionChangedAt INTEGER
) STRICT;
INSERT INTO setting (id, value) VALUES (1, '{}');

CREATE TABLE connect_key (
  connectKeyId TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  createdAt INTEGER NOT NULL,
  expiresAt INTEGER,
  maxUses INTEGER,
  uses INTEGER NOT NULL DEFAULT 0,
  revokedAt INTEGER
) STRICT;

CREATE TABLE user (
  userId TEXT PRIMARY KEY,
  email TEXT NOT NULL COLLATE NOCASE,
  name TEXT,
  groups TEXT NOT NULL,
  createdAt INTEGER NOT NULL,
  deletedAt INTEGER
) STRICT;
CREATE UNIQUE INDEX user_email ON user (email) WHERE deletedAt IS NULL;

CREATE TABLE device (
  deviceId TEXT PRIMARY KEY,
  thumbprint TEXT NOT NULL,
  publicKey TEXT NOT NULL,
  hostname TEXT NOT NULL,
  os TEXT NOT NULL,
  osVersion TEXT NOT NULL,
  agentVersion TEXT NOT NULL,
  enrolledAt INTEGER NOT NULL,
  lastSeenAt INTEGER NOT NULL,
  deletedAt INTEGER
) STRICT;
CREATE UNIQUE INDEX device_key ON device (thumbprint) WHERE deletedAt IS NULL;

CREATE TABLE binding (
  deviceId TEXT NOT NULL REFERENCES device,
  userId TEXT NOT NULL REFERENCES user,
  username TEXT NOT NULL,
  boundAt INTEGER NOT NULL,
  removedAt INTEGER,
  PRIMARY KEY (deviceId, userId)
) STRICT;
CREATE UNIQUE INDEX binding_account ON binding (deviceId, username) WHERE removedAt IS NULL;
CREATE INDEX binding_user ON binding (userId);

CREATE TABLE certificate (
  serial TEXT PRIMARY KEY,
  sha256 TEXT NOT NULL UNIQUE,
  commonName TEXT NOT NULL UNIQUE,
  deviceId TEXT NOT NULL REFERENCES device,
  userId TEXT NOT NULL REFERENCES user,
  spkiSha256 TEXT NOT NULL,
  pem TEXT NOT NULL,
  kind TEXT NOT NULL,
  issuedAt INTEGER NOT NULL,
  notBefore INTEGER NOT NULL,
  notAfter INTEGER NOT NULL,
  renewalStart INTEGER NOT NULL,
  renewalEnd INTEGER NOT NULL,
  installedAt INTEGER,
  supersededAt INTEGER,
  revokedAt INTEGER,
  reason TEXT
) STRICT;
CREATE INDEX certificate_owner ON certificate (deviceId, userId);
CREATE INDEX certificate_user ON certificate (userId);
CREATE INDEX certificate_key ON certificate (spkiSha256);
CREATE INDEX certificate_end ON certificate (notAfter) WHERE revokedAt IS NULL;
CREATE INDEX certificate_overlap ON certificate (supersededAt)
  WHERE supersededAt IS NOT NULL AND revokedAt IS NULL;
CREATE INDEX certificate_revoked ON certificate (revokedAt) WHERE revokedAt IS NOT NULL;

CREATE TABLE report (
  deviceId TEXT NOT NULL REFERENCES device,
  userId TEXT NOT NULL REFERENCES user,
  at INTEGER NOT NULL,
  state TEXT NOT NULL,
  serial TEXT,
  filters TEXT NOT NULL,
  error TEXT,
  PRIMARY KEY (deviceId, userId)
) STRICT;

CREATE TABLE removal_receipt (
  deviceId TEXT NOT NULL REFERENCES device,
  userId TEXT NOT NULL REFERENCES user,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (deviceId, userId, kind, id)
) STRICT;

CREATE TABLE policy (policyId TEXT PRIMARY KEY, value TEXT NOT NULL, createdAt INTEGER NOT NULL) STRICT;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  eventId TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  deviceId TEXT,
  userId TEXT,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX event_type ON event (type, at);
CREATE TRIGGER event_kept_as_written BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_kept BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE nonce (
  keyid TEXT NOT NULL,
  nonce TEXT NOT NULL,
  expiresAt INTEGER NOT NULL,
  PRIMARY KEY (keyid, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonce_end ON nonce (expiresAt);

CREATE TABLE crl (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT;
INSERT INTO crl (id, number) VALUES (1, 0);
`,
  `
ALTER TABLE certificate ADD COLUMN issuerKeyIdentifier TEXT;
`,
  `
DROP INDEX certificate_revoked;
CREATE INDEX certificate_listed ON certificate (notAfter) WHERE revokedAt IS NOT NULL;
`,
];

/** Reads a JSON column through `schema`. */
export function json<T>(schema: z.ZodType<T>): z.ZodType<T> {
  return z.string().transform((text): unknown => JSON.parse(text)).pipe(schema);
}

/** Values for a statement's named parameters. */
export type Parameters = Record<string, SQLInputValue>;

/** One open SQLite file. Statements are prepared once; rows are checked on their way out. */
export class Database {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens or creates the file at `path` (`":memory:"` for none) and brings its schema up to date.
   * A commit outlives a kill of this process, not always a loss of power (`synchronous=NORMAL`).
   * Throws when the file was written by a newer version, and leaves that file as it is.
   */
  constructor(path: string) {
    this.#database = new DatabaseSync(path, { enableForeignKeyConstraints: true });
    const { version } =
      this.#database.prepare("SELECT user_version AS version FROM pragma_user_version")
        .get() ?? {};
    if (typeof version !== "number" || version > MIGRATIONS.length) {
      this.#database.close();
      throw new Error(
        `Cannot open '${path}': its schema is version ${version} and this program knows ` +
          `${MIGRATIONS.length}; start the newer program, or use another --data folder`,
      );
    }
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    this.transaction(() => {
      for (const step of MIGRATIONS.slice(version)) this.#database.exec(step);
      this.#database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    });
  }

  /** Every row, as `row` reads it. */
  all<T>(row: z.ZodType<T>, sql: string, parameters: Parameters = {}): T[] {
    return this.#prepare(sql).all(parameters).map((found) => row.parse(found));
  }

  /** The first row, or undefined. */
  get<T>(row: z.ZodType<T>, sql: string, parameters: Parameters = {}): T | undefined {
    const found = this.#prepare(sql).get(parameters);
    return found && row.parse(found);
  }

  /** Runs a statement; answers how many rows it changed. */
  run(sql: string, parameters: Parameters = {}): number {
    return Number(this.#prepare(sql).run(parameters).changes);
  }

  /** Runs `work` so that all of its writes count or none; inside another one, as a part of it. */
  transaction<T>(work: () => T): T {
    if (this.#database.isTransaction) return work();
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  /** Closes the file; nothing may be asked of it afterwards. */
  close(): void {
    this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
