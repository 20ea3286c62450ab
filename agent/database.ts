/**
 * SQLite as agent and user-agent use it: one writer, durable, migrated by `user_version`.
 */
import { DatabaseSync } from "node:sqlite";

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

/**
 * Opens (or creates, 0600) the database at `path` and brings it to the newest version: one
 * migration a version, each applied once and in one transaction.
 *
 * @throws NewerDatabase when the file was written by a newer version
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  const umask = Deno.build.os === "windows" ? undefined : Deno.umask(0o077);
  try {
    const database = new DatabaseSync(path, { timeout: 5000 });
    try {
      migrate(database, path, migrations);
    } catch (error) {
      database.close();
      throw error;
    }
    return database;
  } finally {
    if (umask !== undefined) Deno.umask(umask);
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
    database.exec("ROLLBACK");
    throw error;
  }
}

function version(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}
