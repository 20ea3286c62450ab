/** The agent's folders on Windows, each with the accesses that DESIGN section 6 gives it. */
import { dirname, join } from "node:path";
import type { SystemPaths } from "../paths.ts";
import { DESCRIPTORS } from "./access_rules.ts";
import { ensureFolder } from "./folders.ts";

/** Makes the folder of the agent's state. @throws UnsafePath, Problem */
export function makeStateFolder(paths: SystemPaths): void {
  makeDeviceFolder(paths);
  ensureFolder(paths.stateDir, DESCRIPTORS.private, "ours");
}

/** Makes the folder of the agent's logs. @throws UnsafePath, Problem */
export function makeLogFolder(paths: SystemPaths): void {
  makeDeviceFolder(paths);
  ensureFolder(paths.logDir, DESCRIPTORS.private, "ours");
}

/**
 * Makes the folders that the agent is met in, and those of one account where given.
 *
 * @param sid of the account
 * @throws UnsafePath, Problem
 */
export function makeRunFolders(paths: SystemPaths, sid?: string): void {
  makeDeviceFolder(paths);
  ensureFolder(paths.usersRunDir, DESCRIPTORS.passage, "ours");
  ensureFolder(paths.control, DESCRIPTORS.private, "ours");
  for (const name of ["in", "out"]) {
    ensureFolder(join(paths.control, name), DESCRIPTORS.private, "ours");
  }
  if (sid === undefined) return;
  const own = join(paths.usersRunDir, sid);
  ensureFolder(own, DESCRIPTORS.user(sid), "ours");
  ensureFolder(join(own, "in"), DESCRIPTORS.in(sid), "others");
  ensureFolder(join(own, "out"), DESCRIPTORS.out(sid), "ours");
}

/** Makes the same folders under a `--root`, which is its caller's as a whole. */
export function makeFoldersUnderRoot(paths: SystemPaths, sid?: string): void {
  const meetings = [paths.control, ...sid === undefined ? [] : [join(paths.usersRunDir, sid)]];
  const folders = meetings.flatMap((folder) => [join(folder, "in"), join(folder, "out")]);
  for (const path of [paths.stateDir, paths.logDir, paths.usersRunDir, ...folders]) {
    Deno.mkdirSync(path, { recursive: true });
  }
}

/** `%ProgramData%\Device Trust`, which also holds what administrators put there. */
function makeDeviceFolder(paths: SystemPaths): void {
  ensureFolder(dirname(paths.stateDir), DESCRIPTORS.passage, "ours");
}
