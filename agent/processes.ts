/**
 * What this program runs as beside the resident agent: the agent's preparation, its worker, one
 * round of the agent, and a user-agent. Each gives its exit code.
 */
import { type DevicePlatform, devicePlatform } from "../platform/platform.ts";
import { runAgentOnce } from "./agent_once.ts";
import { type Config, readConfig } from "./config.ts";
import { openState } from "./device_state.ts";
import { endSignal } from "./end_signal.ts";
import { EXIT } from "./exit.ts";
import { readIdentity } from "./identity.ts";
import { lockFile, LockHeld } from "./lock.ts";
import { openProcessLog } from "./log_file.ts";
import { pause } from "./pause.ts";
import type { Prepared } from "./resident.ts";
import { selfProgram } from "./self_program.ts";
import type { State } from "./state.ts";
import type { WorkWorld } from "./work.ts";
import { runWorkerProcess } from "./worker_process.ts";

/** What a command has in hand on this device: opened for it, closed by it. */
export interface Device {
  platform: DevicePlatform;
  config: Config;
  state: State;
  /** Path of the device key. */
  deviceKey: string;
  /** Where its processes log, where nothing else keeps what they write. */
  logFolder?: string | undefined;
}

/**
 * Opens the device's state, making its folder where it is missing.
 *
 * @throws ConfigError, UnsafePath, NewerDatabase, DamagedDatabase
 */
export async function openDevice(root: string | undefined): Promise<Device> {
  const platform = await devicePlatform(root);
  const { stateDir, configFile } = platform.paths;
  platform.makeStateFolder();
  const config = readConfig(configFile);
  if (config.caStore) {
    Deno.env.set("DENO_TLS_CA_STORE", config.caStore === "system" ? "system" : "mozilla");
  }
  return {
    platform,
    config,
    state: openState(stateDir, Date.now),
    deviceKey: `${stateDir}/device.key`,
    logFolder: platform.makeLogFolder?.(),
  };
}

/** Takes the lock that one agent per device holds. @throws LockHeld */
export function lockAgent(platform: DevicePlatform): Disposable {
  return lockFile(`${platform.paths.stateDir}/agent.lock`, "fail");
}

/** Makes the agent's folders, reads its configuration, and says so as `Prepared`. */
export async function prepareProcess(
  root: string | undefined,
  out: (text: string) => void,
): Promise<number> {
  const platform = await devicePlatform(root);
  platform.makeStateFolder();
  // A damaged one is set aside here, by modules that the agent need not keep in memory.
  openState(platform.paths.stateDir, Date.now).close();
  platform.makeRunFolders();
  const { machine } = await platform.system();
  const { proxy, caStore, logLevel, server } = readConfig(platform.paths.configFile);
  const logFolder = platform.makeLogFolder?.();
  const prepared: Prepared = {
    ...(platform.root === undefined ? {} : { root: platform.root }),
    paths: platform.paths,
    privileged: platform.privileged,
    meeting: platform.meeting,
    ...(machine === undefined ? {} : { machine }),
    ...(proxy ? { proxy } : {}),
    ...(caStore ? { caStore } : {}),
    ...(logLevel ? { logLevel } : {}),
    ...(logFolder === undefined ? {} : { logFolder }),
    enrolls: server !== undefined,
  };
  out(`${JSON.stringify(prepared)}\n`);
  return EXIT.done;
}

/** The agent's worker, until its standard input ends. */
export async function workerProcess(root: string | undefined): Promise<number> {
  const device = await openDevice(root);
  try {
    return await runWorkerProcess({
      ...workWorld(root, device),
      input: Deno.stdin.readable,
      answer: (answer) => {
        Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(answer)}\n`));
      },
    });
  } finally {
    device.state.close();
  }
}

/** One round of the agent: asks once, does what is to do, ends. */
export async function agentOnceProcess(root: string | undefined): Promise<number> {
  const device = await openDevice(root);
  const world = workWorld(root, device);
  try {
    using _lock = lockAgent(device.platform);
    return await runAgentOnce(world);
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    const system = await device.platform.system();
    if (await readIdentity({ ...device, system }) === undefined) {
      world.log.error("device.not-enrolled", { fix: "device-trust enroll" });
      return EXIT.notEnrolled;
    }
    world.log.error("agent.refused", { reason: error.message });
    return EXIT.failed;
  } finally {
    device.state.close();
  }
}

/** What work on an open device needs of the world; it ends at SIGTERM or SIGINT. */
export function workWorld(
  root: string | undefined,
  { config, logFolder, ...device }: Device,
): WorkWorld {
  return {
    ...device,
    program: selfProgram(root),
    log: openProcessLog(config.logLevel, logFolder, "worker"),
    now: Date.now,
    random: Math.random,
    pause,
    ...(config.proxy ? { proxy: config.proxy } : {}),
    signal: endSignal(),
  };
}
