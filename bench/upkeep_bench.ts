/** What years of upkeep cost: memory over many reconciles, and databases after a year. */
import { fileURLToPath } from "node:url";
import type { Bench } from "./measure.ts";
import type { HeldMemory, YearOfUpkeep } from "./upkeep.ts";

const UPKEEP = fileURLToPath(new URL("./upkeep.ts", import.meta.url));
const MEBIBYTE = 1024 * 1024;

/** One device, one user; worker, user-agent and agent server in one process. */
export const bench: Bench = {
  title: "Upkeep: memory and databases",
  async measure({ smoke, progress }) {
    const [first, last] = smoke ? [10, 20] : [1000, 10_000];
    progress(`${last} reconciles`);
    const held: HeldMemory[] = await run("memory", `${first}`, `${last}`);
    const memory = held.flatMap(({ resident, heap }, at) => {
      const after = `after ${[first, last][at]} reconciles`;
      return [
        { what: `resident ${after}`, samples: [resident / MEBIBYTE], unit: "MB" },
        { what: `JavaScript's heap ${after}`, samples: [heap / MEBIBYTE], unit: "MB" },
      ];
    });
    if (smoke) return memory;
    progress("a year");
    const { leaves, ...sizes }: YearOfUpkeep = await run("year");
    const databases = Object.entries(sizes).map(([name, size]) => ({
      what: `${name}.db after a year, ${leaves} leaves`,
      samples: [size / 1024],
      unit: "KB",
    }));
    return [...memory, ...databases];
  },
};

async function run<T>(...args: string[]): Promise<T> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-prompt", "--v8-flags=--expose-gc", UPKEEP, ...args],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
