/** Where a user's ledger is: a file in the user's own state folder, made and removed with it. */
import { dirname } from "node:path";
import { Problem, toProblem } from "../platform/errors.ts";
import { NewerDatabase } from "./database.ts";
import { Ledger } from "./ledger.ts";

/** A user's ledger, open or not. */
export interface LedgerPlace {
  /** Whether there is one. */
  exists(): Promise<boolean>;
  /** Opens it, and makes it first where it is missing. @throws Problem, NewerDatabase */
  open(): Promise<Ledger>;
  /** Removes it for good; absent is success. */
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
        const ledger = new Ledger(path, now);
        for (const path of made) ledger.recordPath({ path, kind: "directory" });
        return ledger;
      } catch (cause) {
        if (cause instanceof NewerDatabase) throw cause;
        const { message } = toProblem(cause);
        throw new Problem(
          "internal",
          `Cannot use the ledger ${path}: ${message}. Put right what is there; it is tried again.`,
          { cause },
        );
      }
    },
    async remove() {
      for (const suffix of ["", "-wal", "-shm"]) await removeIfThere(path + suffix);
      try {
        await Deno.remove(stateDir);
      } catch (error) {
        // Somebody else's file in our folder keeps the folder.
        if (!(error instanceof Error && "code" in error && error.code === "ENOTEMPTY")) throw error;
      }
    },
  };
}

/** Where a user's ledger is, below the user's state folder. */
export function ledgerPath({ stateDir }: { stateDir: string }): string {
  return `${stateDir}/ledger.db`;
}

/** Folders above a folder that are not there, outermost first. */
async function missingParents(folder: string): Promise<string[]> {
  const parent = dirname(folder);
  return await exists(parent) ? [] : [...await missingParents(parent), parent];
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
