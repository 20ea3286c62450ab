/**
 * A Debian tree of its own, with a Wine that runs the Windows build of this very Deno: the Wine of
 * older systems is too old for it. Built once, by `deno task test --wine` as root, into the user's cache.
 */
import { findProgram } from "../platform/linux/packages.ts";

const CACHE = `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/device-trust`;
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

/**
 * Sees that the tree is there, building it where this process may: it takes some minutes, 2 GB and
 * what apt and npm reach.
 *
 * @param log takes one line, without its end
 * @returns whether it is there
 */
export async function ensureWineTree(log: (line: string) => void): Promise<boolean> {
  if (hasWineTree()) return true;
  if (Deno.uid() !== 0 || Deno.build.arch !== "x86_64" || !findProgram("debootstrap")) {
    log(
      "Missing: Wine. It is built by `deno task test --wine` as root, on x86-64, with debootstrap.",
    );
    return false;
  }
  await Deno.mkdir(CACHE, { recursive: true });
  using lock = await Deno.open(`${CACHE}/lock`, { create: true, write: true });
  await lock.lock(true);
  // Another run may have built it meanwhile.
  if (hasWineTree()) return true;
  log(`Missing: Wine. Building it in ${WINE_TREE} (some minutes).`);
  const unfinished = `${CACHE}/unfinished`;
  try {
    // Of a run that was killed.
    await removeTree(unfinished);
    await build(unfinished, log);
    await Deno.rename(unfinished, WINE_TREE);
    return true;
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    await removeTree(unfinished);
    return false;
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function build(tree: string, log: (line: string) => void): Promise<void> {
  const step = async (what: string, program: string, ...args: string[]) => {
    log(`  ${what}`);
    await run(program, args, tree);
  };
  await Deno.mkdir(tree);
  const mirror = await debianMirror();
  await step(
    "Debian",
    "debootstrap",
    ...["--variant=minbase", "--include=ca-certificates", SUITE, tree],
    ...(mirror === undefined ? [] : [mirror]),
  );
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
}

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

/** Where this machine's own packages come from; undefined off Debian: debootstrap knows one. */
async function debianMirror(): Promise<string | undefined> {
  const release = await Deno.readTextFile("/etc/os-release");
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1];
  if (!/^ID=debian$/m.test(release)) return undefined;
  const format = "--format=$(RELEASE) $(COMPONENT) $(REPO_URI)";
  const sources = await run("apt-get", ["indextargets", format, "Created-By: Packages"], "/");
  return sources.split("\n").map((line) => line.split(" "))
    .find(([suite, component]) => suite === codename && component === "main")?.[2];
}

async function run(program: string, args: string[], cwd: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env: { LC_ALL: "C.UTF-8" },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trimEnd());
  if (success) return out ?? "";
  const last = `${out}\n${err}`.split("\n").slice(-15).join("\n");
  throw new Error(`${program} failed:\n${last}`);
}
