/** Whether a file system has room left. */

/** Room that a small change needs, bytes. */
const ROOM = 128 * 1024;

/** Whether the file system of a folder has room left; true where nobody can tell (quotas). */
export function hasRoom(folder: string): boolean {
  try {
    // Not imported: the waiting agent, which asks when a write has failed, would hold 14 MB for it.
    const { bavail, bsize } = globalThis.process.getBuiltinModule("node:fs").statfsSync(folder);
    return bavail * bsize >= ROOM;
  } catch {
    return true;
  }
}
