/** How long a person waits for a command that has little to do. */
import { fileURLToPath } from "node:url";
import { type Bench, type Row, time } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Run from source, on a device that is not enrolled. */
export const bench: Bench = {
  title: "Commands, run from source",
  async measure({ times }) {
    const root = await Deno.makeTempDir();
    try {
      const row = async (what: string, args: string[], expected: number): Promise<Row> => ({
        what: `device-trust ${what}`,
        samples: await time(times(30), () => run(["--root", root, ...args], expected)),
        unit: "ms",
      });
      return [
        await row("--version", ["--version"], 0),
        { ...await row("status, not enrolled", ["status"], 3), target: { median: 60 } },
      ];
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
};

async function run(args: readonly string[], expected: number): Promise<void> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--unstable-lazy-dynamic-imports", MAIN, ...args],
    stdout: "null",
  }).output();
  if (code === expected) return;
  throw new Error(`${args.join(" ")}: exit code ${code}: ${new TextDecoder().decode(stderr)}`);
}
