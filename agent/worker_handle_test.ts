import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type IdleAnswer, WorkerHandle } from "./worker_handle.ts";

/**
 * A worker that is idle after every message, and for which the end of its input is not the end: it
 * closes only when there is a file to say so.
 */
const WORKER = `
const [end] = Deno.args;
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
let handled = 0;
for await (const chunk of lines) {
  for (const line of chunk.split("\\n").filter(Boolean)) {
    if (JSON.parse(line).do === "deleted") Deno.exit(7);
    console.log(JSON.stringify({
      is: "idle", handled: ++handled, uids: [String(Deno.pid)], enrolled: true,
    }));
  }
}
while (true) {
  try { Deno.statSync(end); break; } catch { await new Promise((next) => setTimeout(next, 10)); }
}
`;

const clock = { offset: 0, known: true };

class Scratch {
  readonly end: string;
  readonly handle: WorkerHandle;
  readonly failures: number[] = [];
  #heard: ((answer: IdleAnswer) => void) | undefined;
  #failed: (() => void) | undefined;

  constructor(folder: string) {
    this.end = `${folder}/end`;
    Deno.writeTextFileSync(`${folder}/worker.js`, WORKER);
    this.handle = new WorkerHandle(
      {
        argv: [Deno.execPath(), "run", "-A", "--quiet", `${folder}/worker.js`, this.end],
        env: {},
        files: [],
      },
      {
        idle: (answer) => this.#heard?.(answer),
        refused: () => {},
        failed: (code) => {
          this.failures.push(code);
          this.#failed?.();
        },
      },
    );
  }

  /** Gives the process id of the worker that dealt with it. */
  async retry(): Promise<string | undefined> {
    const answer = new Promise<IdleAnswer>((resolve) => this.#heard = resolve);
    this.handle.send({ do: "retry", clock });
    return (await answer).uids[0];
  }

  /** A worker that ends without a word. */
  async crash(): Promise<void> {
    const failed = new Promise<void>((resolve) => this.#failed = resolve);
    this.handle.send({ do: "deleted", clock });
    await failed;
  }
}

async function withHandle(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const scratch = new Scratch(folder);
  try {
    await test(scratch);
  } finally {
    if (!existsSync(scratch.end)) await Deno.writeTextFile(scratch.end, "");
    await scratch.handle.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what comes while a worker closes goes to a new one, and nothing is called a failure", () =>
  withHandle(async (scratch) => {
    const first = await scratch.retry();
    const second = await scratch.retry();
    assert.notEqual(second, first);
    assert.deepEqual(scratch.failures, []);
  }));

Deno.test("a worker that is held deals with what comes next as well", () =>
  withHandle(async (scratch) => {
    const hold = scratch.handle.hold();
    const first = await scratch.retry();
    assert.equal(await scratch.retry(), first);
    hold[Symbol.dispose]();
    assert.notEqual(await scratch.retry(), first);
  }));

Deno.test("a worker that ends with work undone is told, and the next one starts", () =>
  withHandle(async (scratch) => {
    await scratch.crash();
    assert.deepEqual(scratch.failures, [7]);
    assert.ok(await scratch.retry());
  }));
