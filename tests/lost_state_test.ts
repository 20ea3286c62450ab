/** What a killed agent, or somebody with root's rights, leaves in the agent's own folders. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { expectEmpty, expectLeft, expectServed, isReported } from "./converged_device.ts";
import { programFromSource, runProgram } from "./product.ts";
import { until } from "./until.ts";
import {
  rolesUnder,
  type RunningProgram,
  startProgram,
  withDevice,
  type World,
} from "./running_agent.ts";
import { serverFigures } from "./server_figures.ts";
import { testWith } from "./skip.ts";

const ALICE = ["alice"];
const NEEDS = ["libnss3", "certutil"] as const;

/** What may become of the state of an agent that runs. */
const LOSSES: Record<string, (path: string) => void> = {
  removed: (path) => {
    for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(path + suffix);
  },
  overwritten: (path) => {
    const { size } = Deno.statSync(path);
    for (const suffix of ["", "-wal"]) {
      Deno.writeFileSync(path + suffix, new Uint8Array(size).fill(0xa5), { create: false });
    }
  },
};

for (const [what, lose] of Object.entries(LOSSES)) {
  testWith(
    NEEDS,
    `an agent whose state is ${what} while it runs ends, and starts afresh`,
    () =>
      withServed(async ({ root, program, server, device }, agent) => {
        const { id: deviceId } = (await device.status()).device;
        assert.ok(deviceId);
        await expectServed({ root, deviceId, server }, ALICE);
        lose(`${root}/var/lib/device-trust/state.db`);
        await server.distribute(false);
        assert.equal(await agent.ended(), 1, "its service manager starts it anew");
        assert.match(
          agent.log(),
          /state\.db' (was removed or damaged|is damaged).*systemctl restart/,
        );
        await using again = startProgram(program, ["agent"]);
        await again.untilLogged("device.not-enrolled");
        assert.equal(await device.enroll(server), deviceId, "its key has stayed");
        // What it had is not in the new state, and is found all the same.
        await until("it is removed", () => isReported({ root }, ALICE, "removed", 0));
        await expectEmpty({ root, deviceId, server }, ALICE);
      }),
  );
}

testWith(
  NEEDS,
  "what a killed agent left is in nobody's way, whatever is in it",
  () =>
    withServed(async ({ root, program, device }, agent) => {
      await agent.end("SIGKILL");
      const state = `${root}/var/lib/device-trust`;
      const run = `${root}/run/device-trust`;
      await until("nothing works", () => rolesUnder(root).length === 0);
      for (const lock of ["agent.lock", "worker.lock"]) {
        // Another process has that id now, as may be after a restart.
        Deno.writeTextFileSync(`${state}/${lock}.pid`, `${Deno.pid}\n`);
      }
      assert.equal((await device.status()).agent.running, false);
      for (const path of [`${run}/control.sock`, `${run}/worker.sock`]) leaveSocket(path);
      await using again = startProgram(program, ["agent"]);
      await again.untilLogged("agent.started");
      const { code, out, err } = await runProgram(program, ["renew"]);
      assert.equal(code, 0, err);
      assert.match(out, /^alice: renewed/);
      assert.equal((await device.status()).agent.pid, again.pid);
    }),
);

testWith(
  NEEDS,
  "a deleted device gives everything up, and does not come back unasked",
  () =>
    withServed(async ({ root, server, device }, agent) => {
      const { id } = (await device.status()).device;
      // As a roll-out leaves it: with this alone the agent has enrolled other devices by itself.
      Deno.mkdirSync(`${root}/etc/device-trust`);
      const connectKeyFile = `${root}/etc/device-trust/connect-key`;
      Deno.writeTextFileSync(connectKeyFile, server.connectKey);
      const config = { server: server.agentUrl, serverCa: server.serverCa, connectKeyFile };
      Deno.writeTextFileSync(`${root}/etc/device-trust/config.json`, JSON.stringify(config));
      await agent.end("SIGTERM");
      await using again = startProgram(programFromSource(root), ["agent"]);
      await until("it holds a question", async () => (await serverFigures(server)).held === 1);
      await server.admin("DELETE", `/devices/${id}`);
      await again.untilLogged("device.left");
      await again.untilLogged("device.not-enrolled");
      await expectLeft({ root, deviceId: id ?? "", server }, ALICE);
      const { answered } = await serverFigures(server);
      // It looks every second whether somebody has enrolled it.
      await new Promise((resolve) => setTimeout(resolve, 2500));
      assert.equal((await serverFigures(server)).answered, answered);
      assert.doesNotMatch(again.log(), /enrollment\.failed/);
      assert.deepEqual(await server.admin("GET", "/devices"), { items: [], nextCursor: null });
      // Somebody who wants it back says so.
      const { code, err } = await runProgram(programFromSource(root), ["enroll"]);
      assert.equal(code, 0, err);
    }),
);

/** Runs a test with a device whose user has a leaf, and its running agent. */
async function withServed(
  test: (world: World, agent: RunningProgram) => Promise<void>,
): Promise<void> {
  await withDevice(async (world) => {
    const { program, server, device } = world;
    await server.bind(await device.enroll(server), "alice");
    await server.distribute(true);
    await using agent = startProgram(program, ["agent"]);
    await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
    await until("nothing works", () => rolesUnder(world.root).join() === "agent");
    await test(world, agent);
  });
}

/** A socket that nobody listens at. */
function leaveSocket(path: string): void {
  if (existsSync(path)) Deno.removeSync(path);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.exit()`,
    ],
  });
  assert.ok(child.outputSync().success);
}
