/** The folders of NSS databases: checked before use, made with a record. */
import { Problem } from "../errors.ts";
import type { CreatedPath } from "../trust_store.ts";
import type { NssDirectory } from "./nss_directories.ts";
import { folderProblem } from "./nss_trouble.ts";

/** The file that stands for a database among {@link CreatedPath}s. */
export const CERTIFICATE_FILE = "cert9.db";

/** What an NSS database consists of. */
export const DATABASE_FILES = [CERTIFICATE_FILE, "key4.db"] as const;

/** Whether a database's folder, and at least one of its files, is there. */
export function databaseExists(directory: NssDirectory): boolean {
  return DATABASE_FILES.some((name) => lstat(`${directory.path}/${name}`) !== undefined);
}

/**
 * Refuses with Problem `internal` what browsers would be led astray by: a link, something that is
 * no folder or file, or one that belongs to somebody else. Absent is fine.
 */
export function checkFolders(directory: NssDirectory, uid: number | null): void {
  for (const folder of directory.folders) check(folder, "folder", uid);
  for (const name of DATABASE_FILES) check(`${directory.path}/${name}`, "file", uid);
}

/** Makes what is missing of a database's folders, 0700, each recorded before it is made. */
export function makeFolders(directory: NssDirectory, record: (created: CreatedPath) => void): void {
  for (const path of directory.folders) {
    if (lstat(path)) continue;
    record({ path, kind: "directory" });
    try {
      Deno.mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) continue;
      if (error instanceof Deno.errors.NotFound) {
        throw new Problem(
          "home-missing",
          `Cannot make ${path}: the folder above it is not there. It is tried again once the home ` +
            "folder is mounted.",
          { cause: error },
        );
      }
      throw folderProblem(path, `Cannot make ${path}`, error);
    }
  }
}

function check(path: string, kind: "folder" | "file", uid: number | null): void {
  const info = lstat(path);
  if (!info) return;
  if (info.isSymlink) {
    throw new Problem(
      "internal",
      `${path} is a symbolic link, which is not followed. Replace it by the ${kind} itself.`,
    );
  }
  if (kind === "folder" ? !info.isDirectory : !info.isFile) {
    throw new Problem("internal", `${path} is not a ${kind}. Move it away.`);
  }
  if (uid !== null && info.uid !== uid) {
    throw new Problem(
      "internal",
      `${path} belongs to uid ${info.uid}, not to this user (${uid}). As root: ` +
        `chown -R ${uid} '${path}'`,
    );
  }
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw folderProblem(path, `Cannot look at ${path}`, error);
  }
}
