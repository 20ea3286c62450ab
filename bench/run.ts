/**
 * `deno task bench [--smoke] [PART_OF_A_NAME...]`: runs every `bench/x_bench.ts`, or those whose
 * name contains one of the parts, and prints one table. `--smoke` runs each as briefly as shows
 * that it works.
 */
import { release } from "node:os";
import { type Bench, type BenchOptions, type Row, table } from "./measure.ts";

async function main(args: readonly string[]): Promise<number> {
  const smoke = args.includes("--smoke");
  const parts = args.filter((arg) => !arg.startsWith("-"));
  const names = benchNames().filter((name) =>
    parts.length === 0 || parts.some((part) => name.includes(part))
  );
  print(machine());
  const rows: Row[] = [];
  let failed = names.length === 0 ? 1 : 0;
  if (failed > 0) print(`No bench's name contains ${parts.join(" or ")}.`);
  for (const name of names) {
    try {
      const bench = await load(name);
      print(`${bench.title} ...`);
      rows.push(...await bench.measure(options(smoke)));
    } catch (error) {
      failed++;
      print(`bench/${name} failed: ${error instanceof Error ? error.stack : error}`);
    }
  }
  if (rows.length > 0) print(`\n${table(rows)}\n`);
  if (smoke) print("A smoke run: it shows that every bench works, its figures say nothing.");
  return failed === 0 ? 0 : 1;
}

function benchNames(): string[] {
  const entries = [...Deno.readDirSync(new URL(".", import.meta.url))];
  return entries.map(({ name }) => name).filter((name) => name.endsWith("_bench.ts")).sort();
}

async function load(name: string): Promise<Bench> {
  const { bench }: { bench: Bench } = await import(`./${name}`);
  return bench;
}

function options(smoke: boolean): BenchOptions {
  return {
    smoke,
    times: (wanted) => smoke ? Math.min(wanted, 2) : wanted,
    progress: (text) => print(`  ${text}`),
  };
}

/** What the figures depend on. */
function machine(): string {
  const { os, arch } = Deno.build;
  const load = Deno.loadavg().map((value) => value.toFixed(2)).join(" ");
  return `Deno ${Deno.version.deno}, ${os} ${release()} ${arch}, ${navigator.hardwareConcurrency} ` +
    `cores, load ${load}`;
}

function print(text: string): void {
  // deno-lint-ignore no-console -- this is what people read
  console.log(text);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
