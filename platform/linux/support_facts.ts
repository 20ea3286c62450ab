/** What helps to understand a device from afar, beside what the product itself knows. */
import { type RunCommand, runCommand } from "../command.ts";
import type { SupportFacts } from "../findings.ts";
import { endsOfLogs } from "../log_ends.ts";
import type { SystemPaths } from "../paths.ts";
import { findProgram } from "./packages.ts";
import { listPolicyFiles } from "./policy_folders.ts";
import { readSystemInfo } from "./system_info.ts";

/** What gathering depends on. */
export interface SupportWorld {
  /** `--root`, absolute. */
  root: string | undefined;
  paths: SystemPaths;
  run?: RunCommand;
}

/** Gathers it; what is not there is left out. */
export async function gatherSupportFacts(world: SupportWorld): Promise<SupportFacts> {
  const { root, paths, run = runCommand } = world;
  const { osVersion } = readSystemInfo(root);
  return {
    versions: [
      `system ${osVersion}`,
      `kernel ${Deno.osRelease()} ${Deno.build.arch}`,
      ...await packageVersions(run),
    ],
    policies: listPolicyFiles(root),
    log: [...await journal(run, root), ...endsOfLogs(paths.logDir)].join("\n"),
  };
}

/** Names of one thing differ between distributions; a package manager says which it knows. */
const PACKAGES = [
  ...["libnss3", "nss", "chromium", "chromium-browser"],
  ...["google-chrome-stable", "google-chrome-beta", "google-chrome-unstable"],
  ...["microsoft-edge-stable", "brave-browser", "device-trust"],
];

const QUERIES = [
  ["dpkg-query", "-W", "-f", "package ${Package} ${Version} ${db:Status-Abbrev}\\n", ...PACKAGES],
  ["rpm", "-q", "--qf", "package %{NAME} %{VERSION}-%{RELEASE}\\n", ...PACKAGES],
  ["pacman", "-Q", ...PACKAGES],
] as const;

const JOURNAL_LINES = 1000;
const PATIENCE_MS = 10_000;

async function packageVersions(run: RunCommand): Promise<string[]> {
  const lines: string[] = [];
  for (const [name, ...args] of QUERIES) {
    const text = await outputOf(run, name, args);
    lines.push(
      ...text.split("\n").filter((line) => line !== "" && !line.includes("not installed")),
    );
  }
  return lines;
}

/** The system's journal knows nothing of a device under `--root`. */
async function journal(run: RunCommand, root: string | undefined): Promise<string[]> {
  if (root !== undefined) return [];
  const lines = ["--lines", String(JOURNAL_LINES), "--no-pager", "--output", "short-iso"];
  const text = await outputOf(run, "journalctl", ["--unit", "device-trust*", ...lines]);
  return text === "" ? [] : [text];
}

/** What a program says, "" where there is no such program; how it ends does not matter. */
async function outputOf(run: RunCommand, name: string, args: readonly string[]): Promise<string> {
  const program = findProgram(name);
  if (program === undefined) return "";
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" };
  const { stdoutTail } = await run({ argv: [program, ...args], env, timeoutMs: PATIENCE_MS });
  return stdoutTail;
}
