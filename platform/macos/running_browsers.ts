/** Finds a user's running browsers, which need time to read a new filter (S15). */
import type { RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import type { RunningBrowser } from "../findings.ts";
import { MACOS, systemEnvironment } from "./system_commands.ts";

/** The browsers that run as this user now. @throws Problem */
export async function findRunningBrowsers(
  uid: string,
  run: RunCommand,
): Promise<RunningBrowser[]> {
  const argv = MACOS.processes(uid);
  const how = { timeoutMs: 10_000, keptBytes: 1024 * 1024 };
  const { code, stdoutTail } = await run({ argv, env: systemEnvironment(), ...how });
  if (code !== 0) throw new Problem("internal", `Cannot see which browsers run: ps gave ${code}.`);
  return browsersIn(stdoutTail);
}

/** The browsers in what `ps -o pid=,lstart=,comm=` prints, by the paths of their programs. */
export function browsersIn(processes: string): RunningBrowser[] {
  return processes.split("\n").flatMap((line) => {
    const [, pid, start = "", path = ""] = /^\s*(\d+)\s+(\S+\s+\S+\s+\d+\s+[\d:]+\s+\d+)\s+(.+)$/
      .exec(line) ?? [];
    const program = /\/([^/]+)\.app\/Contents\/MacOS\/([^/]+)$/.exec(path);
    // Helpers have bundles of their own, inside.
    if (!program || program[1] !== program[2]) return [];
    const name = NAMES.get(program[1] ?? "");
    const startedAt = Date.parse(start);
    return name === undefined || Number.isNaN(startedAt)
      ? []
      : [{ name, pid: Number(pid), startedAt }];
  });
}

/** By the names of bundle and program, which are one. */
const NAMES = new Map([
  ["Google Chrome", "chrome"],
  ["Chromium", "chromium"],
  ["Microsoft Edge", "edge"],
  ["Brave Browser", "brave"],
  ["Vivaldi", "vivaldi"],
  ["Opera", "opera"],
  ["Safari", "safari"],
]);
