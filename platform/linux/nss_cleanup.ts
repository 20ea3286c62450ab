// deno-lint-ignore-file require-await -- callers remove other stores' paths with waiting
/** Takes away the folders and databases that we made, once nobody has anything in them. */
import { DatabaseSync } from "node:sqlite";
import type { CreatedPath } from "../trust_store.ts";
import { CERTIFICATE_FILE, DATABASE_FILES } from "./nss_folders.ts";
import { folderProblem } from "./nss_trouble.ts";

/** What NSS, or SQLite on its behalf, puts beside them. */
const COMPANION_FILES = ["pkcs11.txt", "cert9.db-journal", "key4.db-journal"];

/**
 * Removes those of our folders and databases that hold nothing of anybody's any more: no key, no
 * certificate, no trust setting, no file but the database's own. A database that a running program
 * has open stays too: that program would go on with the deleted files and never see their
 * successors. A path that is a link by now stays, and so does what is behind it.
 *
 * @param created everything recorded, in the order it was made
 * @returns the paths of the list that are not there any more
 * @throws Problem when something empty cannot be removed (read-only home)
 */
export async function removeCreatedPaths(created: readonly CreatedPath[]): Promise<string[]> {
  const gone = created.toReversed().filter(({ path, kind }) =>
    kind === "database" ? removeDatabase(path) : removeFolder(path)
  );
  return gone.map(({ path }) => path);
}

/** @returns whether no database is there any more */
function removeDatabase(path: string): boolean {
  const folder = path.slice(0, -`/${CERTIFICATE_FILE}`.length);
  if (!isFolder(folder)) return true;
  const names = [...Deno.readDirSync(folder)].map((entry) => entry.name);
  const own = [...COMPANION_FILES, ...DATABASE_FILES].filter((name) => names.includes(name));
  if (own.length < names.length) return false;
  if (own.includes("pkcs11.txt") && !namesNoModule(`${folder}/pkcs11.txt`)) return false;

  const files = DATABASE_FILES.filter((name) => own.includes(name))
    .map((name) => `${folder}/${name}`);
  if (files.some(isOpenElsewhere)) return false;
  // Held until the files are gone, so that nobody adds anything in between.
  using locks = new DisposableStack();
  if (!files.every((file) => lockEmpty(file, locks))) return false;
  for (const name of own) remove(`${folder}/${name}`);
  return true;
}

/** @returns whether the folder is not there any more */
function removeFolder(path: string): boolean {
  if (!isFolder(path)) return !exists(path);
  if (!Deno.readDirSync(path)[Symbol.iterator]().next().done) return false;
  remove(path);
  return true;
}

/** Locks a database against everybody; whether that worked and there is nothing in it. */
function lockEmpty(file: string, locks: DisposableStack): boolean {
  if (!Deno.lstatSync(file).isFile) return false;
  try {
    const database = new DatabaseSync(file);
    locks.defer(() => database.close());
    database.exec("BEGIN EXCLUSIVE");
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    return tables.every(({ name }) => {
      // metaData holds the password check and integrity records, not things of the user.
      if (name === "metaData") return true;
      return database.prepare(`SELECT 1 FROM "${name}" LIMIT 1`).get() === undefined;
    });
  } catch {
    // Held by somebody or damaged: nothing to take away.
    return false;
  }
}

/** Whether the list of PKCS #11 modules has only NSS's own entry. */
function namesNoModule(path: string): boolean {
  return Deno.readTextFileSync(path).split("\n")
    .every((line) => !/^library=\S/.test(line.trim()));
}

/** Whether another process of this user has the file open. */
function isOpenElsewhere(path: string): boolean {
  const { ino, dev } = Deno.statSync(path);
  for (const pid of names("/proc").filter((name) => /^\d+$/.test(name))) {
    if (pid === String(Deno.pid)) continue;
    for (const descriptor of names(`/proc/${pid}/fd`)) {
      const link = `/proc/${pid}/fd/${descriptor}`;
      try {
        if (!Deno.readLinkSync(link).endsWith(".db")) continue;
        const info = Deno.statSync(link);
        if (info.ino === ino && info.dev === dev) return true;
      } catch {
        // Closed meanwhile.
      }
    }
  }
  return false;
}

/** Names in a folder; none when it is gone or another user's. */
function names(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map((entry) => entry.name);
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  return exists(path) && Deno.lstatSync(path).isDirectory;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw folderProblem(path, `Cannot look at ${path}`, error);
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    throw folderProblem(path, `Cannot remove ${path}`, error);
  }
}
