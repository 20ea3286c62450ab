/**
 * Why an NSS database would not do what it was asked. NSS answers a lock, a full disk and a damaged
 * file with the same error, so the surroundings are looked at, after the failure only.
 */
import { DatabaseSync } from "node:sqlite";
import { Problem } from "../errors.ts";

const FILES = ["cert9.db", "key4.db"] as const;
const SQLITE_MAGIC = "SQLite format 3\0";

/** Bytes that must fit into the folder for a change to have a chance. */
const ROOM = 128 * 1024;

/**
 * The Problem behind a failed call: `disk-full`, `store-locked` or `internal`, with what to do.
 *
 * @param doing what was tried, as in "Cannot store the key"
 */
export function explainNss(directory: string, doing: string, cause: unknown): Problem {
  return obstacle(directory, doing, cause) ?? lockedProblem(directory, doing, cause);
}

/** Like {@link explainNss}, but only what waiting for a lock cannot heal. */
export function obstacle(directory: string, doing: string, cause: unknown): Problem | undefined {
  const damaged = FILES.find((name) => isDamaged(`${directory}/${name}`));
  if (damaged !== undefined) {
    return new Problem(
      "internal",
      `${doing}: ${directory}/${damaged} is damaged. Close the browsers, move the folder ` +
        `${directory} away (or restore it from a backup), and it is made anew.`,
      { cause },
    );
  }
  return noRoom(directory, doing, cause);
}

function lockedProblem(directory: string, doing: string, cause: unknown): Problem {
  const holders = lockHolders(directory).join(", ");
  return new Problem(
    "store-locked",
    `${doing}: ${holders || "another program, most likely,"} holds ${directory}. It is tried ` +
      "again; if this stays, close the browsers.",
    { cause },
  );
}

/** Writes and forgets a nameless file, which also shows quotas and read-only mounts. */
function noRoom(directory: string, doing: string, cause: unknown): Problem | undefined {
  try {
    const path = Deno.makeTempFileSync({ dir: directory, prefix: ".device-trust-" });
    using file = openUnlinked(path);
    file.writeSync(new Uint8Array(ROOM));
    return undefined;
  } catch (error) {
    return folderProblem(directory, doing, error, cause);
  }
}

function openUnlinked(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { write: true });
  } finally {
    Deno.removeSync(path);
  }
}

/** The Problem behind a failed file operation in a folder. */
export function folderProblem(
  directory: string,
  doing: string,
  error: unknown,
  cause: unknown = error,
): Problem {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOSPC" || code === "EDQUOT" || error instanceof Deno.errors.WriteZero) {
    return new Problem(
      "disk-full",
      `${doing}: no room left for ${directory} (disk or quota). Free some space; it is tried again.`,
      { cause },
    );
  }
  if (code === "EROFS" || code === "EACCES" || code === "EPERM") {
    return new Problem(
      "internal",
      `${doing}: ${directory} cannot be written (${code}). Make the home folder writable for its ` +
        "user (mount it read-write, or repair owner and permissions); it is tried again.",
      { cause },
    );
  }
  return new Problem("internal", `${doing}: ${String(error)} at ${directory}.`, { cause: error });
}

/** Whether a file is there and cannot be an intact SQLite database. An empty file is intact. */
function isDamaged(path: string): boolean {
  let bytes: Uint8Array;
  let size: number;
  try {
    using file = Deno.openSync(path, { read: true });
    size = file.statSync().size;
    bytes = new Uint8Array(100);
    if (size === 0) return false;
    if (file.readSync(bytes) !== bytes.length) return true;
  } catch {
    // Absent or unreadable: not damaged as far as anybody can tell; the write probe says more.
    return false;
  }
  if (new TextDecoder("latin1").decode(bytes.subarray(0, 16)) !== SQLITE_MAGIC) return true;
  const header = new DataView(bytes.buffer);
  const pageSize = header.getUint16(16) === 1 ? 65_536 : header.getUint16(16);
  if (size < pageSize * header.getUint32(28)) return true;
  return lockHolders(path).length === 0 && !passesQuickCheck(path);
}

function passesQuickCheck(path: string): boolean {
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      return database.prepare("PRAGMA quick_check(1)").get()?.quick_check === "ok";
    } finally {
      database.close();
    }
  } catch (error) {
    // A lock taken this instant is no damage; the file's structure is what quick_check reads.
    return lockHolders(path).length > 0 || !(error instanceof Error);
  }
}

/** Programs that hold a POSIX lock on a database file or, given the folder, on either of them. */
function lockHolders(path: string): string[] {
  const inodes = new Set<string>();
  for (const file of [path, ...FILES.map((name) => `${path}/${name}`)]) {
    const inode = inodeOf(file);
    if (inode !== undefined) inodes.add(inode);
  }
  const holders = new Set<string>();
  for (const line of readText("/proc/locks").split("\n")) {
    // 1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 1073741824 1073742335
    const [, , , , pid, device] = line.trim().split(/\s+/);
    const inode = device?.split(":")[2];
    if (pid === undefined || inode === undefined || !inodes.has(inode)) continue;
    if (pid === String(Deno.pid)) continue;
    const name = readText(`/proc/${pid}/comm`).trim();
    holders.add(`${name || "a program"} (process ${pid})`);
  }
  return [...holders];
}

function inodeOf(path: string): string | undefined {
  try {
    const { ino, isFile } = Deno.statSync(path);
    return isFile && ino !== null ? String(ino) : undefined;
  } catch {
    // Absent: nobody can hold it.
    return undefined;
  }
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    // The process is gone, or /proc is hidden: the message names nobody then.
    return "";
  }
}
