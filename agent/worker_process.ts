/**
 * The agent's worker as a process: the resident agent starts it when there is something to do,
 * tells it on standard input what that is, and lets it end when it has nothing left. So what waits
 * stays small, what works may load what it needs, and a crash in the work cannot take the watch
 * along.
 */
import { toProblem } from "../platform/errors.ts";
import type { Control } from "./channels.ts";
import { EXIT } from "./exit.ts";
import { openControlFolder } from "./folder_channels.ts";
import { controlChannel } from "./local_api.ts";
import { openControlSocket } from "./socket_channels.ts";
import { TextLineStream } from "./text_lines.ts";
import { openWork, type Work, type WorkWorld } from "./work.ts";
import { CONTROL, type WorkerAnswer, type WorkerMessage } from "./worker_messages.ts";

/** What the worker process needs of the world. */
export interface WorkerProcessWorld extends WorkWorld {
  input: ReadableStream<Uint8Array<ArrayBuffer>>;
  answer: (answer: WorkerAnswer) => void;
}

/** Works until its input ends. Gives the exit code: 0, or 3 when this device is not enrolled. */
export async function runWorkerProcess(world: WorkerProcessWorld): Promise<number> {
  const work = await openWork(world);
  if (!work) return EXIT.notEnrolled;
  world.platform.makeRunFolders();
  const conversation = new Conversation(world, work);
  try {
    const lines = world.input.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream(), { signal: world.signal });
    for await (const line of lines) await conversation.take(line);
  } catch (error) {
    if (!world.signal.aborted) throw error;
  } finally {
    await Promise.all([work.close(), conversation.close()]);
  }
  return EXIT.done;
}

/** What the resident agent says, done in order, and answered when nothing is left to do. */
class Conversation {
  /** The administrator's channel, open from the first message on: until then no time is known. */
  #control: Control | undefined;
  #received = 0;

  constructor(private readonly world: WorkerProcessWorld, private readonly work: Work) {}

  async take(line: string): Promise<void> {
    const handled = ++this.#received;
    try {
      // Written by this very program, in the process that started this one.
      const message: WorkerMessage = JSON.parse(line);
      Object.assign(this.work.client.clock, message.clock);
      this.#control ??= this.#openControl();
      await this.#handle(message);
    } catch (error) {
      const { message } = toProblem(error);
      this.world.log.error("work.failed", { reason: message });
      this.world.answer({ is: "refused", message });
    }
    this.#settle(handled).catch((error) => {
      this.world.log.error("work.failed", { reason: toProblem(error).message });
      Deno.exit(EXIT.failed);
    });
  }

  async unenroll() {
    const leaving = await this.work.leave();
    this.#answerIdle(this.#received);
    return leaving;
  }

  async renew(username: string | undefined) {
    const outcomes = await this.work.worker.renew(username);
    this.#answerIdle(this.#received);
    return outcomes;
  }

  async close(): Promise<void> {
    await this.#control?.close();
  }

  #openControl(): Control {
    const app = controlChannel({
      unenroll: () => this.unenroll(),
      renew: (username) => this.renew(username),
    });
    const { platform } = this.world;
    return platform.meeting === "folders"
      ? openControlFolder(this.world, app)
      : openControlSocket(platform, app);
  }

  async #handle(message: WorkerMessage): Promise<void> {
    const { worker } = this.work;
    switch (message.do) {
      case "desired":
        return await worker.desired(message.etag, message.body, message.check);
      case "retry":
        return await worker.sync(false);
      case "deleted":
        return await worker.leave("deleted");
      case "channel":
        if (message.uid === CONTROL) this.#control?.look();
        else {
          if (!this.work.channels.has(message.uid)) await worker.sync(false);
          worker.account(message.uid, (account) => this.work.channels.open(account));
        }
        return this.world.answer({ is: "channel", uid: message.uid });
    }
  }

  async #settle(handled: number): Promise<void> {
    const { worker, channels } = this.work;
    do await worker.settle(); while (await channels.quiet() || await this.#control?.quiet());
    if (worker.isClean()) await this.work.leave();
    if (handled === this.#received) this.#answerIdle(handled);
  }

  #answerIdle(handled: number): void {
    const { worker } = this.work;
    const uids = worker.uids();
    // The agent opens a door in each of these.
    for (const uid of uids) this.world.platform.makeRunFolders(uid);
    const nextTry = worker.nextTry();
    this.world.answer({
      is: "idle",
      handled,
      ...(nextTry === undefined ? {} : { nextTry }),
      uids,
      enrolled: this.world.state.device() !== undefined,
    });
  }
}
