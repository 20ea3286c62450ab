/** What the agent tells of this Mac, and what tells a cloned image from its original. */
import type { RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { type Argv, MACOS, systemEnvironment } from "./system_commands.ts";

/** The system's name for people, at most 255 characters. @throws Problem */
export async function readVersion(run: RunCommand): Promise<string> {
  return versionIn(await ask(MACOS.version(), run));
}

/** The hardware's UUID; undefined where a machine has none. @throws Problem */
export async function readMachineId(run: RunCommand): Promise<string | undefined> {
  return machineIdIn(await ask(MACOS.hardware(), run));
}

/** From what `sw_vers` prints. */
export function versionIn(text: string): string {
  const value = (name: string) => new RegExp(`^${name}:\\s*(\\S.*?)\\s*$`, "m").exec(text)?.[1];
  const version = value("ProductVersion");
  if (version === undefined) return "macOS";
  const extra = value("ProductVersionExtra") ?? "";
  const build = value("BuildVersion");
  const name = `${value("ProductName") ?? "macOS"} ${version} ${extra}`.trim();
  return `${name}${build === undefined ? "" : ` (${build})`}`.slice(0, 255);
}

/** From what `ioreg` prints. */
export function machineIdIn(text: string): string | undefined {
  const [, id] = /"IOPlatformUUID" = "([0-9A-Fa-f-]{36})"/.exec(text) ?? [];
  return id?.toUpperCase();
}

async function ask(argv: Argv, run: RunCommand): Promise<string> {
  const { code, stdoutTail } = await run({ argv, env: systemEnvironment(), timeoutMs: 10_000 });
  if (code === 0) return stdoutTail;
  throw new Problem("internal", `Cannot tell what this Mac is: '${argv[0]}' ended with ${code}.`);
}
