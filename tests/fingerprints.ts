/** What tells whether somebody has touched files: everything about them but when they were read. */
import { createHash } from "node:crypto";
import fs from "node:fs";

/** Path -> everything about it, of these paths and all that is below them; "absent" where nothing is. */
export function fingerprints(...paths: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  const look = (path: string) => {
    const info = fs.lstatSync(path, { throwIfNoEntry: false });
    found[path] = info ? fingerprint(path, info) : "absent";
    if (!info?.isDirectory()) return;
    for (const name of fs.readdirSync(path).toSorted()) look(`${path}/${name}`);
  };
  for (const path of paths) look(path);
  return found;
}

/** The same without times, for folders that others may rightly write into. */
export function ownersAndModes(...paths: string[]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fingerprints(...paths)).map(([path, facts]) => [
      path,
      facts.replace(/ modified \S+/, ""),
    ]),
  );
}

function fingerprint(path: string, info: fs.Stats): string {
  const { mode, uid, gid, mtimeMs } = info;
  return `${kindOf(path, info)} mode ${mode.toString(8)} of ${uid}:${gid} modified ${mtimeMs}`;
}

function kindOf(path: string, info: fs.Stats): string {
  if (info.isSymbolicLink()) return `link to ${fs.readlinkSync(path)}`;
  if (info.isFile()) return createHash("sha256").update(fs.readFileSync(path)).digest("hex");
  return info.isDirectory() ? "folder" : "neither file nor folder";
}
