/** Agent and user-agents that meet in folders, each a process of its own, with a real server. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { asksIn, slotFiles } from "../agent/exchange_folder.ts";
import {
  databaseOf,
  databaseState,
  homeOf,
  inPassableFolder,
  makeDeviceRoot,
} from "./device_root.ts";
import { folderPaths, folderProgram } from "./folder_device.ts";
import {
  driveDevice,
  type DrivenDevice,
  type DrivenServer,
  programFromSource,
  startMockServer,
} from "./product.ts";
import { until } from "./until.ts";
import { rolesUnder, type RunningProgram, startProgram } from "./running_agent.ts";
import { testWith } from "./skip.ts";

const UIDS = { alice: "61301", bob: "61302" } as const;
type Name = keyof typeof UIDS;

/** A device with two accounts that are bound, and nothing running on it yet. */
interface Scratch {
  root: string;
  server: DrivenServer;
  device: DrivenDevice;
  startAgent: () => RunningProgram;
  logOn: (name: Name) => RunningProgram;
  /** Of an account's exchange folder. */
  folder: (name: Name) => string;
  /** Waits until the users' states are these. */
  untilStates: (states: Partial<Record<Name, string>>) => Promise<void>;
}

async function withDevice(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  await inPassableFolder(async (folder) => {
    const root = `${folder}/device`;
    await makeDeviceRoot(root, Object.keys(UIDS));
    await using server = await startMockServer(programFromSource(), `${folder}/server`);
    const device = driveDevice(programFromSource(root));
    const deviceId = await device.enroll(server);
    for (const name of Object.keys(UIDS)) await server.bind(deviceId, name);
    const running: RunningProgram[] = [];
    const start = (role: string, env: Record<string, string> = {}) => {
      const program = startProgram(folderProgram(root), [role], env);
      running.push(program);
      return program;
    };
    try {
      await test({
        root,
        server,
        device,
        startAgent: () => start("agent"),
        logOn: (name) =>
          start("user-agent", { HOME: homeOf(root, name), DEVICE_TRUST_UID: UIDS[name] }),
        folder: (name) => `${folderPaths(root).usersRunDir}/${UIDS[name]}`,
        async untilStates(states) {
          for (const [name, state] of Object.entries(states)) {
            try {
              await device.untilUsers(`${name} is ${state}`, (user) => user.state === state, [
                name,
              ]);
            } catch (error) {
              throw new Error(running.map((each) => each.log()).join("\n"), { cause: error });
            }
          }
        },
      });
    } finally {
      for (const program of running) await program[Symbol.asyncDispose]();
    }
    await until("no process is left", () => rolesUnder(root).length === 0);
  });
}

testWith(
  ["libnss3", "certutil"],
  "who is logged on is served at once, who is not at logon, and at rest nobody works",
  () =>
    withDevice(async ({ root, server, device, startAgent, logOn, folder, untilStates }) => {
      startAgent();
      logOn("alice");
      await server.distribute(true);
      await untilStates({ alice: "installed", bob: "waiting" });
      assert.ok(await databaseState(databaseOf(root, "alice")));
      const bob = (await device.status()).users.find(({ username }) => username === "bob");
      assert.equal(bob?.lastError?.code, "not-logged-on");

      const bobs = logOn("bob");
      await untilStates({ bob: "installed" });
      const waits = (name: Name) => existsSync(slotFiles(folder(name), "question").asked);
      await until("both wait", () => waits("alice") && waits("bob"));
      await until("nobody works", () => !rolesUnder(root).includes("agent-worker"));
      assert.deepEqual(rolesUnder(root), ["agent", "user-agent", "user-agent"]);

      await bobs.end("SIGKILL");
      await server.distribute(false);
      await untilStates({ alice: "removed", bob: "removing" });
      assert.ok(!waits("bob"), "what a session left behind is swept");
      logOn("bob");
      await untilStates({ bob: "removed" });
    }),
);

testWith(
  ["libnss3", "certutil"],
  "whichever process is killed in the middle of its work, the device comes to what is wanted",
  () =>
    withDevice(async ({ root, server, startAgent, logOn, untilStates }) => {
      let agent = startAgent();
      let alice = logOn("alice");
      logOn("bob");
      for (let round = 0; round < 6; round++) {
        const on = round % 2 === 0;
        await server.distribute(on);
        // At any instant: the later, the more of it is done.
        await new Promise((resolve) => setTimeout(resolve, 150 + Math.random() * 1200));
        if (round % 3 !== 1) {
          await agent.end("SIGKILL");
          agent = startAgent();
        }
        if (round % 3 !== 0) {
          await alice.end("SIGKILL");
          alice = logOn("alice");
        }
        const state = on ? "installed" : "removed";
        await untilStates({ alice: state, bob: state });
      }
      const left = await databaseState(databaseOf(root, "alice"));
      assert.deepEqual(left?.keys, []);
    }),
);

testWith(
  ["libnss3"],
  "who fills its own folder with whatever it can holds up nobody else, and is itself served again",
  () =>
    withDevice(async ({ root, server, startAgent, logOn, folder, untilStates }) => {
      const agent = startAgent();
      const alice = logOn("alice");
      logOn("bob");
      await server.distribute(true);
      await untilStates({ alice: "installed", bob: "installed" });
      await alice.end("SIGKILL");

      const { asked, taken } = slotFiles(folder("alice"), "request");
      const { asked: question } = slotFiles(folder("alice"), "question");
      for (let number = 0; number < 2000; number++) {
        await Deno.writeTextFile(`${asksIn(folder("alice"))}/${number}.json`, "{}");
      }
      await Deno.mkdir(`${taken}/full`, { recursive: true });
      await Deno.remove(question).catch(() => {});
      await Deno.symlink("/etc/shadow", question);
      let floods = true;
      let written = 0;
      const flood = (async () => {
        for (; floods; written++) {
          const garbage = written % 2 === 0 ? "{" : "x".repeat(100_000);
          await Deno.writeTextFile(`${asked}.new`, garbage);
          await Deno.rename(`${asked}.new`, asked);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      await server.distribute(false);
      await untilStates({ bob: "removed" });
      await server.distribute(true);
      await untilStates({ bob: "installed" });
      floods = false;
      await flood;
      assert.ok(written > 20, `${written} requests`);
      assert.doesNotMatch(agent.log(), /(worker|server|work)\.failed/);

      await Deno.remove(taken, { recursive: true });
      logOn("alice");
      await untilStates({ alice: "installed" });
      await until("nobody works", () => !rolesUnder(root).includes("agent-worker"));
    }),
);
