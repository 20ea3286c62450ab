/**
 * For the bench, started with `--expose-gc`: real worker, user-agent and agent server on one device
 * with one user, store in memory. `memory FIRST LAST` reconciles so often and says what memory is
 * held after so many; `year` lives a year of renewals and says how large the databases are then.
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ledgerFile } from "../agent/ledger_file.ts";
import { withRunning } from "../mock_server/scratch_running.ts";
import { CrowdedDevice } from "../tests/crowded_device.ts";

/** Every so many reconciles distribution is turned OFF and ON. */
const SWITCHED = 100;
const DAYS = 365;
const DAY = 86_400_000;

/** Bytes that are held: all of the process, and of it what JavaScript's objects take. */
export interface HeldMemory {
  resident: number;
  heap: number;
}

/** Bytes of each database after a year, and how many leaves there were. */
export interface YearOfUpkeep {
  state: number;
  ledger: number;
  server: number;
  leaves: number;
}

const [what, first = "", last = ""] = Deno.args;
const folder = await Deno.makeTempDir();
try {
  await withRunning(async (server) => {
    using device = await CrowdedDevice.open(folder, server, 1);
    const [home] = device.homes.values();
    if (home) home.ledger = ledgerFile(`${folder}/user`, () => server.clock.now);
    await device.distribute(true);
    say(what === "year" ? await year() : await memory([Number(first), Number(last)]));

    async function memory(counts: number[]): Promise<HeldMemory[]> {
      const held: HeldMemory[] = [];
      for (let done = 1; done <= Math.max(...counts); done++) {
        if (done % SWITCHED === 0) {
          await device.distribute(false);
          await device.distribute(true);
        } else {
          await device.worker.sync(true);
          await device.worker.settle();
        }
        if (counts.includes(done)) held.push(heldNow());
      }
      return held;
    }

    async function year(): Promise<YearOfUpkeep> {
      for (let day = 0; day < DAYS; day++) {
        server.clock.now += DAY;
        // The morning's look, what follows from it, and what the server says of that.
        for (let round = 0; round < 2; round++) {
          await device.follow();
          await device.worker.settle();
        }
      }
      const { store } = server.context;
      const leaves = store.certificates.list({ limit: 500 }).items.length;
      return {
        state: sizeOf(`${folder}/state.db`),
        ledger: sizeOf(`${folder}/user/ledger.db`),
        server: sizeOf(`${dirname(dirname(dirname(server.running.serverCa)))}/server.db`),
        leaves,
      };
    }
  });
} finally {
  await Deno.remove(folder, { recursive: true });
}

/** Bytes of a database with what is yet to be written into it. */
function sizeOf(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const of = (what: string) => Number(Object.values(database.prepare(what).get() ?? {})[0]);
    return of("PRAGMA page_count") * of("PRAGMA page_size");
  } finally {
    database.close();
  }
}

function heldNow(): HeldMemory {
  const gc: unknown = Reflect.get(globalThis, "gc");
  if (typeof gc !== "function") throw new Error("Start it with --v8-flags=--expose-gc.");
  gc();
  const { rss, heapUsed } = Deno.memoryUsage();
  return { resident: rss, heap: heapUsed };
}

function say(result: unknown): void {
  // deno-lint-ignore no-console -- how the bench reads it
  console.log(JSON.stringify(result));
}
