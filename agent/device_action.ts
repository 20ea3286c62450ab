/** What an administrator's command has done: by the agent that runs, or here when none does. */
import { Problem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import { isThere } from "../platform/presence.ts";
import { socketExchange } from "./exchange.ts";
import { folderExchange } from "./folder_exchange.ts";
import { readIdentity } from "./identity.ts";
import { lockHolder } from "./lock.ts";
import { openLog } from "./log.ts";
import { pause } from "./pause.ts";
import { lockAgent, openDevice, workWorld } from "./processes.ts";
import type { WorkWorld } from "./work.ts";

/** Something to have done on this device. */
export interface DeviceAction<T> {
  /** Its path on the administrator's channel. */
  path: string;
  body?: unknown;
  read: (answer: unknown) => T;
  here: (world: WorkWorld) => Promise<T | undefined>;
}

/** Undefined when this device is not enrolled. @throws Problem, LockHeld */
export async function throughAgentOrHere<T>(
  root: string | undefined,
  action: DeviceAction<T>,
): Promise<T | undefined> {
  const device = await openDevice(root);
  const { paths } = device.platform;
  try {
    const system = await device.platform.system();
    if (!await readIdentity({ ...device, system })) return undefined;
    if (lockHolder(`${paths.stateDir}/agent.lock`)) {
      return await throughAgent(device.platform, action);
    }
    using _lock = lockAgent(device.platform);
    return await action.here({ ...workWorld(root, device), log: openLog({ level: "warning" }) });
  } finally {
    device.state.close();
  }
}

/** How often and how far apart to look for the door of an agent that was enrolled just now. */
const DOOR_LOOKS = { count: 50, apart: 100 } as const;

async function throughAgent<T>(
  { paths: { control }, meeting }: DevicePlatform,
  { path, body, read }: DeviceAction<T>,
): Promise<T> {
  for (let look = 0; !isThere(control) && look < DOOR_LOOKS.count; look++) {
    await pause(DOOR_LOOKS.apart, new AbortController().signal);
  }
  const exchange = meeting === "folders" ? folderExchange(control) : socketExchange(control);
  try {
    const response = await exchange.ask({
      method: "POST",
      path,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body ?? {}),
    });
    const answer = await response.json();
    if (!response.ok) throw new Problem("internal", String(answer.message));
    return read(answer);
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem(
      "unreachable",
      `The agent that runs on this device does not answer at ${control}. Look at its log; with it ` +
        "stopped, this command does the work itself.",
      { cause },
    );
  } finally {
    exchange.close();
  }
}
