/**
 * The processes that this program can be: the resident agent, its worker, one round of the agent,
 * and a user-agent. Each gives its exit code. Modules load when a process needs them, because the
 * resident one stays in memory for years.
 */
import { ensureRootOwnedDir } from "../platform/files.ts";
import { type DevicePlatform, devicePlatform } from "../platform/platform.ts";
import { runAgent } from "./agent.ts";
import { EXIT } from "./exit.ts";
import { lockFile, LockHeld } from "./lock.ts";
import { isLogLevel, type LogLevel, openLog } from "./log.ts";
import { selfProgram } from "./self_program.ts";
import { State } from "./state.ts";

/** What a command has in hand on this device: opened for it, closed by it. */
export interface DeviceFiles {
  platform: DevicePlatform;
  state: State;
  deviceKey: string;
}

/** Opens the device's state, making its folder where it is missing. */
export function openDevice(root: string | undefined): DeviceFiles {
  const platform = devicePlatform(root);
  const { stateDir } = platform.paths;
  ensureRootOwnedDir(stateDir, { mode: 0o700, ...(root === undefined ? {} : { root }) });
  return {
    platform,
    state: new State(`${stateDir}/state.db`, Date.now),
    deviceKey: `${stateDir}/device.key`,
  };
}

/** Takes the lock that one agent per device holds. @throws LockHeld */
export function lockAgent(platform: DevicePlatform): Disposable {
  return lockFile(`${platform.paths.stateDir}/agent.lock`, "fail");
}

/** The resident agent, until SIGTERM or SIGINT. */
export async function agentProcess(root: string | undefined): Promise<number> {
  const device = openDevice(root);
  const config = await configuration(root);
  const log = openLog({ level: config.logLevel });
  try {
    using _lock = lockAgent(device.platform);
    await runAgent({
      ...device,
      program: selfProgram(root),
      log,
      now: Date.now,
      random: Math.random,
      ...(config.proxy ? { proxy: config.proxy } : {}),
      enrollByConfiguration: () => enrollByConfiguration(root, config.enrolls),
      signal: endSignal(),
    });
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    log.error("agent.refused", { reason: error.message });
    return EXIT.failed;
  }
}

/** The agent's worker, until its standard input ends. */
export async function workerProcess(root: string | undefined): Promise<number> {
  const { runWorkerProcess } = await import("./worker_process.ts");
  const { config, log, device } = await fullDevice(root);
  return await runWorkerProcess({
    ...device,
    program: selfProgram(root),
    log,
    now: Date.now,
    random: Math.random,
    ...(config.proxy ? { proxy: config.proxy } : {}),
    input: Deno.stdin.readable,
    answer: (answer) => {
      Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(answer)}\n`));
    },
    signal: endSignal(),
  });
}

/** One round of the agent: asks once, does what is to do, ends. */
export async function agentOnceProcess(root: string | undefined): Promise<number> {
  const { runAgentOnce } = await import("./agent_once.ts");
  const { config, log, device } = await fullDevice(root);
  try {
    using _lock = lockAgent(device.platform);
    return await runAgentOnce({
      ...device,
      program: selfProgram(root),
      log,
      now: Date.now,
      random: Math.random,
      ...(config.proxy ? { proxy: config.proxy } : {}),
      signal: endSignal(),
    });
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    log.error("agent.refused", { reason: error.message });
    return EXIT.failed;
  }
}

/** A user-agent: one run, or for as long as the session lasts. */
export async function userAgentProcess(root: string | undefined, once: boolean): Promise<number> {
  const { openUserWorld } = await import("./user_world.ts");
  const { runUserAgent, runUserAgentForever } = await import("./user_agent.ts");
  const world = openUserWorld(root);
  try {
    if (once) return await runUserAgent(world) === "done" ? EXIT.done : EXIT.attention;
    await runUserAgentForever(world, endSignal());
    return EXIT.done;
  } finally {
    world.client.close();
  }
}

/** The device's files and its checked configuration. @throws ConfigError */
export async function fullDevice(root: string | undefined) {
  const { readConfig } = await import("./config.ts");
  const device = openDevice(root);
  const config = readConfig(device.platform.paths.configFile);
  useCaStore(config.caStore);
  return { device, config, log: openLog({ level: config.logLevel }) };
}

/** What the resident agent needs of the configuration, read and checked by a process of its own. */
interface ResidentConfiguration {
  proxy?: string;
  logLevel: LogLevel;
  /** Whether the configuration says how to enrol. */
  enrolls: boolean;
}

async function configuration(root: string | undefined): Promise<ResidentConfiguration> {
  const defaults: ResidentConfiguration = { logLevel: "info", enrolls: false };
  try {
    await Deno.lstat(devicePlatform(root).paths.configFile);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return defaults;
    throw error;
  }
  const result = await runSelf(root, ["agent-config"]);
  if (result.code !== 0) throw new Error(result.errors);
  const config: Record<string, string> = JSON.parse(result.output);
  useCaStore(config.caStore);
  return {
    ...(config.proxy ? { proxy: config.proxy } : {}),
    logLevel: isLogLevel(config.logLevel) ? config.logLevel : "info",
    enrolls: config.server !== undefined,
  };
}

async function enrollByConfiguration(root: string | undefined, enrolls: boolean): Promise<boolean> {
  if (!enrolls) return false;
  const result = await runSelf(root, ["enroll"]);
  if (result.code === 0) return true;
  throw new Error(result.errors);
}

async function runSelf(root: string | undefined, args: string[]) {
  const { argv: [command, ...first], env } = selfProgram(root);
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...first, ...args],
    env,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes.slice(0, 64 * 1024)).trim();
  return { code, output: text(stdout), errors: text(stderr) };
}

function useCaStore(store: string | undefined): void {
  if (store) Deno.env.set("DENO_TLS_CA_STORE", store === "system" ? "system" : "mozilla");
}

/** Aborts at the first SIGTERM or SIGINT. */
function endSignal(): AbortSignal {
  const end = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => end.abort());
  }
  return end.signal;
}
