/**
 * Windows on this machine, for what is Windows' own: files of tests run in the Windows build of
 * Deno under Wine, on a new Windows that is gone afterwards, and its tests are told as steps. Wine
 * starts slowly, so it is started once for all of them.
 */
import { fileURLToPath } from "node:url";
import { execute, NAMESPACES } from "./private_root.ts";
import { type MachineFact, type Requirement, testWith } from "./skip.ts";
import { WINDOWS_DENO, WINE_PREFIX, WINE_TREE } from "./wine_tree.ts";

/** What runs in Windows. */
export interface WindowsTests {
  /** Files of `Deno.test`s without steps, beside this one. */
  files: readonly `${string}.ts`[];
  /** Programs in C beside this one, found there as `NAME.exe` in the working directory. */
  programs?: readonly WindowsProgram[];
  /** Puts more into that directory; what it gives is disposed of when the tests have ended. */
  prepare?: (directory: string) => Promise<AsyncDisposable>;
}

/** A program in C, with the libraries of Windows that it needs. */
export interface WindowsProgram {
  source: `${string}.c`;
  libraries: readonly string[];
}

/** Registers a test whose steps are the tests of these files, run in Windows. */
export function testInWindows(
  requirements: readonly Requirement[],
  name: string,
  { files, programs = [], prepare }: WindowsTests,
): void {
  const needs = [PC, NAMESPACES, "root", "unshare", "wine", ...requirements] as const;
  const compiler = programs.length > 0 ? ["x86_64-w64-mingw32-gcc"] as const : [];
  testWith([...needs, ...compiler], name, async (t) => {
    const folder = await Deno.makeTempDir({ prefix: "device-trust-windows-" });
    try {
      const tests = `${folder}/tests`;
      await Deno.mkdir(tests);
      for (const file of files) {
        const target = `${tests}/${compiled(file)}`;
        await execute(Deno.execPath(), "bundle", "--quiet", "--output", target, at(file));
      }
      for (const { source, libraries } of programs) {
        const target = `${tests}/${source.replace(/c$/, "exe")}`;
        const flags = ["-Wall", "-Werror", "-municode", "-o", target, at(source)];
        const linked = libraries.map((library) => `-l${library}`);
        await execute("x86_64-w64-mingw32-gcc", ...flags, ...linked);
      }
      await using _prepared = await prepare?.(tests);
      await relay(t, await runInWindows(folder, files.map(compiled)));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** Names of a test and how it ended, from what `deno test --reporter=tap` prints (TAP 14). */
export function readTap(text: string): { name: string; skipped: boolean; error?: string }[] {
  const lines = text.split("\n").map((line) => line.trimEnd());
  const results = lines.flatMap((line, index) => {
    const found = /^(not )?ok \d+ - (.*?)( # SKIP)?$/.exec(line);
    if (!found) return [];
    const [, failed, escaped = "", skip] = found;
    const name = escaped.replaceAll(/\\([\\#])/g, "$1");
    const details = lines.slice(index + 1, index + 3).find((next) => next.startsWith("  {"));
    return [{
      name,
      skipped: skip !== undefined,
      ...(failed === undefined ? {} : { error: details ? messageIn(details) : "it failed" }),
    }];
  });
  const planned = lines.map((line) => /^1\.\.(\d+)$/.exec(line)?.[1]).find(Boolean);
  if (Number(planned) === results.length && results.length > 0) return results;
  throw new Error(`The tests in Windows broke off after ${results.length}:\n${text.slice(-2000)}`);
}

const LONGEST_MS = 15 * 60_000;
const PC: MachineFact = {
  met: Deno.build.arch === "x86_64",
  otherwise: "this machine is no x86-64, and Wine emulates no processor",
};

async function relay(t: Deno.TestContext, tap: string): Promise<void> {
  for (const { name, skipped, error } of readTap(tap)) {
    await t.step({
      name,
      ignore: skipped,
      fn() {
        if (error !== undefined) throw new Error(error);
      },
    });
  }
}

/** Runs the tests of a folder; gives what they print, also when they fail or take too long. */
async function runInWindows(folder: string, files: readonly string[]): Promise<string> {
  const scratch = `${folder}/scratch`;
  await Deno.mkdir(scratch);
  const { stdout } = await new Deno.Command("unshare", {
    args: [
      ...["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL"],
      ...["sh", "-c", NEW_WINDOWS, "sh", WINE_TREE, scratch, `${folder}/tests`],
      ...["wine", WINDOWS_DENO, "test", "-A", "--no-check", "--no-config", "--reporter=tap"],
      ...files,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    signal: AbortSignal.timeout(LONGEST_MS),
  }).output();
  return new TextDecoder().decode(stdout);
}

/** Whatever is written lies over the tree, in memory, and goes with the last process. */
const NEW_WINDOWS = `
  set -e
  tree=$1 scratch=$2 tests=$3
  shift 3
  mount -t tmpfs tmpfs "$scratch"
  mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
  mount -t overlay overlay "$scratch/root" \
    -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work"
  mount -t proc proc "$scratch/root/proc"
  mount --rbind /dev "$scratch/root/dev"
  echo "127.0.0.1 localhost" > "$scratch/root/etc/hosts"
  mkdir "$scratch/root/mnt/tests"
  mount --bind "$tests" "$scratch/root/mnt/tests"
  chroot "$scratch/root" env -i HOME=/root XDG_RUNTIME_DIR=/tmp LANG=C.UTF-8 \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 WINEDEBUG=-all WINEPREFIX=${WINE_PREFIX} \
    sh -c 'cd /mnt/tests; "$@"' sh "$@"`;

function messageIn(details: string): string {
  const parsed: unknown = JSON.parse(details);
  return typeof parsed === "object" && parsed !== null && "message" in parsed
    ? String(parsed.message)
    : details;
}

function compiled(file: string): string {
  return file.replace(/ts$/, "js");
}

function at(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
