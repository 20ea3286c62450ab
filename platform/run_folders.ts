/** The agent's folders where it is met at sockets: root's, so that no user can plant anything. */
import { ensureRootOwnedDir } from "./files.ts";
import type { SystemPaths } from "./paths.ts";

/** Makes the folder of the agent's state, root's alone. @throws UnsafePath */
export function makeStateFolder(paths: SystemPaths, root: string | undefined): void {
  ensureRootOwnedDir(paths.stateDir, { mode: 0o700, ...(root === undefined ? {} : { root }) });
}

/** Makes them, and the folder of the account `uid` where given. @throws UnsafePath */
export function makeRunFolders(paths: SystemPaths, root: string | undefined, uid?: string): void {
  const how = { mode: 0o711, ...(root === undefined ? {} : { root }) };
  ensureRootOwnedDir(paths.runDir, how);
  ensureRootOwnedDir(paths.usersRunDir, how);
  if (uid !== undefined) ensureRootOwnedDir(`${paths.usersRunDir}/${uid}`, how);
}
