/** `unenroll` through a running agent and without one, with a server and without one. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { homeOf } from "./device_root.ts";
import { type DrivenServer, runProgram } from "./product.ts";
import { until } from "./until.ts";
import {
  type RunningProgram,
  socketsBelow,
  startProgram,
  withDevice,
  type World,
} from "./running_agent.ts";
import { testWith } from "./skip.ts";

/** Everything of ours on a device whose user had nothing before. */
function traces({ root }: World): Record<string, string> {
  const home = homeOf(root, "alice");
  return {
    "device key": `${root}/var/lib/device-trust/device.key`,
    "selection filter": `${root}/etc/opt/chrome`,
    database: `${home}/.pki`,
    ledger: `${home}/.local/state/device-trust`,
  };
}

/** The names of the traces that are there. */
function tracesLeft(world: World): string[] {
  return Object.entries(traces(world)).filter(([, path]) => existsSync(path)).map(([name]) => name);
}

/** A device whose user has a leaf, with a resident agent or without one. */
async function withLeaf(
  agentRuns: boolean,
  test: (world: World, agent: RunningProgram | undefined) => Promise<void>,
): Promise<void> {
  await withDevice(async (world) => {
    const { program, server, device } = world;
    await server.bind(await device.enroll(server), "alice");
    await server.distribute(true);
    await using agent = agentRuns ? startProgram(program, ["agent"]) : undefined;
    if (!agentRuns) assert.equal((await runProgram(program, ["agent", "--once"])).code, 0);
    await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
    assert.deepEqual(tracesLeft(world), Object.keys(traces(world)));
    await test(world, agent);
  });
}

for (const agentRuns of [true, false]) {
  const how = agentRuns ? "through the running agent" : "without a running agent";

  testWith(
    ["libnss3"],
    `unenroll ${how} tells the server and leaves no trace`,
    () =>
      withLeaf(agentRuns, async (world, agent) => {
        const { root, program, server, device } = world;
        const { code, out, err } = await runProgram(program, ["unenroll"]);
        assert.deepEqual({ code, err }, { code: 0, err: "" });
        assert.match(out, /nothing of it is left on this device/);
        assert.deepEqual(tracesLeft(world), []);
        assert.deepEqual(await devicesOf(server), []);
        const status = await device.status();
        assert.deepEqual(status.device, { id: null, server: null, enrolled: false });
        assert.deepEqual(status.users, []);
        assert.equal(status.agent.pid, agent?.pid ?? null, "an agent that ran still runs");
        await until("no door is open", () => {
          return socketsBelow(`${root}/run`).length === 0;
        });
      }),
  );

  testWith(
    ["libnss3"],
    `unenroll ${how} removes everything though the server is gone, the device key last`,
    () =>
      withLeaf(agentRuns, async (world) => {
        const { root, program, server, device } = world;
        await server[Symbol.asyncDispose]();
        const home = homeOf(root, "alice");
        await Deno.rename(home, `${home}-away`);
        const first = await runProgram(program, ["unenroll"]);
        assert.equal(first.code, 4, first.err);
        assert.match(first.err, /Cannot reach the agent server at .*\nEverything here is removed/);
        assert.match(first.err, /^alice: The home .* is not there/m);
        assert.ok(tracesLeft(world).includes("device key"), "as long as anything is left");
        assert.equal((await device.status()).device.enrolled, true);

        await Deno.rename(`${home}-away`, home);
        if (agentRuns) {
          await until("the agent has removed the rest", () => tracesLeft(world).length === 0);
        } else {
          const second = await runProgram(program, ["unenroll"]);
          assert.equal(second.code, 0, second.err);
        }
        assert.deepEqual(tracesLeft(world), []);
        await until("it is not enrolled", async () => !(await device.status()).device.enrolled);
      }),
  );
}

testWith(
  ["libnss3"],
  "unenroll names who holds a user's store, and the next one ends it",
  () =>
    withLeaf(false, async (world) => {
      const { root, program, server, device } = world;
      const database = new DatabaseSync(`${homeOf(root, "alice")}/.pki/nssdb/cert9.db`);
      database.exec("BEGIN EXCLUSIVE");
      const first = await runProgram(program, ["unenroll"]);
      assert.equal(first.code, 4, first.err);
      assert.match(first.err, /^alice: .* holds .*nssdb.*close the browsers/m);
      assert.deepEqual(await devicesOf(server), [], "the server knows at once");
      assert.equal((await device.status()).device.enrolled, true);
      assert.ok(tracesLeft(world).includes("device key"), "as long as anything is left");

      database.exec("ROLLBACK");
      database.close();
      const second = await runProgram(program, ["unenroll"]);
      assert.equal(second.code, 0, second.err);
      assert.deepEqual(tracesLeft(world), []);
    }),
);

testWith(
  ["libnss3", "certutil"],
  "unenroll keeps the agent while a user's store has a password, and then removes everything",
  () =>
    withLeaf(true, async (world) => {
      const { root, folder, program, device } = world;
      const nssdb = `sql:${homeOf(root, "alice")}/.pki/nssdb`;
      const [empty, secret] = [`${folder}/empty`, `${folder}/secret`];
      await Deno.writeTextFile(empty, "\n");
      await Deno.writeTextFile(secret, "secret\n");
      await certutil("-W", "-d", nssdb, "-f", empty, "-@", secret);
      const first = await runProgram(program, ["unenroll"]);
      assert.equal(first.code, 4, first.err);
      assert.match(first.err, /^alice: .* protected by a password/m);
      assert.equal((await device.status()).device.enrolled, true);

      await certutil("-W", "-d", nssdb, "-f", secret, "-@", empty);
      await until("the agent has removed the rest", () => tracesLeft(world).length === 0);
      await until("it is not enrolled", async () => !(await device.status()).device.enrolled);
    }),
);

Deno.test("unenroll waits for an agent that has not yet seen that it was enrolled", () =>
  withDevice(async ({ root, program, server, device }) => {
    await using agent = startProgram(program, ["agent"]);
    await agent.untilLogged("device.not-enrolled");
    agent.signal("SIGSTOP");
    await device.enroll(server);
    await using unenroll = startProgram(program, ["unenroll"]);
    await until("it has looked at the state", () => {
      return unenroll.openFiles().includes(`${root}/var/lib/device-trust/state.db`);
    });
    agent.signal("SIGCONT");
    assert.equal(await unenroll.ended(), 0, unenroll.log());
    assert.deepEqual(await devicesOf(server), []);
    assert.equal((await device.status()).agent.pid, agent.pid);
  }));

async function devicesOf(server: DrivenServer): Promise<unknown[]> {
  const answer = await server.admin("GET", "/devices");
  assert.ok(typeof answer === "object" && answer !== null && "items" in answer);
  assert.ok(Array.isArray(answer.items));
  return answer.items;
}

async function certutil(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("certutil", { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
