/** Debians to try packages on: systemd, NSS and its tools, and little else. */
import { CACHE, type CachedTree, debootstrap, ensureTree } from "./cached_tree.ts";

/** Those that packages are tried on: 12 and 13. */
export const SUITES = ["bookworm", "trixie"] as const;
/** One of {@link SUITES}. */
export type Suite = typeof SUITES[number];

/** Where the tree of a suite is. */
export function debianTree(suite: Suite): string {
  return `${CACHE}/debian-${suite}`;
}

/** Whether all are there, whole. */
export function hasDebianTrees(): boolean {
  return SUITES.every(isThere);
}

/** Sees that all are there (see `ensureTree`): 300 MB each. */
export async function ensureDebianTrees(log: (line: string) => void): Promise<boolean> {
  for (const suite of SUITES) if (!await ensureTree(treeOf(suite), log)) return false;
  return true;
}

const PACKAGES = ["systemd-sysv", "dbus", "libnss3", "libnss3-tools", "rpm"];

function treeOf(suite: Suite): CachedTree {
  return {
    name: `Debian ${suite}`,
    option: "--debian",
    path: debianTree(suite),
    isThere: () => isThere(suite),
    async build(folder, step) {
      await step("Debian", ...await debootstrap(suite, folder, PACKAGES));
    },
  };
}

function isThere(suite: Suite): boolean {
  try {
    return Deno.statSync(debianTree(suite)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}
