/**
 * Files and directories that root touches: written whole or not at all, never through a link, and
 * never below a directory that somebody else could change meanwhile. Synchronous, because each is
 * one small step of a larger one that must not be interleaved.
 */
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
  /** Permission bits of directories that are made, whatever the umask is. */
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
export function writeFileAtomic(_path: string, _bytes: Uint8Array, _how: AtomicWrite): void {
  throw new Error("signature only");
}

/** Removes what a killed {@link writeFileAtomic} left in a directory. Absent is success. */
export function removeLeftovers(_dir: string): void {
  throw new Error("signature only");
}

/**
 * Makes `path` and its missing parents, and refuses with {@link UnsafePath} when a component is
 * not a directory, is a link, belongs to anybody but us or root, or can be written by others.
 */
export function ensureRootOwnedDir(_path: string, _how: EnsureDirectory): void {
  throw new Error("signature only");
}

/** {@link ensureRootOwnedDir} without making anything; true when the directory is there. */
export function checkRootOwnedDir(_path: string, _root?: string): boolean {
  throw new Error("signature only");
}

/**
 * The bytes of a regular file, or undefined when nothing is there. Links, FIFOs, devices,
 * directories and files over `maxBytes` are refused with {@link UnsafePath}; never blocks.
 */
export function readRegularFile(_path: string, _maxBytes: number): Uint8Array | undefined {
  throw new Error("signature only");
}

/** Removes the file at `path` if it is a regular one that `isOurs` recognises; reads it back. */
export function removeFileIfOurs(
  _path: string,
  _isOurs: (bytes: Uint8Array) => boolean,
  _maxBytes: number,
): "removed" | "absent" | "foreign" {
  throw new Error("signature only");
}
