/** A worker with all that it needs opened around it, whoever runs it. */
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import type { Channels, OpenApp } from "./channels.ts";
import { DeviceWorker } from "./device_worker.ts";
import { FolderChannels } from "./folder_channels.ts";
import { type Enrolled, readIdentity } from "./identity.ts";
import { leave, type Leaving } from "./leave.ts";
import { userChannel } from "./local_api.ts";
import { lockFile } from "./lock.ts";
import type { Log } from "./log.ts";
import { openServerClient, type ServerClient } from "./server_client.ts";
import { SocketChannels } from "./socket_channels.ts";
import type { State } from "./state.ts";

/** What work needs of the world. */
export interface WorkWorld {
  platform: DevicePlatform;
  state: State;
  program: SelfProgram;
  /** Path of the device key. */
  deviceKey: string;
  log: Log;
  now: () => number;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Resolves after so many milliseconds, or at once when the signal says to end. */
  pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  proxy?: string;
  /** Ends the work, and user-agents that run. */
  signal: AbortSignal;
}

/** Opened work. One at a time on a device. */
export interface Work {
  worker: DeviceWorker;
  client: ServerClient;
  identity: Enrolled;
  channels: Channels;
  /** Tells the server and removes everything. */
  leave: () => Promise<Leaving>;
  close: () => Promise<void>;
}

/** Opens work, or gives undefined when this device is not enrolled. */
export async function openWork(world: WorkWorld): Promise<Work | undefined> {
  const { platform, state, now } = world;
  // An agent that was killed may have left a worker behind that is about to end.
  const lock = lockFile(`${platform.paths.stateDir}/worker.lock`, "wait");
  const system = await platform.system();
  const identity = await readIdentity({ state, deviceKey: world.deviceKey, system });
  if (!identity) {
    lock[Symbol.dispose]();
    return undefined;
  }
  const { device, key } = identity;
  const client = openServerClient({
    publicUrl: device.publicUrl,
    signer: key.signer(device.deviceId),
    clock: { offset: state.sync().clockOffset, known: false },
    now,
    ...(device.serverCa ? { serverCa: device.serverCa } : {}),
    ...(world.proxy ? { proxy: world.proxy } : {}),
  });
  const openApp: OpenApp = (uid) => userChannel(worker.requests, uid, now);
  const channels: Channels = platform.meeting === "folders"
    ? new FolderChannels({ ...world, openApp })
    : new SocketChannels({ ...world, openApp });
  const callUserAgent = (account: Account): Promise<boolean> => {
    channels.open(account);
    return channels.call(account);
  };
  const worker: DeviceWorker = new DeviceWorker({ ...world, identity, client, callUserAgent });
  const stop = () => worker.stop();
  world.signal.addEventListener("abort", stop);

  return {
    worker,
    client,
    identity,
    channels,
    leave: () => leave(worker, { ...world, identity, client }),
    async close() {
      world.signal.removeEventListener("abort", stop);
      worker.stop();
      await channels.close();
      client.close();
      lock[Symbol.dispose]();
    },
  };
}
