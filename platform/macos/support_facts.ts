/** What helps to understand a Mac from afar, beside what the product itself knows. */
import fs from "node:fs";
import { join } from "node:path";
import type { RunCommand } from "../command.ts";
import type { PolicyFile, SupportFacts } from "../findings.ts";
import { endsOfLogs } from "../log_ends.ts";
import { CHROMIUM_BROWSERS } from "./chromium_filters.ts";
import { readVersion } from "./system_info.ts";
import { type Argv, MACOS, systemEnvironment } from "./system_commands.ts";
import { AGENT_LABEL } from "./launchd_jobs.ts";

/** Gathers it; what is not there is left out. */
export async function gatherSupportFacts(
  { run, logDir, root = "" }: { run: RunCommand; logDir: string; root?: string | undefined },
): Promise<SupportFacts> {
  return {
    versions: [
      `system ${await readVersion(run)}`,
      `kernel ${Deno.osRelease()} ${Deno.build.arch}`,
      ...await applicationVersions(run, root),
      ...await jobLines(run),
    ],
    policies: managedPreferences(`${root}/Library/Managed Preferences`),
    log: endsOfLogs(logDir).join("\n"),
  };
}

async function applicationVersions(run: RunCommand, root: string): Promise<string[]> {
  const names = ["Safari.app", ...CHROMIUM_BROWSERS.map(({ application }) => application)];
  const lines: string[] = [];
  for (const name of names) {
    const path = `${root}/Applications/${name}`;
    if (!fs.existsSync(path)) continue;
    lines.push(
      `application ${name} ${(await outputOf(run, MACOS.applicationVersion(path))).trim()}`,
    );
  }
  return lines;
}

/** How the agent's job is, as launchd has it. */
async function jobLines(run: RunCommand): Promise<string[]> {
  const text = await outputOf(run, MACOS.jobs(`system/${AGENT_LABEL}`));
  return text.split("\n").filter((line) => /^\t(state|runs|pid|last exit code) = /.test(line))
    .map((line) => `job ${AGENT_LABEL} ${line.trim()}`);
}

/** Which preferences an MDM forces; what it says in them is others' business. */
function managedPreferences(folder: string): PolicyFile[] {
  const isBrowsers = (name: string) =>
    CHROMIUM_BROWSERS.some(({ domain }) => name === `${domain}.plist`);
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder, { recursive: true }).map(String).sort()
    .filter((path) => isBrowsers(path.split("/").at(-1) ?? ""))
    .map((path) => ({ path: join(folder, path) }));
}

async function outputOf(run: RunCommand, argv: Argv): Promise<string> {
  const { code, stdoutTail } = await run({ argv, env: systemEnvironment(), timeoutMs: 10_000 });
  return code === 0 ? stdoutTail : "";
}
