/** The resident agent's hold on its worker process. */
import type { SelfProgram } from "../platform/platform.ts";
import { TextLineStream } from "./text_lines.ts";
import type { WorkerAnswer, WorkerMessage } from "./worker_messages.ts";

/** What the last worker left to know. */
export type IdleAnswer = Extract<WorkerAnswer, { is: "idle" }>;

/** What the agent wants to hear of its worker. */
export interface WorkerEvents {
  idle: (answer: IdleAnswer) => void;
  refused: (message: string) => void;
  /** The worker ended without having been idle: what it was told is undone. */
  failed: (code: number) => void;
}

/** A worker that takes messages. */
interface Worker {
  child: Deno.ChildProcess;
  writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Messages that it was sent. */
  sent: number;
  /** Whether it has dealt with all of them. */
  idle: boolean;
  channelWaiters: Map<string, (() => void)[]>;
}

/**
 * Starts workers as needed and lets them end when idle. At most one takes messages; one that was
 * told to end may still be closing when its successor starts, which waits for its lock.
 */
export class WorkerHandle {
  #worker: Worker | undefined;
  #holds = 0;
  #stopping = false;
  /** Every worker that lives, with its end. */
  readonly #alive = new Map<Deno.ChildProcess, Promise<void>>();

  constructor(private readonly program: SelfProgram, private readonly events: WorkerEvents) {}

  /** Tells the worker something, starting one when none runs. */
  send(message: WorkerMessage): void {
    const worker = this.#worker ??= this.#start();
    worker.sent++;
    worker.idle = false;
    worker.writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`)).catch(() => {
      // The worker ended: #ended tells so, with its exit code.
    });
  }

  /** Resolves when the worker listens on an account's channel, or has ended. */
  channel(uid: string, clock: WorkerMessage["clock"]): Promise<void> {
    return new Promise((resolve) => {
      this.send({ do: "channel", uid, clock });
      const waiters = this.#worker?.channelWaiters;
      waiters?.set(uid, [...waiters.get(uid) ?? [], resolve]);
    });
  }

  /** Keeps the worker for as long as the returned value is not disposed. */
  hold(): Disposable {
    this.#holds++;
    return {
      [Symbol.dispose]: () => {
        this.#holds--;
        this.#endIfIdle();
      },
    };
  }

  /** Ends what runs now; user-agents end with their worker. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const child of this.#alive.keys()) end(child);
    await Promise.all(this.#alive.values());
  }

  #start(): Worker {
    const [command, ...args] = this.program.argv;
    const child = new Deno.Command(command, {
      args: [...args, "agent-worker"],
      env: { ...this.program.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const worker: Worker = {
      child,
      writer: child.stdin.getWriter(),
      sent: 0,
      idle: false,
      channelWaiters: new Map(),
    };
    const end = this.#read(worker).then(() => child.status).then(({ code }) => {
      this.#alive.delete(child);
      this.#ended(worker, code);
    });
    this.#alive.set(child, end);
    return worker;
  }

  async #read(worker: Worker): Promise<void> {
    const lines = worker.child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) {
      // Written by this very program, in a process that only we started.
      const answer: WorkerAnswer = JSON.parse(line);
      if (answer.is === "refused") this.events.refused(answer.message);
      else if (answer.is === "channel") {
        for (const wake of worker.channelWaiters.get(answer.uid) ?? []) wake();
        worker.channelWaiters.delete(answer.uid);
      } else if (answer.handled === worker.sent) {
        worker.idle = true;
        this.#endIfIdle();
        this.events.idle(answer);
      }
    }
  }

  #ended(worker: Worker, code: number): void {
    if (this.#worker === worker) this.#worker = undefined;
    for (const waiters of worker.channelWaiters.values()) for (const wake of waiters) wake();
    if (!worker.idle && !this.#stopping) this.events.failed(code);
  }

  /** What comes from here on is for a new worker: this one reads no more. */
  #endIfIdle(): void {
    const worker = this.#worker;
    if (!worker?.idle || this.#holds > 0) return;
    this.#worker = undefined;
    worker.writer.close().catch(() => {
      // It ended by itself.
    });
  }
}

function end(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch (error) {
    // It has just ended by itself, which is not known here yet.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
