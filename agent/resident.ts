/**
 * The resident agent as a process. What it needs to know of the system it has told by a process of
 * its own, once, because the modules that find it out would stay in memory for years.
 */
import { Problem } from "../platform/errors.ts";
import type { SystemPaths } from "../platform/paths.ts";
import type { Meeting } from "../platform/platform.ts";
import { runAgent } from "./agent.ts";
import { endSignal } from "./end_signal.ts";
import { EXIT } from "./exit.ts";
import { lockFile, LockHeld } from "./lock.ts";
import type { LogLevel } from "./log.ts";
import { openProcessLog } from "./log_file.ts";
import { selfProgram } from "./self_program.ts";
import { State } from "./state.ts";

/** What `agent-prepare` answers, as one JSON object. */
export interface Prepared {
  /** `--root`, absolute. */
  root?: string;
  paths: SystemPaths;
  privileged: boolean;
  meeting: Meeting;
  /** See `SystemFacts`. */
  machine?: string;
  proxy?: string;
  caStore?: "builtin" | "system";
  logLevel?: LogLevel;
  /** Where it logs, where nothing else keeps what it writes. */
  logFolder?: string;
  /** Whether the configuration says where to enrol. */
  enrolls: boolean;
}

/** Runs until SIGTERM or SIGINT. Gives the exit code: 1 when another agent runs. */
export async function residentAgent(root: string | undefined): Promise<number> {
  const prepared = await prepare(root);
  const { paths, machine, proxy, caStore, logLevel, logFolder } = prepared;
  const log = openProcessLog(logLevel, logFolder, "agent");
  const signal = endSignal();
  if (caStore) Deno.env.set("DENO_TLS_CA_STORE", caStore === "system" ? "system" : "mozilla");
  try {
    using _lock = lockFile(`${paths.stateDir}/agent.lock`, "fail");
    await runAgent({
      paths,
      privileged: prepared.privileged,
      meeting: prepared.meeting,
      system: machine === undefined ? {} : { machine },
      state: new State(`${paths.stateDir}/state.db`, Date.now),
      deviceKey: `${paths.stateDir}/device.key`,
      program: selfProgram(prepared.root),
      log,
      now: Date.now,
      random: Math.random,
      ...(proxy ? { proxy } : {}),
      enrollByConfiguration: () => enrollByConfiguration(prepared, signal),
      signal,
    });
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    log.error("agent.refused", { reason: error.message });
    return EXIT.failed;
  }
}

async function prepare(root: string | undefined): Promise<Prepared> {
  const { code, output, errors } = await runSelf(root, "agent-prepare");
  if (code !== 0) throw new Problem("internal", errors);
  // Written by this very program.
  return JSON.parse(output);
}

async function enrollByConfiguration(
  { root, enrolls }: Prepared,
  signal: AbortSignal,
): Promise<boolean> {
  if (!enrolls) return false;
  const { code, errors } = await runSelf(root, "enroll", signal);
  if (code === 0) return true;
  throw new Problem("internal", errors);
}

async function runSelf(root: string | undefined, command: string, signal?: AbortSignal) {
  const { argv: [program, ...args], env } = selfProgram(root);
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args, command],
    env,
    stdin: "null",
    ...(signal ? { signal } : {}),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes.slice(0, 64 * 1024)).trim();
  return { code, output: text(stdout), errors: text(stderr).replace(/^device-trust: /, "") };
}
