/**
 * The agent's worker as a process: the resident agent starts it when there is something to do,
 * tells it on standard input what that is, and lets it end when it has nothing left. So what waits
 * stays small, what works may load what it needs, and a crash in the work cannot take the watch
 * along.
 */
import { TextLineStream } from "./text_lines.ts";
import type { Account } from "../platform/accounts.ts";
import { toProblem } from "../platform/errors.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import { DeviceWorker } from "./device_worker.ts";
import { leave } from "./leave.ts";
import { readIdentity } from "./identity.ts";
import { controlChannel, userChannel } from "./local_api.ts";
import { lockFile } from "./lock.ts";
import type { Log } from "./log.ts";
import { openServerClient } from "./server_client.ts";
import {
  accountSockets,
  bindSocket,
  makeRunDirs,
  removeSocket,
  workerControlSocket,
} from "./sockets.ts";
import type { State } from "./state.ts";
import { CONTROL, type WorkerAnswer, type WorkerMessage } from "./worker_messages.ts";

/** What the worker process needs of the world. */
export interface WorkerProcessWorld {
  platform: DevicePlatform;
  state: State;
  program: SelfProgram;
  log: Log;
  now: () => number;
  random: () => number;
  deviceKey: string;
  proxy?: string;
  input: ReadableStream<Uint8Array<ArrayBuffer>>;
  answer: (answer: WorkerAnswer) => void;
  signal: AbortSignal;
}

/** Works until standard input ends. Exit code: 0, or 3 when this device is not enrolled. */
export async function runWorkerProcess(world: WorkerProcessWorld): Promise<number> {
  const { platform, state, log, now } = world;
  // An agent that was killed may have left a worker behind that is about to end.
  using _lock = lockFile(`${platform.paths.stateDir}/worker.lock`, "wait");
  const system = await platform.system();
  const identity = await readIdentity({ state, deviceKey: world.deviceKey, system });
  if (!identity) return 3;
  const clock = { offset: state.sync().clockOffset, known: false };
  const { device, key } = identity;
  const client = openServerClient({
    publicUrl: device.publicUrl,
    signer: key.signer(device.deviceId),
    clock,
    now,
    ...(device.serverCa ? { serverCa: device.serverCa } : {}),
    ...(world.proxy ? { proxy: world.proxy } : {}),
  });
  const channels = new Map<string, Deno.HttpServer>();
  const worker = new DeviceWorker({ ...world, identity, client, openChannel });
  const control = bindSocket(workerControlSocket(platform.paths), undefined, () =>
    Deno.serve(
      { path: workerControlSocket(platform.paths), onListen() {} },
      controlChannel({ unenroll }).fetch,
    ));

  function openChannel(account: Account): void {
    const uid = String(account.uid);
    if (channels.has(uid)) return;
    makeRunDirs(platform.paths, platform.root, uid);
    const path = accountSockets(platform.paths, uid).worker;
    const owner = platform.privileged ? account.uid : undefined;
    const app = userChannel(worker, uid, now);
    channels.set(
      uid,
      bindSocket(path, owner, () => Deno.serve({ path, onListen() {} }, app.fetch)),
    );
  }

  const unenroll = async () => {
    const leaving = await leave(worker, { ...world, identity, client });
    await afterwards(received);
    return leaving;
  };

  async function handle(message: WorkerMessage): Promise<void> {
    Object.assign(clock, message.clock);
    switch (message.do) {
      case "desired":
        return await worker.desired(message.etag, message.body, message.check);
      case "retry":
        return await worker.sync(false);
      case "deleted":
        return await worker.leave("deleted");
      case "channel":
        if (message.uid !== CONTROL && !channels.has(message.uid)) {
          await worker.sync(false);
          worker.account(message.uid, openChannel);
        }
        return world.answer({ is: "channel", uid: message.uid });
    }
  }

  let received = 0;
  async function afterwards(handled: number): Promise<void> {
    await worker.settle();
    if (worker.isClean()) await leave(worker, { ...world, identity, client });
    if (handled !== received) return;
    const nextTry = worker.nextTry();
    world.answer({
      is: "idle",
      handled,
      ...(nextTry === undefined ? {} : { nextTry }),
      uids: worker.uids(),
      enrolled: state.device() !== undefined,
    });
  }

  const stop = () => worker.stop();
  world.signal.addEventListener("abort", stop);
  try {
    const lines = world.input.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream(), { signal: world.signal });
    for await (const line of lines) {
      const handled = ++received;
      try {
        await handle(parseMessage(line));
      } catch (error) {
        const problem = toProblem(error);
        log.error("work.failed", { reason: problem.message });
        world.answer({ is: "refused", message: problem.message });
      }
      afterwards(handled).catch((error) => {
        log.error("work.failed", { reason: toProblem(error).message });
        Deno.exit(1);
      });
    }
  } catch (error) {
    if (!world.signal.aborted) throw error;
  }
  worker.stop();
  client.close();
  await Promise.all([control, ...channels.values()].map((server) => server.shutdown()));
  removeSocket(workerControlSocket(platform.paths));
  for (const uid of channels.keys()) removeSocket(accountSockets(platform.paths, uid).worker);
  return 0;
}

/** Written by this very program, in the process that started this one. */
function parseMessage(line: string): WorkerMessage {
  return JSON.parse(line);
}
