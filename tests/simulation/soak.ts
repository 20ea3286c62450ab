/**
 * `deno task soak [--seconds N | --seeds A-B | --seed N] [--jobs K]`: lives of small fleets with
 * everything that can go wrong, each by its seed, until the time is up (a minute without any
 * option) or the seeds are. Ends with a summary; with exit code 1, and the seed, at the first life in
 * which something was that must never be. One seed alone prints its trace.
 */
import { parseArgs } from "node:util";
import { type Life, live } from "./life.ts";
import { liveAll, type Lives } from "./lives.ts";

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seconds: { type: "string" },
      seeds: { type: "string" },
      seed: { type: "string" },
      jobs: { type: "string" },
    },
  });
  if (values.seed !== undefined) return shown(await live(whole(values.seed), print));
  const jobs = values.jobs === undefined ? navigator.hardwareConcurrency : whole(values.jobs);
  const started = performance.now();
  const lives = values.seeds === undefined
    ? await liveAll(from(1), { jobs, milliseconds: whole(values.seconds ?? "60") * 1000 })
    : await liveAll(range(values.seeds), { jobs });
  summarize(lives, (performance.now() - started) / 1000);
  return lives.failed === undefined || shown(lives.failed);
}

/** Prints what failed, and how to see it again; true when nothing did. */
function shown({ seed, failure, digest }: Life): boolean {
  if (!failure) {
    print(`Seed ${seed}: nothing was wrong. SHA-256 of the trace: ${digest}`);
    return true;
  }
  print(`\n${failure.last.join("\n")}\n`);
  print(`Seed ${seed}, ${new Date(failure.at).toISOString()}: ${failure.message}`);
  print(`To see it again: deno task soak --seed ${seed}`);
  return false;
}

function summarize({ count, deviceDays, counts }: Lives, seconds: number): void {
  const kinds = [...counts].sort(([a], [b]) => a < b ? -1 : 1);
  const width = Math.max(...kinds.map(([kind]) => kind.length));
  for (const [kind, count] of kinds) print(`${kind.padEnd(width)} ${String(count).padStart(9)}`);
  const years = deviceDays / 365;
  print(
    `${count} seeds, ${years.toFixed(1)} device-years in ${seconds.toFixed(1)} s: ` +
      `${(years / seconds).toFixed(2)} device-years a second`,
  );
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new RangeError(`'${text}' is not a whole number.`);
  return Number(text);
}

function* from(seed: number): Generator<number> {
  for (;;) yield seed++;
}

function* range(text: string): Generator<number> {
  const [first = "", last = ""] = text.split("-");
  for (let seed = whole(first); seed <= whole(last); seed++) yield seed;
}

function print(line: string): void {
  // deno-lint-ignore no-console -- a task for people
  console.log(line);
}

if (import.meta.main) Deno.exit(await main() ? 0 : 1);
