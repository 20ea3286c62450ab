/** Where a user's ledger is: a file in the user's own state folder, made and removed with it. */
import { dirname } from "node:path";
import { Problem, toProblem } from "../platform/errors.ts";
import { replaceDamaged } from "./damaged_database.ts";
import { DamagedDatabase, NewerDatabase } from "./database.ts";
import { Ledger, LEDGER_MIGRATIONS } from "./ledger.ts";

/** A user's ledger, open or not. */
export interface LedgerPlace {
  /** Whether there is one. */
  exists(): Promise<boolean>;
  /** Opens it, and makes it first where it is missing. @throws Problem, NewerDatabase */
  open(): Promise<Ledger>;
  /** Removes it for good, also what was set aside of it; absent is success. */
  remove(): Promise<void>;
}

/** The ledger in `stateDir`; folders that it needs are made, and recorded in it. */
export function ledgerFile(stateDir: string, now: () => number): LedgerPlace {
  const path = ledgerPath({ stateDir });
  return {
    exists: () => exists(path),
    async open() {
      try {
        const made = await missingParents(stateDir);
        await Deno.mkdir(stateDir, { recursive: true, mode: 0o700 });
        const ledger = openLedger(path, now);
        for (const path of made) ledger.recordPath({ path, kind: "directory" });
        return ledger;
      } catch (cause) {
        if (cause instanceof NewerDatabase || cause instanceof Problem) throw cause;
        const { message } = toProblem(cause);
        throw new Problem(
          isNoRoom(cause) ? "disk-full" : "internal",
          `Cannot use the ledger ${path}: ${message}. Put right what is there; it is tried again.`,
          { cause },
        );
      }
    },
    async remove() {
      for (const name of await namesIn(stateDir)) {
        if (/^ledger\.db($|-|\.corrupt-)/.test(name)) await removeIfThere(`${stateDir}/${name}`);
      }
      try {
        await Deno.remove(stateDir);
      } catch (error) {
        // Somebody else's file in our folder keeps the folder.
        if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "ENOENT") throw error;
      }
    },
  };
}

/** Where a user's ledger is, below the user's state folder. */
export function ledgerPath({ stateDir }: { stateDir: string }): string {
  return `${stateDir}/ledger.db`;
}

/** What a damaged one tells still is taken over by its successor; the store tells the rest. */
function openLedger(path: string, now: () => number): Ledger {
  try {
    return new Ledger(path, now);
  } catch (error) {
    if (!(error instanceof DamagedDatabase)) throw error;
    const tables = ["key", "certificate", "created_path", "filter", "event"];
    const aside = replaceDamaged(path, { migrations: LEDGER_MIGRATIONS, tables, now: now() });
    const ledger = new Ledger(path, now);
    ledger.recordEvent("ledger.replaced", aside);
    return ledger;
  }
}

/** Folders above a folder that are not there, outermost first. */
async function missingParents(folder: string): Promise<string[]> {
  const parent = dirname(folder);
  return await exists(parent) ? [] : [...await missingParents(parent), parent];
}

async function namesIn(folder: string): Promise<string[]> {
  if (!await exists(folder)) return [];
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

function isNoRoom(error: unknown): boolean {
  return codeOf(error) === "ENOSPC" || codeOf(error) === "EDQUOT";
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    const absent = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (absent) return false;
    throw error;
  }
}
