/**
 * Debian trees that tests run things in: each is built once, by a `deno task test` that was told to,
 * as root, into the user's cache, and changed by nobody afterwards.
 */
import { findProgram } from "../platform/linux/packages.ts";

/** Where they are. */
export const CACHE = `${
  Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`
}/device-trust`;

/** A tree, and how it is made. */
export interface CachedTree {
  /** What it is to the person who waits for it: "Wine". */
  name: string;
  /** The option of `deno task test` that has it built. */
  option: `--${string}`;
  /** Below {@link CACHE}. */
  path: string;
  /** Whether it is there, whole. */
  isThere: () => boolean;
  /** Makes it in a new folder. `step` tells what is being done and runs a program to its end. */
  build: (
    folder: string,
    step: (what: string, program: string, ...args: string[]) => Promise<void>,
  ) => Promise<void>;
}

/**
 * Sees that the tree is there, building it where this process may: it takes some minutes and what
 * apt and npm reach.
 *
 * @param log takes one line, without its end
 * @returns whether it is there
 */
export async function ensureTree(
  { name, option, path, isThere, build }: CachedTree,
  log: (line: string) => void,
): Promise<boolean> {
  if (isThere()) return true;
  if (Deno.uid() !== 0 || Deno.build.arch !== "x86_64" || !findProgram("debootstrap")) {
    const how = `\`deno task test ${option}\` as root, on x86-64, with debootstrap`;
    log(`Missing: ${name}. It is built by ${how}.`);
    return false;
  }
  await Deno.mkdir(CACHE, { recursive: true });
  using lock = await Deno.open(`${CACHE}/lock`, { create: true, write: true });
  await lock.lock(true);
  // Another run may have built it meanwhile.
  if (isThere()) return true;
  log(`Missing: ${name}. Building it in ${path} (some minutes).`);
  const unfinished = `${CACHE}/unfinished`;
  try {
    // Of a run that was killed.
    await removeTree(unfinished);
    await Deno.mkdir(unfinished);
    await build(unfinished, async (what, program, ...args) => {
      log(`  ${what}`);
      await run(program, args, unfinished);
    });
    await Deno.rename(unfinished, path);
    return true;
  } catch (error) {
    // What is left of it is removed before the next try.
    log(error instanceof Error ? error.message : String(error));
    return false;
  }
}

/**
 * debootstrap(8) for a tree with these packages, with its arguments. It mounts /proc in the tree: in
 * namespaces of its own, which end with it however it ends.
 */
export async function debootstrap(
  suite: string,
  folder: string,
  packages: readonly string[],
): Promise<[program: string, ...args: string[]]> {
  const mirror = await debianMirror();
  return [
    ...["unshare", "--mount", "--propagation", "private", "--pid", "--fork"] as const,
    ...["--mount-proc", "--kill-child=SIGKILL", "debootstrap"],
    ...["--variant=minbase", `--include=${packages.join(",")}`, suite, folder],
    ...(mirror === undefined ? [] : [mirror]),
  ];
}

/** Runs a program to its end; gives its standard output. @throws Error with its last words */
export async function run(program: string, args: string[], cwd: string): Promise<string> {
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

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
