/** What is in the NSS databases that a user's browsers open, changing nothing, for `doctor`. */
import { toProblem } from "../errors.ts";
import type { InspectedStore } from "../findings.ts";
import { nssDirectories, type NssDirectory } from "./nss_directories.ts";
import { checkFolders, databaseExists } from "./nss_folders.ts";
import { openReadOnly } from "./nss_reader.ts";
import { fileSystemProbe } from "./nssdb.ts";

/** Whose databases to look at. */
export interface StoreOwner {
  /** Absolute. */
  home: string;
  xdgDataHome?: string;
  /** Whose the folders must be. */
  uid: number;
}

/**
 * Looks at every database, the user's own first. What is wrong with one is said of that one alone.
 * Calls block, for at most `timeoutMs` with each database that somebody holds.
 */
export function inspectStores(owner: StoreOwner, timeoutMs: number): InspectedStore[] {
  return nssDirectories(owner.home, owner.xdgDataHome, fileSystemProbe)
    .map((directory) => inspect(directory, owner.uid, timeoutMs));
}

function inspect(directory: NssDirectory, uid: number, timeoutMs: number): InspectedStore {
  const { path, usedBy } = directory;
  const found: InspectedStore = { path, usedBy, exists: false, certificates: [] };
  try {
    checkFolders(directory, uid);
    found.exists = databaseExists(directory);
    if (!found.exists) return found;
    using database = openReadOnly(path, timeoutMs);
    const certificates = database.certificates();
    return { ...found, certificates };
  } catch (error) {
    return { ...found, problem: toProblem(error) };
  }
}
