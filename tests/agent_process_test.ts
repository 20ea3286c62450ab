/** The resident agent as a process: one of a kind, waiting, ending, killed, and what is left then. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { State } from "../agent/state.ts";
import { homeOf } from "./device_root.ts";
import { runProgram } from "./product.ts";
import { until } from "./until.ts";
import {
  rolesUnder,
  type RunningProgram,
  seeItWork,
  socketsBelow,
  startProgram,
  withDevice,
  type World,
} from "./running_agent.ts";
import { serverFigures } from "./server_figures.ts";
import { testWith } from "./skip.ts";

/** Longest that the agent takes to end, milliseconds. */
const END_MS = 2000;

Deno.test("a second agent says so and exits 1 at once; the first is unharmed", () =>
  withDevice(async (world) => {
    const { root, program, server, device } = world;
    const deviceId = await device.enroll(server);
    await using first = startProgram(program, ["agent"]);
    await first.untilLogged("agent.started");
    await until("its door is open", () => socketsBelow(`${root}/run`).length > 0);
    for (const args of [["agent"], ["agent", "--once"]]) {
      const { code, err } = await runProgram(program, args);
      assert.equal(code, 1);
      assert.match(err, new RegExp(`Another agent runs on this device \\(pid ${first.pid}\\)`));
    }
    await seeItWork(world, deviceId);
    assert.equal((await device.status()).agent.pid, first.pid);
    await device.unenroll();
    assert.equal((await device.status()).agent.pid, first.pid, "it waits to be enrolled again");
  }));

Deno.test("an agent that is not enrolled waits, and works as soon as it is", () =>
  withDevice(async (world) => {
    const { program, server, device } = world;
    await using agent = startProgram(program, ["agent"]);
    await agent.untilLogged("device.not-enrolled");
    assert.equal((await device.status()).agent.running, true);
    const first = await device.enroll(server);
    await seeItWork(world, first);
    await device.unenroll();
    const second = await device.enroll(server);
    assert.notEqual(second, first);
    await seeItWork(world, second);
  }));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends it in the middle of a long poll, and nothing is left`, () =>
    withDevice(async ({ root, program, server, device }) => {
      await device.enroll(server);
      await using agent = startProgram(program, ["agent"]);
      await until("the server holds its question", async () => {
        return (await serverFigures(server)).held === 1;
      });
      const { code, took } = await agent.end(signal);
      assert.equal(code, 0, agent.log());
      assert.ok(took < END_MS, `${took} ms`);
      assert.deepEqual(socketsBelow(`${root}/run`), []);
      assert.deepEqual(rolesUnder(root), []);
      assert.match(agent.log(), /"agent\.stopped"/);
    }));
}

Deno.test("SIGTERM ends it while it enrols at a server that never answers", () =>
  withDevice(async ({ root, program }) => {
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await Deno.mkdir(`${root}/etc/device-trust`);
    await Deno.writeTextFile(`${root}/connect-key`, "key");
    await Deno.writeTextFile(
      `${root}/etc/device-trust/config.json`,
      JSON.stringify({
        server: `https://localhost:${silent.addr.port}`,
        connectKeyFile: `${root}/connect-key`,
      }),
    );
    await using agent = startProgram(program, ["agent"]);
    using _caller = await silent.accept();
    const { code, took } = await agent.end("SIGTERM");
    assert.equal(code, 0, agent.log());
    assert.ok(took < END_MS, `${took} ms`);
    assert.deepEqual(rolesUnder(root), []);
  }));

/** A leaf is in alice's store, somebody holds the store, and a user-agent waits for it. */
async function withBusyUserAgent(
  test: (world: World, agent: RunningProgram) => Promise<void>,
): Promise<void> {
  await withDevice(async (world) => {
    const { root, program, server, device } = world;
    await server.bind(await device.enroll(server), "alice");
    await server.distribute(true);
    await using agent = startProgram(program, ["agent"]);
    await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
    await until("nothing is left to do", () => rolesUnder(root).length === 1);
    {
      using store = new DatabaseSync(`${homeOf(root, "alice")}/.pki/nssdb/cert9.db`);
      store.exec("BEGIN EXCLUSIVE");
      await server.distribute(false);
      await until("a user-agent waits", () => rolesUnder(root).includes("user-agent"));
      await test(world, agent);
    }
    await using next = startProgram(program, ["agent"]);
    await device.untilUsers("alice has nothing", ({ state }) => state === "removed");
    assert.doesNotMatch(next.log(), /"level":"error"/);
  });
}

testWith(
  ["libnss3"],
  "SIGTERM ends it while a user-agent runs, and the user-agent with it",
  () =>
    withBusyUserAgent(async ({ root }, agent) => {
      const { code, took } = await agent.end("SIGTERM");
      assert.equal(code, 0, agent.log());
      assert.ok(took < END_MS, `${took} ms`);
      assert.deepEqual(rolesUnder(root), []);
      assert.deepEqual(socketsBelow(`${root}/run`), []);
    }),
);

testWith(
  ["libnss3"],
  "after kill -9 its children end, and what it left hinders no other",
  () =>
    withBusyUserAgent(async ({ root }, agent) => {
      await agent.end("SIGKILL");
      assert.ok(socketsBelow(`${root}/run`).length > 0, "it could not tidy up");
      await until("its children have ended", () => rolesUnder(root).length === 0);
    }),
);

testWith(
  ["libnss3"],
  "SIGTERM ends a user-agent that waits for its agent's news",
  () =>
    withDevice(async ({ root, program, server, device }) => {
      await server.bind(await device.enroll(server), "alice");
      await server.distribute(true);
      await using _agent = startProgram(program, ["agent"]);
      await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
      await until("nothing is left to do", () => rolesUnder(root).length === 1);
      const uid = [...Deno.readDirSync(`${root}/run/device-trust/users`)][0]?.name ?? "";
      const env = { HOME: homeOf(root, "alice"), USER: "alice", DEVICE_TRUST_UID: uid };
      const before = lastReport(root);
      await using session = startProgram(program, ["user-agent"], env);
      // Its next question, which is held, follows its report at once.
      await until("it has reported", () => lastReport(root) > before);
      const { code, took } = await session.end("SIGTERM");
      assert.equal(code, 0, session.log());
      assert.ok(took < END_MS, `${took} ms`);
    }),
);

Deno.test("a stale socket and lock do not hinder the next agent, nor the administrator", () =>
  withDevice(async (world) => {
    const { root, program, server, device } = world;
    const deviceId = await device.enroll(server);
    {
      await using killed = startProgram(program, ["agent"]);
      const stale = `${root}/run/device-trust/control.sock`;
      await until("its door is open", () => socketsBelow(`${root}/run`).includes(stale));
      await killed.end("SIGKILL");
      assert.deepEqual(socketsBelow(`${root}/run`), [stale]);
      const { running, pid } = (await device.status()).agent;
      assert.deepEqual({ running, pid }, { running: false, pid: null });
    }
    await using _next = startProgram(program, ["agent"]);
    await seeItWork(world, deviceId);
    await device.unenroll();
  }));

/** When a user-agent reported last, by the agent's own state. */
function lastReport(root: string): number {
  const state = new State(`${root}/var/lib/device-trust/state.db`, Date.now);
  try {
    return state.users()[0]?.checkedAt ?? 0;
  } finally {
    state.close();
  }
}
