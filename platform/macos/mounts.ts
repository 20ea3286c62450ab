/** Which file system a path is on, by what mount(8) of macOS prints. Pure. */

/**
 * The type of the file system that holds `path` (absolute, links resolved); undefined when no line
 * covers it. Lines that make no sense are skipped.
 */
export function fileSystemType(mounts: string, path: string): string | undefined {
  let best: { length: number; type: string } | undefined;
  for (const line of mounts.split("\n")) {
    // Names are printed as they are: what a share is called may hold " on " and brackets as well.
    const [, place, type] = /^.* on (\/.*) \(([a-z0-9]+)[^()]*\)$/.exec(line) ?? [];
    if (place === undefined || type === undefined) continue;
    for (
      const shown of [place, ...place.startsWith(DATA) ? [place.slice(DATA.length) || "/"] : []]
    ) {
      const covers = shown === "/" || path === shown || path.startsWith(`${shown}/`);
      // Of two on one place the later hides the earlier.
      if (covers && shown.length >= (best?.length ?? 0)) best = { length: shown.length, type };
    }
  }
  return best?.type;
}

/** The part of the disk that can be written: the root of the other shows what is in it as its own. */
const DATA = "/System/Volumes/Data";

/** Whether files of this type of file system are seen by other computers too. */
export function isNetworkFileSystem(type: string): boolean {
  return NETWORK.has(type);
}

/** Disks of a virtual machine's host (virtiofs, vmhgfs) are left out: one machine has them. */
const NETWORK = new Set(["nfs", "smbfs", "afpfs", "webdav", "ftp", "cifs", "acfs", "autofs"]);
