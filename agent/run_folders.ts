/** The run folders: root's, so that no user can plant anything, and to be passed through by all. */
import { ensureRootOwnedDir } from "../platform/files.ts";
import type { SystemPaths } from "../platform/paths.ts";

/** Makes them, and the folder of the account `uid` where given. @throws UnsafePath */
export function makeRunFolders(paths: SystemPaths, root: string | undefined, uid?: string): void {
  const how = { mode: 0o711, ...(root === undefined ? {} : { root }) };
  ensureRootOwnedDir(paths.runDir, how);
  ensureRootOwnedDir(paths.usersRunDir, how);
  if (uid !== undefined) ensureRootOwnedDir(`${paths.usersRunDir}/${uid}`, how);
}
