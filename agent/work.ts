/** A worker with all that it needs opened around it, whoever runs it. */
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import { DeviceWorker } from "./device_worker.ts";
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
  const channels = new Map<string, { server: Deno.HttpServer; invite: () => void }>();
  const worker = new DeviceWorker({ ...world, identity, client, openChannel });
  const stop = () => worker.stop();
  world.signal.addEventListener("abort", stop);

  function openChannel(account: Account): void {
    const uid = String(account.uid);
    const open = channels.get(uid);
    if (open) return open.invite();
    makeRunFolders(platform.paths, platform.root, uid);
    const path = accountSockets(platform.paths, uid).worker;
    const owner = platform.privileged ? account.uid : undefined;
    const { app, invite } = userChannel(worker, uid, now);
    const server = bindSocket(path, owner, () => Deno.serve({ path, onListen() {} }, app.fetch));
    channels.set(uid, { server, invite });
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
      for (const [uid, { server }] of channels) {
        // A user-agent that still holds a question open would hold the end up.
        await Promise.race([server.shutdown(), new Promise((done) => setTimeout(done, 500))]);
        removeSocket(accountSockets(platform.paths, uid).worker);
      }
      client.close();
      lock[Symbol.dispose]();
    },
  };
}
