/** What a bench module gives, and how its samples become figures. Pure. */

/** A module `bench/x_bench.ts` exports one of these as `bench`. */
export interface Bench {
  /** Heading of its rows. */
  title: string;
  measure(options: BenchOptions): Promise<Row[]>;
}

/** How to measure. */
export interface BenchOptions {
  /** Whether it is enough to show that the bench works; its figures are then worth nothing. */
  smoke: boolean;
  /** How often to repeat: as often as asked, or twice in a smoke run. */
  times(wanted: number): number;
  /** Shows how far it is; one line, without its end. */
  progress(text: string): void;
}

/** One line of the table. */
export interface Row {
  what: string;
  /** One or more. */
  samples: readonly number[];
  /** Of every sample: `ms`, `MB`, `1/s`. */
  unit: string;
  /** Limits that the design sets, in the same unit. */
  target?: { median?: number; p99?: number };
}

/** The smallest sample that at least this share (0 to 1) of all samples does not exceed. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("Cannot take a percentile of no samples.");
  return value;
}

/** Milliseconds that each of so many calls took. */
export async function time(times: number, call: () => unknown): Promise<number[]> {
  const samples: number[] = [];
  for (let count = 0; count < times; count++) {
    const started = performance.now();
    await call();
    samples.push(performance.now() - started);
  }
  return samples;
}

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, samples, unit, target = {} }) => {
    const limits = [
      target.median === undefined ? "" : `median ${target.median}`,
      target.p99 === undefined ? "" : `p99 ${target.p99}`,
    ].filter((limit) => limit !== "");
    const value = (share: number) => `${figure(percentile(samples, share))} ${unit}`;
    return [what, `${samples.length}`, value(0.5), value(0.99), limits.join(", ")];
  });
  const head = ["what", "n", "median", "p99", "target"];
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((row) => row[column]?.length ?? 0))
  );
  const text = (row: string[]) =>
    `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [head, rule, ...lines].map(text).join("\n");
}

/** Three significant digits, never in exponents. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}
