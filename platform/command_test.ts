import assert from "node:assert/strict";
import { type Command, runCommand } from "./command.ts";
import { Problem } from "./errors.ts";

const ignore = Deno.build.os !== "linux";

function sh(script: string, rest: Partial<Command> = {}) {
  return runCommand({ argv: ["/bin/sh", "-c", script], env: {}, timeoutMs: 30_000, ...rest });
}

/** Looks until it is so; gives up after 10 s. */
async function until(so: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !so();) {
    assert.ok(Date.now() < end, String(so));
    await new Promise((done) => setTimeout(done, 5));
  }
}

/** Processes that have this text in their arguments; a dead one has none. */
function running(text: string): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
    try {
      return pid > 0 && Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(text);
    } catch {
      return false; // ended meanwhile
    }
  });
}

Deno.test({
  name: "a program has exactly the given environment, in /",
  ignore,
  async fn() {
    const { code, stdoutTail } = await runCommand({
      argv: ["/usr/bin/env"],
      env: { A: "1", PATH: "/usr/bin:/bin" },
      timeoutMs: 10_000,
    });
    assert.equal(code, 0);
    assert.deepEqual(stdoutTail.trim().split("\n").sort(), ["A=1", "PATH=/usr/bin:/bin"]);
    assert.equal((await sh("pwd")).stdoutTail, "/\n");
  },
});

Deno.test({
  name: "exit code and both streams come back; a signal counts 128 more",
  ignore,
  async fn() {
    const result = await sh("echo out; echo err >&2; exit 7");
    assert.deepEqual(result, {
      code: 7,
      timedOut: false,
      stdoutTail: "out\n",
      stderrTail: "err\n",
    });
    assert.equal((await sh("kill -9 $$")).code, 137);
  },
});

Deno.test({
  name: "endless output is read to its end and only its tail is kept",
  ignore,
  async fn() {
    const { stdoutTail } = await sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end");
    assert.equal(stdoutTail.length, 64 * 1024);
    assert.ok(stdoutTail.endsWith("xxxend\n"));
  },
});

Deno.test({
  name: "at the deadline the whole process group ends, even what ignores SIGTERM",
  ignore,
  async fn() {
    const mark = `7${Date.now()}`;
    const script = `trap '' TERM; (trap '' TERM; sleep ${mark}) & sleep ${mark}`;
    const result = await sh(script, { timeoutMs: 50 });
    assert.equal(result.timedOut, true);
    assert.equal(result.code, 137);
    assert.deepEqual(running(mark), []);
  },
});

Deno.test({
  name: "what ignores SIGTERM does not outlive a program that obeyed it",
  ignore,
  async fn() {
    const mark = `8${Date.now()}`;
    const end = new AbortController();
    const ending = sh(
      `(trap '' TERM; echo ready; exec >&- 2>&-; while :; do sleep ${mark}; done) & wait`,
      { signal: end.signal },
    );
    await until(() => running(mark).length > 2);
    end.abort();
    const { code, timedOut } = await ending;
    assert.deepEqual({ code, timedOut }, { code: 143, timedOut: false });
    await until(() => running(mark).length === 0);
  },
});

Deno.test({
  name: "a program aborted before it starts ends at once",
  ignore,
  async fn() {
    assert.equal((await sh("sleep 60", { signal: AbortSignal.abort() })).code, 143);
  },
});

Deno.test({
  name: "a process that left the group and holds the pipe is not waited for",
  ignore,
  async fn() {
    const mark = `9${Date.now()}`;
    const { code } = await sh(`setsid sleep ${mark} & echo $!; exit 0`);
    assert.equal(code, 0);
    for (const pid of running(mark)) Deno.kill(pid, "SIGKILL");
  },
});

Deno.test("a program that cannot be started is a Problem that names it", async () => {
  await assert.rejects(
    runCommand({ argv: ["/nowhere/program"], env: {}, timeoutMs: 1000 }),
    (error) => error instanceof Problem && error.message.includes("/nowhere/program"),
  );
});

Deno.test({
  name: "a program reads its input to the end, and may end without reading it",
  ignore,
  async fn() {
    const { stdoutTail } = await sh("cat", { input: "first\nsecond\n" });
    assert.equal(stdoutTail, "first\nsecond\n");
    const { code } = await sh("exit 3", { input: "x".repeat(1_000_000) });
    assert.equal(code, 3);
  },
});

Deno.test({
  name: "more of the output is kept where that is asked for",
  ignore,
  async fn() {
    const script = "head -c 100000 /dev/zero | tr '\\0' x";
    assert.equal((await sh(script)).stdoutTail.length, 64 * 1024);
    assert.equal((await sh(script, { keptBytes: 200_000 })).stdoutTail.length, 100_000);
  },
});
