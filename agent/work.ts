/** A worker with all that it needs opened around it, whoever runs it. */
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import { DeviceWorker } from "./device_worker.ts";
import { Door, relay } from "./door.ts";
import { type Enrolled, readIdentity } from "./identity.ts";
import { leave, type Leaving } from "./leave.ts";
import { userChannel } from "./local_api.ts";
import { lockFile } from "./lock.ts";
import type { Log } from "./log.ts";
import { openServerClient, type ServerClient } from "./server_client.ts";
import { makeRunFolders } from "./run_folders.ts";
import { accountSockets, bindSocket, removeSocket } from "./sockets.ts";
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
  /** Accounts whose channel is open. */
  hasChannel: (uid: string) => boolean;
  openChannel: (account: Account) => void;
  /** Tells the server and removes everything. */
  leave: () => Promise<Leaving>;
  close: () => Promise<void>;
}

/** One account's channel and the door before it. */
interface Channel {
  server: Deno.HttpServer;
  door: Door;
  /** Makes room for a user-agent that is about to start. */
  invite: () => void;
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
  const channels = new Map<string, Channel>();
  const worker = new DeviceWorker({ ...world, identity, client, openChannel });
  const stop = () => worker.stop();
  world.signal.addEventListener("abort", stop);

  function openChannel(account: Account): void {
    const uid = account.uid;
    const open = channels.get(uid);
    if (open) return open.invite();
    makeRunFolders(platform.paths, platform.root, uid);
    const { worker: front, channel } = accountSockets(platform.paths, uid);
    const { app, invite } = userChannel(worker.requests, uid, now);
    // Behind a door, because it would itself take every connection that a user makes.
    const server = bindSocket(channel, undefined, () => {
      return Deno.serve({ path: channel, onListen() {} }, app.fetch);
    });
    const owner = platform.privileged ? Number(account.uid) : undefined;
    const listener = bindSocket(front, owner, () => {
      return Deno.listen({ transport: "unix", path: front });
    });
    const enter = (connection: Deno.Conn) => relay(connection, channel);
    const door = new Door(listener, { name: uid, log: world.log, now, enter });
    const startOver = () => {
      door.startOver();
      invite();
    };
    channels.set(uid, { server, door, invite: startOver });
  }

  return {
    worker,
    client,
    identity,
    hasChannel: (uid) => channels.has(uid),
    openChannel,
    leave: () => leave(worker, { ...world, identity, client }),
    async close() {
      world.signal.removeEventListener("abort", stop);
      worker.stop();
      for (const [uid, { server, door }] of channels) {
        door.close();
        // A user-agent that still holds a question open would hold the end up.
        await Promise.race([server.shutdown(), new Promise((done) => setTimeout(done, 500))]);
        const sockets = accountSockets(platform.paths, uid);
        for (const path of [sockets.worker, sockets.channel]) removeSocket(path);
      }
      client.close();
      lock[Symbol.dispose]();
    },
  };
}
