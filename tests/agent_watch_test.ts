/** How often the resident agent asks: bounded when a server comes back, or sends what is no state. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runAgent } from "../agent/agent.ts";
import { openLog } from "../agent/log.ts";
import { makeRunFolders } from "../platform/run_folders.ts";
import { selfProgram } from "../agent/self_program.ts";
import { State } from "../agent/state.ts";
import { systemPaths } from "../platform/paths.ts";
import { inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import { DistortedServer } from "./distorted_server.ts";
import { driveDevice, programFromSource, startMockServer } from "./product.ts";
import { until } from "./until.ts";
import { seeItWork, startProgram, withDevice } from "./running_agent.ts";
import { serverFigures } from "./server_figures.ts";

Deno.test("a server that comes back is asked once for what is new, and then for changes", () =>
  withDevice(async ({ folder, program, server, device }) => {
    const deviceId = await device.enroll(server);
    await using agent = startProgram(program, ["agent"]);
    const isHeld = async () => (await serverFigures(server)).held === 1;
    await until("the server holds a question", isHeld);
    for (let restart = 1; restart <= 2; restart++) {
      await server[Symbol.asyncDispose]();
      await until("the agent misses it", async () => {
        const { out } = await status(program);
        return out.includes("Cannot reach the agent server");
      });
      await using again = await startMockServer(programFromSource(), `${folder}/server`);
      await until("it is up, and holds a question", async () => {
        try {
          return (await serverFigures(again)).held === 1;
        } catch {
          // It has written server.json at an earlier start, and does not listen yet.
          return false;
        }
      });
      await seeItWork({ server: again, device }, deviceId);
      await until("the server holds a question again", isHeld);
      // The first answer, two changes by the test, and the echo of a report at most.
      const { answered } = await serverFigures(again);
      assert.ok(answered >= 2 && answered <= 6, `${answered} answers after restart ${restart}`);
      assert.doesNotMatch((await status(program)).out, /^problem/m, agent.log());
    }
  }));

/** The resident agent in this process, with chance and clock in the test's hand. */
async function withAgent(
  test: (world: {
    server: DistortedServer;
    clock: { ahead: number };
    /** What {@link Math.random} would be. */
    chance: { value: number };
    problem: () => string | undefined;
  }) => Promise<void>,
): Promise<void> {
  await inPassableFolder(async (folder) => {
    const root = `${folder}/device`;
    await makeDeviceRoot(root, []);
    await using server = await DistortedServer.start(`${folder}/server`);
    await driveDevice(programFromSource(root)).enroll(server);
    const paths = systemPaths({ os: "linux", root });
    makeRunFolders(paths, root);
    const state = new State(`${paths.stateDir}/state.db`, Date.now);
    const clock = { ahead: 0 };
    const chance = { value: 0 };
    const end = new AbortController();
    const running = runAgent({
      paths,
      privileged: false,
      meeting: "sockets",
      system: {},
      state,
      deviceKey: `${paths.stateDir}/device.key`,
      program: selfProgram(root, fileURLToPath(new URL("../main.ts", import.meta.url))),
      log: openLog({ write: () => {}, text: false }),
      now: () => Date.now() + clock.ahead,
      random: () => chance.value,
      enrollByConfiguration: () => Promise.resolve(false),
      signal: end.signal,
    });
    try {
      await test({ server, clock, chance, problem: () => state.sync().error?.message });
    } finally {
      end.abort();
      await running;
    }
  });
}

/** Pauses between the last of these instants, milliseconds. */
function pauses(instants: readonly number[]): number[] {
  return instants.slice(1).map((at, index) => at - (instants[index] ?? 0));
}

/** Waits until the agent has paused for a second, two and four between its questions. */
async function untilPausesGrow(asked: () => number[]): Promise<void> {
  const first = asked().length;
  const long = () => pauses(asked().slice(first)).filter((pause) => pause > 900);
  await until("it pauses for ever longer", () => {
    // Far more than this, if it does not.
    assert.ok(asked().length < first + 20, `it asks too often: ${pauses(asked())}`);
    return long().some((pause) => pause > 3800);
  });
  const [second = 0, third = 0] = long().slice(1);
  assert.ok(second > 1900 && third > 3800, `${pauses(asked())}`);
}

Deno.test("a state that is refused is asked for ever more rarely, and a good one ends that", () =>
  withAgent(async ({ server, chance, problem }) => {
    chance.value = 1;
    {
      using _bad = server.distort("desired-state", async (_, request) => {
        if (request.headers.has("if-none-match")) await new Promise(() => {});
        return Response.json({ brand: "?" }, { headers: { etag: '"bad"' } });
      });
      await untilPausesGrow(() => server.asked("desired-state"));
      assert.match(problem() ?? "", /refused and nothing changed/, "all the time");
    }
    await until("a good one is taken", () => problem() === undefined);
  }));

Deno.test("a server that never holds a question is asked ever more rarely", () =>
  withAgent(async ({ server, chance, problem }) => {
    chance.value = 1;
    using _hasty = server.distort("desired-state", (usual, request) => {
      const known = request.headers.has("if-none-match");
      return known ? new Response(null, { status: 304 }) : usual();
    });
    await untilPausesGrow(() => server.asked("desired-state"));
    assert.equal(problem(), undefined);
  }));

Deno.test("a computer that wakes asks at once, whatever pause it was in", () =>
  withAgent(async ({ server, clock, chance, problem }) => {
    await until("it has asked", () => server.asked("desired-state").length >= 2);
    // Of an hour and more, once it fails.
    chance.value = 5000;
    await server.vanish();
    await until("it has failed", () => problem()?.startsWith("Cannot reach") ?? false);
    await server.comeBack();
    const before = server.asked("desired-state").length;
    clock.ahead += 3_600_000;
    await until("it asks", () => server.asked("desired-state").length > before);
    await until("all is well", () => problem() === undefined);
  }));

async function status([executable, ...first]: readonly [string, ...string[]]) {
  const { stdout } = await new Deno.Command(executable, { args: [...first, "status"] }).output();
  return { out: new TextDecoder().decode(stdout) };
}
