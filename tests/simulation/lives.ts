/** Many lives at once, until one fails or there are enough. */
import type { Life } from "./life.ts";

/** What many lives were. */
export interface Lives {
  count: number;
  deviceDays: number;
  /** How often each kind of event, fault and answer occurred. */
  counts: Map<string, number>;
  /** The first that failed. */
  failed?: Life;
}

/**
 * Lives these seeds in `jobs` threads until all are lived, one has failed, or so many milliseconds
 * have passed.
 */
export async function liveAll(
  seeds: Iterable<number>,
  { jobs, milliseconds = Infinity }: { jobs: number; milliseconds?: number },
): Promise<Lives> {
  const left = seeds[Symbol.iterator]();
  const end = performance.now() + milliseconds;
  const lives: Lives = { count: 0, deviceDays: 0, counts: new Map() };
  const next = () => {
    if (lives.failed || performance.now() >= end) return undefined;
    return left.next().value;
  };
  await Promise.all(Array.from({ length: jobs }, () => work(next, (life) => add(lives, life))));
  return lives;
}

/** One thread. */
async function work(
  next: () => number | undefined,
  lived: (life: Life) => void,
): Promise<void> {
  const worker = new Worker(new URL("./soak_worker.ts", import.meta.url), { type: "module" });
  try {
    for (let seed = next(); seed !== undefined; seed = next()) {
      lived(await ask(worker, seed));
    }
  } finally {
    worker.terminate();
  }
}

function ask(worker: Worker, seed: number): Promise<Life> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Life>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Seed ${seed}: ${event.message}`));
    };
    worker.postMessage(seed);
  });
}

function add(lives: Lives, life: Life): void {
  lives.count++;
  lives.deviceDays += life.deviceDays;
  for (const [kind, count] of Object.entries(life.counts)) {
    lives.counts.set(kind, (lives.counts.get(kind) ?? 0) + count);
  }
  if (life.failure) lives.failed ??= life;
}
