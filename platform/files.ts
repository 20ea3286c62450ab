/**
 * Files and directories that root touches: written whole or not at all, never through a link, and
 * never below a directory that somebody else could change meanwhile. Synchronous, because each is
 * one small step of a larger one that must not be interleaved. Owners and modes are POSIX; on
 * Windows the access lists of the exchange folder stand in for them.
 */
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { Problem } from "./errors.ts";

/** Something at a path is not what may be there (a link, a FIFO, somebody else's directory). */
export class UnsafePath extends Problem {
  constructor(readonly path: string, message: string, options?: { cause?: unknown }) {
    super("internal", message, options);
  }
}

/** How {@link writeFileAtomic} writes. */
export interface AtomicWrite {
  /** Permission bits of the finished file, whatever the umask is. */
  mode: number;
  /** Where the temporary file goes, on the same file system; the file's own directory by default. */
  tempDir?: string;
}

/** How {@link ensureRootOwnedDir} makes directories. */
export interface EnsureDirectory {
  /** Permission bits of directories that are made, whatever the umask is; others keep theirs. */
  mode: number;
  /**
   * Where checking starts: this directory and all between it and the wanted one are checked.
   * `--root`, else `/`.
   */
  root?: string;
  /** Called before a directory is made; when it throws, it is not made. */
  recordCreated?: (path: string) => void;
}

/**
 * Replaces the file at `path` by one with these bytes: at every instant, and after power loss, it
 * has the old content or the new, never a part. What is at `path`, even a link, is replaced and
 * not followed. Throws `disk-full` or `internal`; then the old content is still there.
 */
export function writeFileAtomic(path: string, bytes: Uint8Array, how: AtomicWrite): void {
  const tempDir = how.tempDir ?? dirname(path);
  const temp = join(tempDir, temporaryName());
  let made = false;
  try {
    const fd = fs.openSync(temp, WRITE_NEW, 0o600);
    made = true;
    try {
      for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done);
      fs.fchmodSync(fd, how.mode);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temp, path);
    made = false;
    syncDirectory(dirname(path));
  } catch (error) {
    if (made) fs.rmSync(temp, { force: true });
    throw fileProblem(`write ${path}`, error);
  }
}

/** Removes what a killed {@link writeFileAtomic} left in a directory. Absent is success. */
export function removeLeftovers(dir: string): void {
  try {
    for (const name of fs.readdirSync(dir)) {
      if (TEMPORARY.test(name)) fs.rmSync(join(dir, name), { force: true });
    }
  } catch (error) {
    if (!isAbsent(error)) throw fileProblem(`tidy ${dir}`, error);
  }
}

/**
 * Makes `path` and its missing parents, and refuses with {@link UnsafePath} when a component is
 * not a directory, is a link, belongs to anybody but us or root, or can be written by others.
 */
export function ensureRootOwnedDir(path: string, how: EnsureDirectory): void {
  for (const component of componentsFrom(how.root ?? "/", path)) {
    if (isTrustedDirectory(component)) continue;
    how.recordCreated?.(component);
    try {
      fs.mkdirSync(component, how.mode);
      fs.chmodSync(component, how.mode);
      syncDirectory(dirname(component));
    } catch (error) {
      throw fileProblem(`make the directory ${component}`, error);
    }
  }
}

/** {@link ensureRootOwnedDir} without making anything; true when the directory is there. */
export function checkRootOwnedDir(path: string, root = "/"): boolean {
  return componentsFrom(root, path).every(isTrustedDirectory);
}

/**
 * The bytes of a regular file, or undefined when nothing is there. Links, FIFOs, devices,
 * directories and files over `maxBytes` are refused with {@link UnsafePath}; never blocks.
 */
export function readRegularFile(path: string, maxBytes: number): Uint8Array | undefined {
  return readFile(path, maxBytes, () => {});
}

/**
 * {@link readRegularFile} of a file in a folder that others may write: one that has a second name is
 * refused, since that may be the one of somebody else's file.
 */
export function readUserFile(path: string, maxBytes: number): Uint8Array | undefined {
  return readFile(path, maxBytes, ({ nlink }) => {
    if (nlink !== 1n) throw new UnsafePath(path, `${path} is a file with ${nlink} names`);
  });
}

function readFile(
  path: string,
  maxBytes: number,
  check: (info: fs.BigIntStats) => void,
): Uint8Array | undefined {
  try {
    // Looking first keeps a device from being opened; the flags and the second look keep it so
    // when the path changes in between.
    const seen = fs.lstatSync(path, { bigint: true });
    if (!seen.isFile()) throw new UnsafePath(path, `${path} is ${kindOf(seen)}, not a file`);
    const fd = fs.openSync(path, READ_ONLY);
    try {
      const opened = fs.fstatSync(fd, { bigint: true });
      if (!opened.isFile() || opened.dev !== seen.dev || opened.ino !== seen.ino) {
        throw new UnsafePath(path, `${path} changed while it was opened`);
      }
      check(opened);
      return readBounded(fd, path, maxBytes);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw fileProblem(`read ${path}`, error);
  }
}

/** Removes the file at `path` if it is a regular one that `isOurs` recognises; reads it back. */
export function removeFileIfOurs(
  path: string,
  isOurs: (bytes: Uint8Array) => boolean,
  maxBytes: number,
): "removed" | "absent" | "foreign" {
  let bytes: Uint8Array | undefined;
  try {
    bytes = readRegularFile(path, maxBytes);
  } catch (error) {
    if (error instanceof UnsafePath) return "foreign";
    throw error;
  }
  if (bytes === undefined) return "absent";
  if (!isOurs(bytes)) return "foreign";
  try {
    fs.unlinkSync(path);
    syncDirectory(dirname(path));
  } catch (error) {
    if (!isAbsent(error)) throw fileProblem(`remove ${path}`, error);
  }
  if (fs.lstatSync(path, { throwIfNoEntry: false })) {
    throw new Problem("internal", `Removed ${path}, but something is there again`);
  }
  return "removed";
}

/**
 * Whether a folder is on a file system that is mounted read-only; changes nothing. The kernel says
 * so before it looks whether what is to be renamed is there (access(2) is not to be had here).
 */
export function isReadOnly(folder: string): boolean {
  const nothing = join(folder, temporaryName());
  try {
    fs.renameSync(nothing, nothing);
    return false;
  } catch (error) {
    return codeOf(error) === "EROFS";
  }
}

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY, O_WRONLY } = fs.constants;
const WRITE_NEW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const READ_ONLY = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

const TEMPORARY = /^\.device-trust-[0-9a-f]{16}\.tmp$/;

function temporaryName(): string {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return `.device-trust-${random.toHex()}.tmp`;
}

/** `root` and every directory below it down to `path`. */
function componentsFrom(root: string, path: string): string[] {
  const top = resolve(root);
  const rest = relative(top, resolve(path));
  if (rest.split(sep)[0] === "..") {
    throw new UnsafePath(path, `${path} is not under ${top}, where all paths must be`);
  }
  const components = [top];
  for (const name of rest.split(sep).filter(Boolean)) {
    components.push(join(components.at(-1) ?? top, name));
  }
  return components;
}

/** False when nothing is there; throws when something is there that nobody should rely on. */
function isTrustedDirectory(path: string): boolean {
  const info = lookAtDirectory(path);
  if (!info) return false;
  const refuse = (why: string): never => {
    throw new UnsafePath(path, `${path} ${why}; put a directory of root's own there`);
  };
  if (!info.isDirectory()) return refuse(`is ${kindOf(info)}, not a directory`);
  if (Deno.build.os === "windows") return true;
  if (info.uid !== 0 && info.uid !== Deno.uid()) return refuse(`belongs to uid ${info.uid}`);
  if (info.mode & 0o002) return refuse("can be changed by everybody");
  // A user's own group, for unprivileged use with the umask 002 of some distributions.
  if (info.mode & 0o020 && !TRUSTED_GROUPS.has(info.gid) && info.gid !== Deno.gid()) {
    return refuse(`can be changed by group ${info.gid}`);
  }
  return true;
}

/**
 * Root's own group; on macOS also that of the system's daemons (1), who share `/var/run`, and that
 * of administrators (80), who may become root.
 */
const TRUSTED_GROUPS: ReadonlySet<number> = new Set(Deno.build.os === "darwin" ? [0, 1, 80] : [0]);

/** A link that root made right below `/` is the system's own layout (`/var` of macOS). */
function lookAtDirectory(path: string): fs.Stats | undefined {
  try {
    const info = fs.lstatSync(path, { throwIfNoEntry: false });
    const ofTheSystem = info?.isSymbolicLink() && info.uid === 0 && dirname(path) === "/";
    return ofTheSystem ? fs.statSync(path) : info;
  } catch (error) {
    throw fileProblem(`look at ${path}`, error);
  }
}

function kindOf(info: fs.Stats | fs.BigIntStats): string {
  if (info.isSymbolicLink()) return "a symbolic link";
  if (info.isFIFO()) return "a FIFO";
  if (info.isSocket()) return "a socket";
  if (info.isDirectory()) return "a directory";
  return info.isFile() ? "a file" : "a device";
}

/** Bounded by what is read, not by what the file said of its size: the kernel's say 0. */
function readBounded(fd: number, path: string, maxBytes: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let size = 0;;) {
    const chunk = new Uint8Array(Math.min(64 * 1024, maxBytes + 1 - size));
    const read = fs.readSync(fd, chunk, 0, chunk.length, null);
    if (read === 0) return new Uint8Array(Buffer.concat(chunks));
    chunks.push(chunk.subarray(0, read));
    size += read;
    if (size > maxBytes) throw new UnsafePath(path, `${path} is larger than ${maxBytes} bytes`);
  }
}

/** Makes a rename or removal in a directory durable. */
function syncDirectory(path: string): void {
  if (Deno.build.os === "windows") return;
  const fd = fs.openSync(path, O_RDONLY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function isAbsent(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

function fileProblem(task: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new Problem("disk-full", `Cannot ${task}: no space left; free some`, { cause: error });
  }
  return new Problem("internal", `Cannot ${task}: ${code ?? String(error)}`, { cause: error });
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
