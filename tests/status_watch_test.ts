/** `status --watch`, as a process: what it shows when, and how it ends. */
import assert from "node:assert/strict";
import { ensureRootOwnedDir } from "../platform/files.ts";
import { State } from "../agent/state.ts";
import { TextLineStream } from "../agent/text_lines.ts";
import { inPassableFolder } from "./device_root.ts";
import { type Program, programFromSource } from "./product.ts";
import { until } from "./until.ts";
import { testWith } from "./skip.ts";

/** A device without an agent, whose state a test writes. */
async function withState(test: (program: Program, state: State) => Promise<void>): Promise<void> {
  await inPassableFolder(async (root) => {
    const folder = `${root}/var/lib/device-trust`;
    ensureRootOwnedDir(folder, { mode: 0o700, root });
    const state = new State(`${folder}/state.db`, Date.now);
    try {
      await test(programFromSource(root), state);
    } finally {
      state.close();
    }
  });
}

const DEVICE = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  server: "https://agents.test",
  publicUrl: "https://agents.test",
  leaving: false,
};

function start([executable, ...first]: Program, args: string[], env: Record<string, string> = {}) {
  return new Deno.Command(executable, {
    args: [...first, ...args],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("--watch --json gives a line at once and one for each change, and ends well on Ctrl-C", () =>
  withState(async (program, state) => {
    const child = start(program, ["status", "--watch", "--json"]);
    const lines: string[] = [];
    const reading = (async () => {
      const text = child.stdout.pipeThrough(new TextDecoderStream())
        .pipeThrough(new TextLineStream());
      for await (const line of text) lines.push(line);
    })();
    await until("it has shown the first", () => lines.length === 1);
    state.saveDevice(DEVICE);
    await until("it has shown the change", () => lines.length === 2);
    state.saveUser({
      userId: "22222222-2222-4222-8222-222222222222",
      username: "alice",
      state: "failed",
      details: {},
      attempts: 1,
      unreported: true,
      removed: [],
    });
    await until("it has shown the next", () => lines.length === 3);
    child.kill("SIGINT");
    const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
    await Promise.all([reading, child.stdin.close()]);
    assert.deepEqual({ code, errors }, { code: 0, errors: "" });
    assert.deepEqual(lines.map((line) => JSON.parse(line).device.enrolled), [false, true, true]);
    assert.equal(JSON.parse(lines[2] ?? "").users[0].state, "failed");
  }));

Deno.test("--watch ends when its reader does", () =>
  withState(async (program, state) => {
    const child = start(program, ["status", "--watch"]);
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    assert.match(new TextDecoder().decode(value), /^This device is not enrolled/);
    await reader.cancel();
    let ended = false;
    child.status.then(() => ended = true);
    state.saveDevice(DEVICE);
    await until("it has ended", () => ended);
    await Promise.all([child.stdin.close(), child.stderr.cancel()]);
    assert.equal((await child.status).code, 0);
  }));

/** Runs a program on a terminal of its own; what is typed goes through it. */
const ON_A_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/** Whatever the tests themselves were asked for. */
const COLORED = { TERM: "xterm", NO_COLOR: "" };

function onTerminal(program: Program): Program {
  return ["/usr/bin/env", "python3", "-c", ON_A_TERMINAL, ...program];
}

testWith(
  ["python3"],
  "on a terminal it is drawn anew when it changes, in colour, and Ctrl-C ends it with 0",
  () =>
    withState(async (program, state) => {
      state.saveDevice(DEVICE);
      const child = start(onTerminal(program), ["status", "--watch"], COLORED);
      let shown = "";
      const reading = (async () => {
        for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) shown += text;
      })();
      const drawn = () => shown.split("\x1b[H\x1b[2J").length - 1;
      await until("it is drawn", () => drawn() === 1);
      assert.ok(shown.includes("\x1b[2mdistribution\x1b[0m"), shown);
      state.saveSync({ clockOffset: 7_200_000, lastSync: Date.now() });
      await until("it is drawn anew", () => shown.includes("2 hours behind"));
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("\x03"));
      const { code } = await child.status;
      await Promise.all([reading, child.stderr.cancel()]);
      writer.close().catch(() => {
        // Nobody is there to read it.
      });
      assert.equal(code, 0, shown);
    }),
);

testWith(
  ["python3"],
  "colour is for terminals, and not where NO_COLOR asks for none",
  () =>
    withState(async (program, state) => {
      state.saveDevice(DEVICE);
      const shown = async (how: Program, env: Record<string, string>) => {
        const child = start(how, ["status"], { ...COLORED, ...env });
        const [text] = await Promise.all([
          new Response(child.stdout).text(),
          child.stderr.cancel(),
          child.status,
        ]);
        await child.stdin.close().catch(() => {
          // It has ended.
        });
        return text;
      };
      assert.ok((await shown(onTerminal(program), {})).includes("\x1b[2mdevice"));
      assert.ok(!(await shown(onTerminal(program), { NO_COLOR: "1" })).includes("\x1b"));
      assert.ok(!(await shown(program, {})).includes("\x1b"));
    }),
);
