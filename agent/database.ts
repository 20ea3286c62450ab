/**
 * SQLite as agent and user-agent use it: one writer, durable, migrated by `user_version`.
 */
import { DatabaseSync } from "node:sqlite";
import { Problem } from "../platform/errors.ts";
import { hasRoom } from "../platform/room.ts";
import { systemWords } from "./system_words.ts";

/** A state file of a newer version of this program: refused, untouched. */
export class NewerDatabase extends Error {
  override readonly name = "NewerDatabase";
  constructor(path: string, found: number, known: number) {
    super(
      `Cannot open '${path}': its version is ${found} and this program knows versions up to ` +
        `${known}. Install the newer device-trust again, or remove the file to start afresh.`,
    );
  }
}

/** A file that is no intact database: cut short, overwritten, or never one. Untouched. */
export class DamagedDatabase extends Error {
  override readonly name = "DamagedDatabase";
  constructor(path: string, why: string) {
    super(
      `'${path}' is damaged (${why}). The agent sets it aside and goes on with what can be read ` +
        `of it; start the agent anew: ${systemWords(Deno.build.os).restart}.`,
    );
  }
}

/**
 * Opens (or creates, as the umask has it) the database at `path` and brings it to the newest
 * version: one migration a version, each applied once and in one transaction.
 *
 * @throws NewerDatabase when the file was written by a newer version
 * @throws DamagedDatabase
 * @throws Problem `disk-full`, or `internal` when the file cannot be written
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  return explained(path, () => openMigrated(path, migrations));
}

/** Does something with the database at `path`; what SQLite refuses is told as people need it. */
export function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explanation(path, error);
  }
}

/** Primary result codes of SQLite, https://sqlite.org/rescode.html. */
const SQLITE = { READONLY: 8, IOERR: 10, CORRUPT: 11, FULL: 13, CANTOPEN: 14, NOTADB: 26 } as const;

function explanation(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) {
    return error;
  }
  switch (error.errcode & 0xff) {
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return new DamagedDatabase(path, error.message);
    case SQLITE.FULL:
      return fullProblem(path, error);
    case SQLITE.READONLY:
    case SQLITE.IOERR:
    case SQLITE.CANTOPEN:
      // It says these, too, when there is no room for a file that it needs.
      return hasRoom(path.slice(0, path.lastIndexOf("/")))
        ? unwritableProblem(path, error)
        : fullProblem(path, error);
    default:
      return error;
  }
}

function fullProblem(path: string, cause: Error): Problem {
  return new Problem(
    "disk-full",
    `Cannot write '${path}': no room left (disk or quota). Free some space; it is tried again.`,
    { cause },
  );
}

function unwritableProblem(path: string, cause: Error): Problem {
  return new Problem(
    "internal",
    `Cannot use '${path}': ${cause.message}. Make its folder writable (mount it read-write, or ` +
      "repair owner and permissions); it is tried again.",
    { cause },
  );
}

function openMigrated(path: string, migrations: readonly string[]): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5000 });
  try {
    migrate(database, path, migrations);
    const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() ?? {};
    if (found !== "ok") throw new DamagedDatabase(path, String(found).replace(/\s+/g, " "));
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Opens a database that is there, to read it and nothing else: it is not migrated, so only what
 * every version has may be asked for. Undefined when whoever made it did not come to fill it.
 *
 * @throws NewerDatabase when the file was written by a newer version
 * @throws SQLite's own errors, see {@link explained}
 */
export function readDatabase(
  path: string,
  migrations: readonly string[],
): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: 5000, readOnly: true });
  try {
    const found = version(database);
    if (found > migrations.length) throw new NewerDatabase(path, found, migrations.length);
    if (found > 0) return database;
    database.close();
    return undefined;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  const found = version(database);
  if (found > migrations.length) throw new NewerDatabase(path, found, migrations.length);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  if (found === migrations.length) return;
  transaction(database, () => {
    // Looked at again inside the transaction: another process may have been faster.
    for (let next = version(database); next < migrations.length; next++) {
      database.exec(`${migrations[next]}; PRAGMA user_version = ${next + 1}`);
    }
  });
}

/** Runs `work` in one immediate transaction; whatever it throws undoes it. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    // SQLite may have done so by itself, when the disk was full.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function version(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}
