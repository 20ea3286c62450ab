/**
 * A lock that the operating system releases when its holder ends, however it ends. It is SQLite's
 * own, on an empty database: Deno's file lock cannot be tried without waiting in all its versions.
 */
import { DatabaseSync } from "node:sqlite";
import { Problem } from "../platform/errors.ts";

/** Somebody else holds the lock. */
export class LockHeld extends Error {
  override readonly name = "LockHeld";
  constructor(readonly path: string, readonly holder: string) {
    super(`Another agent runs on this device${holder ? ` (pid ${holder})` : ""}.`);
  }
}

/**
 * Takes the lock at `path`; the file `path.pid` then holds this process's id.
 *
 * @param mode `fail` to throw soon, `wait` to block until it is free
 * @throws LockHeld
 */
export function lockFile(path: string, mode: "fail" | "wait"): Disposable {
  const lock = tryLock(path, mode === "wait" ? LONGEST_WAIT_MS : A_LOOK_MS);
  if (!lock) throw new LockHeld(path, readHolder(path));
  try {
    Deno.writeTextFileSync(`${path}.pid`, `${Deno.pid}\n`, { mode: 0o600 });
  } catch {
    // On a full disk the lock holds all the same; who holds it cannot be told then.
  }
  return { [Symbol.dispose]: () => lock.close() };
}

/** Who holds the lock at `path`; undefined when nobody does. */
export function lockHolder(path: string): { pid?: number } | undefined {
  try {
    // Looked at without opening it: closing a second handle would release this process's own lock.
    Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const lock = tryLock(path, 0);
  if (lock) {
    lock.close();
    return undefined;
  }
  const pid = Number(readHolder(path));
  return Number.isInteger(pid) && pid > 0 ? { pid } : {};
}

/** More than a `status` that looks at the same moment holds it. */
const A_LOOK_MS = 250;
/** What SQLite takes at most, 24 days. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;
const SQLITE_BUSY = 5;
const SQLITE_NOTADB = 26;

/** The lock, for as long as it is open; undefined when somebody else has it. */
function tryLock(path: string, waitMs: number): DatabaseSync | undefined {
  createPrivate(path);
  const database = new DatabaseSync(path, { timeout: waitMs });
  try {
    // Nothing is ever written, so no journal file may appear.
    database.exec("PRAGMA journal_mode = MEMORY");
    database.prepare("BEGIN IMMEDIATE").run();
    return database;
  } catch (error) {
    database.close();
    const code = error instanceof Error && "errcode" in error ? error.errcode : undefined;
    if (code === SQLITE_BUSY) return undefined;
    if (code !== SQLITE_NOTADB) throw error;
    throw new Problem("internal", `The lock file '${path}' is damaged. Remove it: rm '${path}'`, {
      cause: error,
    });
  }
}

function createPrivate(path: string): void {
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

function readHolder(path: string): string {
  try {
    return Deno.readTextFileSync(`${path}.pid`).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
