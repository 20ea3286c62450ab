/** An agent that finds a configuration enrols itself; and who may read what it then keeps. */
import assert from "node:assert/strict";
import { runProgram } from "./product.ts";
import { until } from "./until.ts";
import { seeItWork, startProgram, withDevice, type World } from "./running_agent.ts";
import { serverFigures } from "./server_figures.ts";
import { testWith } from "./skip.ts";

/** Writes `config.json` and the file with the connect key that it names. */
async function configure(
  { root, server }: World,
  connectKey: string,
  more: Record<string, unknown> = {},
): Promise<void> {
  await Deno.mkdir(`${root}/etc/device-trust`, { recursive: true });
  await Deno.writeTextFile(`${root}/etc/device-trust/connect-key`, `${connectKey}\n`);
  const config = {
    server: server.agentUrl,
    serverCa: server.serverCa,
    connectKeyFile: `${root}/etc/device-trust/connect-key`,
    ...more,
  };
  await Deno.writeTextFile(`${root}/etc/device-trust/config.json`, JSON.stringify(config));
}

Deno.test("an agent that finds config.json enrols itself and works", () =>
  withDevice(async (world) => {
    const { program, server, device } = world;
    await configure(world, server.connectKey);
    await using _agent = startProgram(program, ["agent"]);
    await until("it is enrolled", async () => (await device.status()).device.enrolled);
    const { id } = (await device.status()).device;
    assert.ok(id);
    await seeItWork(world, id);
    const again = await runProgram(program, ["enroll"]);
    assert.deepEqual(again, { code: 0, out: `Already enrolled as ${id}.\n`, err: "" });
  }));

Deno.test("an agent that may not enrol says why, and works once somebody enrolled it by hand", () =>
  withDevice(async (world) => {
    const { program, server, device } = world;
    await configure(world, "wrong");
    await using agent = startProgram(program, ["agent"]);
    await agent.untilLogged("enrollment.failed");
    assert.match(agent.log(), /connect key is wrong, used up or expired/);
    assert.equal((await device.status()).device.enrolled, false);
    await seeItWork(world, await device.enroll(server));
  }));

Deno.test("a configuration that cannot be used names the key, and nothing starts", () =>
  withDevice(async (world) => {
    await configure(world, "key", { logLevel: "loud" });
    for (const args of [["agent"], ["agent", "--once"], ["enroll"], ["unenroll"]]) {
      const { code, err } = await runProgram(world.program, args);
      assert.equal(code, 1, args.join(" "));
      assert.match(err, /config\.json': line \d+: logLevel: .*"debug"\|"info"\|"warning"\|"error"/);
      assert.doesNotMatch(err, /^ +at /m);
    }
    assert.match((await runProgram(world.program, ["doctor"])).out, /FAIL +config: .*logLevel/);
  }));

Deno.test("a cloned image is not enrolled, never acts as its original, and enrols as itself", () =>
  withDevice(async ({ root, program, server, device }) => {
    const machineId = `${root}/etc/machine-id`;
    await Deno.writeTextFile(machineId, `${"1".repeat(32)}\n`);
    const original = await device.enroll(server);
    assert.equal((await runProgram(program, ["agent", "--once"])).code, 0);
    const key = await Deno.readTextFile(`${root}/var/lib/device-trust/device.key`);
    const { answered } = await serverFigures(server);

    await Deno.writeTextFile(machineId, `${"2".repeat(32)}\n`);
    for (const args of [["agent", "--once"], ["status"], ["unenroll"], ["doctor"]]) {
      assert.equal((await runProgram(program, args)).code, 3, args.join(" "));
    }
    assert.match((await runProgram(program, ["doctor"])).out, /FAIL +enrolled: .*cloned image/);
    await using agent = startProgram(program, ["agent"]);
    await agent.untilLogged("device.not-enrolled");
    assert.equal((await serverFigures(server)).answered, answered, "the copied key signed nothing");

    const clone = await device.enroll(server);
    assert.notEqual(clone, original);
    assert.notEqual(await Deno.readTextFile(`${root}/var/lib/device-trust/device.key`), key);
    await seeItWork({ server, device }, clone);
  }));

testWith(
  ["libnss3"],
  "nobody but root can read the state, and a user's socket is that user's",
  () =>
    withDevice(async ({ root, program, server, device }) => {
      await server.bind(await device.enroll(server), "alice");
      await server.distribute(true);
      await using _agent = startProgram(program, ["agent"]);
      await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
      const state = `${root}/var/lib/device-trust`;
      assert.equal(mode(state), "700");
      for (const { name } of Deno.readDirSync(state)) {
        const found = modeIfThere(`${state}/${name}`);
        // SQLite's files beside a database come and go.
        if (found !== undefined) assert.equal(found, "600", name);
      }
      for (const name of ["state.db", "device.key"]) assert.ok(Deno.statSync(`${state}/${name}`));

      const ledger = `${root}/home/alice/.local/state/device-trust/ledger.db`;
      assert.equal(mode(ledger), "600");

      const run = `${root}/run/device-trust`;
      assert.equal(mode(`${run}/control.sock`), "600");
      const [user, ...others] = [...Deno.readDirSync(`${run}/users`)].map(({ name }) => name);
      assert.deepEqual(others, []);
      const socket = `${run}/users/${user}/agent.sock`;
      // It comes when the worker has nothing left to do, and gets its rights then.
      const us = Deno.uid();
      const owner = us === 0 ? Number(user) : us;
      await until("alice's door is open, for alice alone", () => {
        return modeIfThere(socket) === "600" && Deno.lstatSync(socket).uid === owner;
      });
      assert.equal(Deno.lstatSync(`${run}/control.sock`).uid, us);
      for (const folder of [run, `${run}/users`, `${run}/users/${user}`]) {
        assert.equal(mode(folder), "711", folder);
        assert.equal(Deno.lstatSync(folder).uid, us, folder);
      }
    }),
);

function mode(path: string): string {
  return ((Deno.lstatSync(path).mode ?? 0) & 0o7777).toString(8);
}

function modeIfThere(path: string): string | undefined {
  try {
    return mode(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
