/** How a device leaves its agent server: everything goes, and the device key last. */
import { z } from "zod";
import { toProblem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { DeviceWorker } from "./device_worker.ts";
import type { Enrolled } from "./identity.ts";
import type { Log } from "./log.ts";
import { refusal, type ServerClient } from "./server_client.ts";
import type { State } from "./state.ts";

/** What leaving needs of the world. */
export interface LeaveWorld {
  platform: DevicePlatform;
  state: State;
  identity: Enrolled;
  client: ServerClient;
  deviceKey: string;
  log: Log;
}

/** How far it came. */
export const Leaving = z.object({
  /** Nothing of us is left but the log; false while a store cannot be cleaned. */
  clean: z.boolean(),
  /** Why the agent server could not be told, where it could not. */
  untold: z.string().optional(),
  /** What keeps stores from being cleaned. */
  left: z.array(z.object({ username: z.string(), message: z.string() })),
});
export type Leaving = z.infer<typeof Leaving>;

/**
 * Tells the server (a server that cannot be reached stops nothing), removes everything, and when
 * all is gone the device's record and key. What cannot be cleaned now keeps the identity, and is
 * tried again by whoever holds the agent's lock.
 */
export async function leave(worker: DeviceWorker, world: LeaveWorld): Promise<Leaving> {
  const { state, log, identity: { device } } = world;
  if (!state.device()) return { clean: true, left: [] };
  const untold = state.device()?.leaving ? undefined : await tellServer(world);
  await worker.leave("unenrolled");
  await worker.settle();
  // The server's 410, which telling it brings about, may have had the same done meanwhile.
  if (!state.device()) return { clean: true, left: [], ...(untold ? { untold } : {}) };
  if (worker.isClean()) {
    for (const { userId } of state.users()) state.forgetUser(userId);
    // From here on only the record is left, which readIdentity removes when this is interrupted.
    await removeKey(world.deviceKey);
    state.endDevice(device);
    log.info("device.left", { deviceId: device.deviceId });
    return { clean: true, left: [], ...(untold ? { untold } : {}) };
  }
  const left = state.users().filter((row) => row.state !== "removed").map((row) => ({
    username: row.username,
    message: row.error?.message ?? "Its removal is not finished.",
  }));
  return { clean: false, left, ...(untold ? { untold } : {}) };
}

async function tellServer(world: LeaveWorld): Promise<string | undefined> {
  const { client, identity: { device }, log } = world;
  try {
    const answer = await client.request({
      method: "DELETE",
      path: `/v1/devices/${device.deviceId}`,
    });
    // A device that is gone there already is what was asked for.
    if (answer.status === 204 || answer.status === 410) return undefined;
    throw refusal("unenrol at the agent server", answer);
  } catch (error) {
    const { message } = toProblem(error);
    log.warning("unenroll.untold", { reason: message });
    return message;
  }
}

async function removeKey(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
