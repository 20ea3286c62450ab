/** A damaged database gives way to a new one, which takes over what can still be read of the old. */
import { DatabaseSync } from "node:sqlite";
import { openDatabase } from "./database.ts";

/** What becomes of a damaged database. */
export interface Replacement {
  migrations: readonly string[];
  /** Tables whose rows are worth having. */
  tables: readonly string[];
  /** Local clock, milliseconds. */
  now: number;
}

/**
 * Puts a new database in the place of the damaged one at `path`, with every row of `tables` that can
 * still be read. Gives the path that the damaged one has now, `PATH.corrupt-TIME`.
 */
export function replaceDamaged(path: string, { migrations, tables, now }: Replacement): string {
  const aside = `${path}.corrupt-${new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")}`;
  for (const suffix of ["", "-wal", "-shm"]) moveIfThere(path + suffix, aside + suffix);
  const fresh = openDatabase(path, migrations);
  try {
    for (const table of tables) copyReadable(table, aside, fresh);
  } finally {
    fresh.close();
  }
  return aside;
}

/** Copies rows until one cannot be read; a table that is lost as a whole is left out. */
function copyReadable(table: string, from: string, to: DatabaseSync): void {
  try {
    using damaged = new DatabaseSync(from, { readOnly: true });
    for (const row of damaged.prepare(`SELECT * FROM ${table}`).iterate()) {
      const columns = Object.keys(row);
      const places = columns.map(() => "?").join();
      to.prepare(`INSERT OR IGNORE INTO ${table} (${columns.join()}) VALUES (${places})`)
        .run(...Object.values(row));
    }
  } catch {
    // That is the damage.
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
