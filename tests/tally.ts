/** What `deno test` printed, in figures. Pure. */
import { reasonIn } from "./skip.ts";

/** The outcome of one run of `deno test`. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: SkippedTest[];
}

/** A test that did not run. */
export interface SkippedTest {
  file: string;
  name: string;
  /** Undefined when the test gives none. */
  reason: string | undefined;
}

/**
 * Reads the whole output of `deno test`'s pretty reporter.
 *
 * @returns undefined when the output ends without a summary: the run broke off
 */
export function readTally(output: string): Tally | undefined {
  // deno-lint-ignore no-control-regex -- colours are control sequences
  const lines = output.replaceAll(/\x1b\[[0-9;]*m/g, "").split("\n");
  const summary = lines.findLast((line) => SUMMARY.test(line));
  if (summary === undefined) return undefined;
  const count = (word: string) =>
    Number(new RegExp(`\\| (\\d+) ${word}\\b`).exec(summary)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: skippedTests(lines) };
}

/** The closing line of every run. */
export function tallyLine({ passed, failed, skipped }: Tally): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped.length === 0 ? line : `${line}, ${skipped.length} skipped`;
}

/**
 * The skipped tests that this machine was expected to run: all but those that say what of the
 * machine itself is in the way.
 */
export function avoidable(skipped: readonly SkippedTest[]): SkippedTest[] {
  return skipped.filter(({ reason }) => !reason?.startsWith("this machine"));
}

const SUMMARY = /^(ok|FAILED) \| \d+ passed/;

function skippedTests(lines: readonly string[]): SkippedTest[] {
  const skipped: SkippedTest[] = [];
  let file = "";
  for (const line of lines) {
    file = /^running \d+ tests? from (?:\.\/)?(.*)$/.exec(line)?.[1] ?? file;
    // Steps are indented.
    const name = /^(\S.*) \.\.\. ignored \(\d+\S*\)$/.exec(line)?.[1];
    if (name !== undefined) skipped.push({ file, name, reason: reasonIn(name) });
  }
  return skipped;
}
