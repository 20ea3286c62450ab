/**
 * `deno task test [PART_OF_A_PATH...] [--wine] [--debian] [--OPTION_OF_DENO_TEST...]`: runs the
 * tests whose file's path contains one of the parts (all without any), and closes with
 * `N passed, N failed`, to which `, N skipped` is added when some were. `--wine` builds, once, the
 * Wine that the tests of Windows run in, `--debian` the Debians that packages are tried on: some
 * minutes each, 2 GB and 1 GB, root. The tests that need neither run meanwhile.
 *
 * With `CI=true`, a test that was skipped although this machine could have run it counts as failed;
 * where a tree cannot be built, its tests are skipped and say so.
 */
import { fileURLToPath } from "node:url";
import { runCommand } from "../platform/command.ts";
import { machineWorld } from "../platform/linux/packages.ts";
import { ensureDebianTrees } from "./debian_tree.ts";
import { avoidable, readTally, type SkippedTest, type Tally, tallyLine } from "./tally.ts";
import { ensureWineTree } from "./wine_tree.ts";
import {
  ALL_WITNESSES,
  DEBIAN_WITNESSES,
  ensureWitnesses,
  WINDOWS_WITNESSES,
} from "./witnesses.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const IN_CI = Deno.env.get("CI") === "true";
/** What a run counts as that ended before its summary, or never began. */
const BROKEN_OFF: Tally = { passed: 0, failed: 1, skipped: [] };

async function main(args: readonly string[]): Promise<Tally> {
  const options = args.filter((arg) => arg.startsWith("-") && !TREES.includes(arg));
  const parts = args.filter((arg) => !arg.startsWith("-"));
  const files = testFiles().filter((file) =>
    parts.length === 0 || parts.some((part) => file.includes(part))
  );
  if (files.length === 0) {
    print(`No test file's path contains ${parts.join(" or ")}.`);
    return BROKEN_OFF;
  }
  const world = machineWorld(runCommand, print);
  const withWine = args.includes("--wine");
  const withDebian = args.includes("--debian");
  const witnesses = [
    ...ALL_WITNESSES,
    ...(withWine ? WINDOWS_WITNESSES : []),
    ...(withDebian ? DEBIAN_WITNESSES : []),
  ];
  const missing = await ensureWitnesses(witnesses, world);
  if (missing.length > 0) print(`Tests that need ${missing.join(", ")} are skipped.`);
  if (!await fetchPackages()) return BROKEN_OFF;
  const trees = Promise.all([
    withWine ? ensureWineTree(print) : true,
    withDebian ? ensureDebianTrees(print) : true,
  ]);
  const inTrees = (file: string) => (withWine || withDebian) && IN_TREES.test(file);
  const first = await runTests(files.filter((file) => !inTrees(file)), options);
  const built = (await trees).every((isThere) => isThere);
  const tally = sum(first, await runTests(files.filter(inTrees), options));
  if (!built && !IN_CI) return sum(tally, BROKEN_OFF);
  const unexcused = IN_CI && world.isRoot && world.hasApt ? avoidable(tally.skipped) : [];
  showSkipped(tally.skipped, unexcused);
  return {
    passed: tally.passed,
    failed: tally.failed + unexcused.length,
    skipped: tally.skipped.filter((test) => !unexcused.includes(test)),
  };
}

/** Options that have trees built, and the tests that run in them. */
const TREES = ["--wine", "--debian"];
const IN_TREES = /\/(certstore|windows_[a-z]+|package_life)_test\.ts$/;

function sum(one: Tally, other: Tally): Tally {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: [...one.skipped, ...other.skipped],
  };
}

/** Every test file, relative to the project, in order. */
function testFiles(folder = ""): string[] {
  const entries = [...Deno.readDirSync(ROOT + folder)];
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return OTHER_FOLDERS.has(name) ? [] : testFiles(`${folder}${name}/`);
    return /_test\.tsx?$/.test(name) ? [folder + name] : [];
  }).sort();
}

const OTHER_FOLDERS = new Set([".git", "node_modules", "dist", "coverage"]);

/** Fetches the npm packages first, all of them: tests start processes that may not fetch. */
async function fetchPackages(): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["install", ...(IN_CI ? ["--frozen"] : [])],
    cwd: ROOT,
    env: ENVIRONMENT,
    stdout: "null",
  }).spawn().status;
  if (!success) print("The npm packages could not be fetched.");
  return success;
}

/** Runs `deno test`, passing on what it prints as it comes. */
async function runTests(files: readonly string[], options: readonly string[]): Promise<Tally> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: [] };
  const child = new Deno.Command(Deno.execPath(), {
    // Types are checked by `deno task check`; here a wrong type would hide every test's result.
    args: ["test", "-A", "--no-prompt", "--no-check", ...(IN_CI ? ["--frozen"] : []), ...options]
      .concat(files),
    cwd: ROOT,
    env: ENVIRONMENT,
    stdout: "piped",
  }).spawn();
  const [shown, kept] = child.stdout.tee();
  const [output, { code }] = await Promise.all([
    new Response(kept).text(),
    child.status,
    shown.pipeTo(Deno.stdout.writable, { preventClose: true }),
  ]);
  const tally = readTally(output);
  if (tally === undefined) print(`The tests broke off: exit code ${code}, no summary.`);
  else if (code !== 0 && tally.failed === 0) print(`deno test ended with exit code ${code}.`);
  else return tally;
  return BROKEN_OFF;
}

const ENVIRONMENT = {
  DENO_NO_UPDATE_CHECK: "1",
  ...(Deno.stdout.isTerminal() ? {} : { NO_COLOR: "1" }),
};

function showSkipped(skipped: readonly SkippedTest[], unexcused: readonly SkippedTest[]): void {
  if (skipped.length > 0) print("Skipped:");
  for (const test of skipped) {
    const verdict = unexcused.includes(test) ? " (counts as failed: it could run here)" : "";
    print(`  ${test.file}: ${test.name}${test.reason ? "" : " [no reason given]"}${verdict}`);
  }
}

function print(line: string): void {
  // deno-lint-ignore no-console -- this is what people read
  console.log(line);
}

if (import.meta.main) {
  const tally = await main(Deno.args);
  print(tallyLine(tally));
  Deno.exit(tally.failed === 0 ? 0 : 1);
}
