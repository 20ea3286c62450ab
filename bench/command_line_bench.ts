/** How long a person waits for a command that has little to do. */
import { fileURLToPath } from "node:url";
import { State } from "../agent/state.ts";
import { ensureRootOwnedDir } from "../platform/files.ts";
import { systemPaths } from "../platform/paths.ts";
import { type Bench, type Row, time } from "./measure.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Run from source. */
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
      const target = { median: 60 };
      const rows = [
        await row("--version", ["--version"], 0),
        { ...await row("status, not enrolled", ["status"], 3), target },
      ];
      enrollOnPaper(root);
      return [...rows, { ...await row("status, enrolled", ["status"], 0), target }];
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
};

/** A device's state as it is after its enrolment, at a server that need not be there. */
function enrollOnPaper(root: string): void {
  const { stateDir } = systemPaths({ os: "linux", root });
  ensureRootOwnedDir(stateDir, { mode: 0o700, root });
  const state = new State(`${stateDir}/state.db`, Date.now);
  const server = "https://agents.example.com";
  state.saveDevice({ deviceId: crypto.randomUUID(), server, publicUrl: server, leaving: false });
  state.close();
}

async function run(args: readonly string[], expected: number): Promise<void> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--unstable-lazy-dynamic-imports", MAIN, ...args],
    stdout: "null",
  }).output();
  if (code === expected) return;
  throw new Error(`${args.join(" ")}: exit code ${code}: ${new TextDecoder().decode(stderr)}`);
}
