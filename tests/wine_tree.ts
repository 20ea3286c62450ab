/**
 * A Debian tree of its own, with a Wine that runs the Windows build of this very Deno: the Wine of
 * older systems is too old for it.
 */
import { CACHE, type CachedTree, debootstrap, ensureTree, run } from "./cached_tree.ts";

/** Debian 13. */
const SUITE = "trixie";

/** The tree of this version of Deno. */
export const WINE_TREE = `${CACHE}/windows-${SUITE}-${Deno.version.deno}`;

/** In the tree: the Windows build of Deno, and Windows' drive C and registry as they are at first. */
export const WINDOWS_DENO = "/opt/deno-windows/deno.exe";
export const WINE_PREFIX = "/root/.wine";

/** Whether the tree is there, whole. */
export function hasWineTree(): boolean {
  try {
    return Deno.statSync(`${WINE_TREE}${WINDOWS_DENO}`).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

/** Sees that the tree is there (see `ensureTree`): 2 GB. */
export async function ensureWineTree(log: (line: string) => void): Promise<boolean> {
  return await ensureTree(
    { name: "Wine", option: "--wine", path: WINE_TREE, isThere: hasWineTree, build },
    log,
  );
}

const build: CachedTree["build"] = async (tree, step) => {
  await step("Debian", ...await debootstrap(SUITE, tree, ["ca-certificates"]));
  await step("Wine", "unshare", ...inTree(tree, INSTALL_WINE));
  await step("Windows", "unshare", ...inTree(tree, `WINEPREFIX=${WINE_PREFIX} ${MAKE_WINDOWS}`));
  // Last: with it the tree is whole.
  const folder = `${tree}/opt`;
  await step(
    "Deno for Windows",
    "npm",
    ...["pack", "--silent", "--pack-destination", folder],
    `@deno/win32-x64@${Deno.version.deno}`,
  );
  const packed = [...Deno.readDirSync(folder)].find(({ name }) => name.endsWith(".tgz"))?.name;
  await run("tar", ["-xzf", `${folder}/${packed}`, "-C", folder], tree);
  await Deno.remove(`${folder}/${packed}`);
  await Deno.rename(`${folder}/package`, `${folder}/deno-windows`);
};

const INSTALL_WINE = `
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y --no-install-recommends wine wine64
apt-get clean
rm -rf /var/lib/apt/lists/*
`;

/** Its end is the end of all its processes: the registry is on disk then. */
const MAKE_WINDOWS = "WINEDEBUG=-all sh -c 'wine wineboot --init && wineserver --wait'";

/**
 * Arguments of unshare(1) that run a shell script in the tree, with namespaces of its own: nothing
 * of it is mounted outside, and all its processes end with unshare.
 */
function inTree(tree: string, script: string): string[] {
  const mounts = `
    set -e
    tree=$1
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    cp /etc/apt/apt.conf.d/* "$tree/etc/apt/apt.conf.d/" 2>/dev/null || true
    exec chroot "$tree" sh -ec "$2"`;
  return [
    ...["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL"],
    ...["sh", "-c", mounts, "sh", tree, script],
  ];
}
