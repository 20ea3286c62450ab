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

/** Starts workers as needed and lets them end when idle; at most one runs at a time. */
export class WorkerHandle {
  #process:
    | { child: Deno.ChildProcess; writer: WritableStreamDefaultWriter<Uint8Array> }
    | undefined;
  #sent = 0;
  #holds = 0;
  #idle: IdleAnswer | undefined;
  #stopping = false;
  readonly #channelWaiters = new Map<string, (() => void)[]>();

  constructor(private readonly program: SelfProgram, private readonly events: WorkerEvents) {}

  /** Tells the worker something, starting one when none runs. */
  send(message: WorkerMessage): void {
    const { writer } = this.#process ??= this.#start();
    this.#sent++;
    this.#idle = undefined;
    writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`)).catch(() => {
      // The worker ended: #ended tells so, with its exit code.
    });
  }

  /** Resolves when the worker listens on an account's channel, or has ended. */
  channel(uid: string, clock: WorkerMessage["clock"]): Promise<void> {
    return new Promise((resolve) => {
      this.#channelWaiters.set(uid, [...this.#channelWaiters.get(uid) ?? [], resolve]);
      this.send({ do: "channel", uid, clock });
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

  /** Ends the worker now; its user-agents end with it. */
  async stop(): Promise<void> {
    const child = this.#process?.child;
    if (!child) return;
    this.#stopping = true;
    child.kill("SIGTERM");
    await child.status;
  }

  #start() {
    const [command, ...args] = this.program.argv;
    const child = new Deno.Command(command, {
      args: [...args, "agent-worker"],
      env: { ...this.program.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const process = { child, writer: child.stdin.getWriter() };
    this.#sent = 0;
    this.#read(child).then(() => child.status).then((status) => {
      const wasIdle = this.#idle !== undefined;
      this.#process = undefined;
      for (const waiters of this.#channelWaiters.values()) for (const wake of waiters) wake();
      this.#channelWaiters.clear();
      if (!wasIdle && !this.#stopping) this.events.failed(status.code);
    });
    return process;
  }

  async #read(child: Deno.ChildProcess): Promise<void> {
    const lines = child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream());
    for await (const line of lines) {
      // Written by this very program, in a process that only we started.
      const answer: WorkerAnswer = JSON.parse(line);
      if (answer.is === "refused") this.events.refused(answer.message);
      else if (answer.is === "channel") {
        for (const wake of this.#channelWaiters.get(answer.uid) ?? []) wake();
        this.#channelWaiters.delete(answer.uid);
      } else if (answer.handled === this.#sent) {
        this.#idle = answer;
        this.#endIfIdle();
        this.events.idle(answer);
      }
    }
  }

  #endIfIdle(): void {
    if (!this.#idle || this.#holds > 0 || !this.#process) return;
    this.#process.writer.close().catch(() => {
      // It ended by itself.
    });
  }
}
