/** What many_users_test.ts has told: fifty people on one machine, each with a real database. */
import assert from "node:assert/strict";
import { z } from "zod";
import { attacker } from "./hostile_user.ts";
import { installProgram } from "./installed_program.ts";
import {
  execute,
  executeAs,
  type LocalUser,
  makeUser,
  SCRATCH,
  tellStory,
} from "./private_root.ts";
import { driveDevice, type DrivenServer, startMockServer } from "./product.ts";
import { memoryOf, processesWith, processFacts } from "./story_processes.ts";

const USERS = 50;

/** For a slow and busy machine; nothing here waits for time to pass. */
const PATIENCE_MS = 180_000;

const KnownUser = z.object({ username: z.string(), state: z.string().nullable() });
const KnownDevices = z.object({ items: z.array(z.object({ users: z.array(KnownUser) })) });

await tellStory(async (step) => {
  const { server, device, users } = await step("a machine with fifty users", async () => {
    const program = await installProgram();
    const server = await startMockServer(program, `${SCRATCH}/server`);
    const users: LocalUser[] = [];
    for (let at = 0; at < USERS; at++) users.push(await makeUser(`dt-user${at}`));
    return { server, device: driveDevice(program), users };
  });
  const [locked, ...others] = users;
  assert.ok(locked);
  const database = `${locked.home}/.pki/nssdb`;

  const { agent, lockedUp } = await step("one has a database, which somebody holds", async () => {
    await executeAs(locked, "mkdir", "-p", database);
    await executeAs(locked, "certutil", "-N", "-d", `sql:${database}`, "--empty-password");
    const client = await attacker(locked);
    const lockedUp = async () => {
      const lock = client.start("lock", `${database}/cert9.db`);
      await lock.next();
      return lock;
    };
    const deviceId = await device.enroll(server);
    for (const { name } of users) await server.bind(deviceId, name);
    return { agent: device.startAgent(), lockedUp };
  });
  const watch = watchProcesses(agent);

  for (const [on, state] of [[true, "installed"], [false, "removed"]] as const) {
    await step(`${on ? "ON" : "OFF"}: everybody else's is ${state} while it is held`, async () => {
      await using _lock = await lockedUp();
      await server.distribute(on);
      await untilKnown(server, (of) => others.every(({ name }) => of(name) === state));
      await untilKnown(server, (of) => of(locked.name) !== state);
    });
    await step(
      `${on ? "ON" : "OFF"}: nobody holds it, and the last one's is ${state} too`,
      async () => {
        await untilKnown(server, (of) => users.every(({ name }) => of(name) === state));
        for (const user of users) await hasInStore(user, on);
      },
    );
  }

  await step("there were never more than four at once, and neither memory nor files grew", () => {
    const { atOnce, memory, files } = watch.end();
    assert.ok(atOnce > 1 && atOnce <= 4, `${atOnce} at once`);
    assert.ok(memory.agent < 150 && memory.worker < 400, JSON.stringify(memory));
    assert.ok(files < 400, `${files} open files`);
  });

  await device[Symbol.asyncDispose]();
});

/** What is in a user's database, by certutil. */
async function hasInStore({ home }: LocalUser, on: boolean): Promise<void> {
  const folder = `sql:${home}/.pki/nssdb`;
  const exists = await execute("find", home, "-name", "cert9.db");
  if (exists === "") return assert.ok(!on, `${home} has no database`);
  const list = await execute("certutil", "-L", "-d", folder);
  const names = list.split("\n").filter((line) => /Device|device-trust/.test(line));
  assert.equal(names.length, on ? 3 : 0, list);
}

/** Waits until what the agent server knows of users' states is so. */
async function untilKnown(
  server: Pick<DrivenServer, "admin">,
  isSo: (stateOf: (name: string) => string | null | undefined) => boolean,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const { items } = KnownDevices.parse(await server.admin("GET", "/devices"));
    const states = new Map(items[0]?.users.map(({ username, state }) => [username, state]));
    if (isSo((name) => states.get(name))) return;
    assert.ok(performance.now() < end, `still ${JSON.stringify([...states])}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Counts user-agents, and measures the agent and its workers, until it is told to end. */
function watchProcesses(agent: number) {
  const seen = { atOnce: 0, memory: { agent: 0, worker: 0 }, files: 0 };
  const filesOf = (pid: number) => [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  const look = () => {
    const owners = processesWith("user-agent").map(({ status }) => status.Uid?.split(" ")[0]);
    seen.atOnce = Math.max(seen.atOnce, new Set(owners.filter((uid) => uid !== "0")).size);
    for (const worker of processesWith("agent-worker")) {
      // One that has just ended has none.
      seen.memory.worker = Math.max(seen.memory.worker, memoryOf(worker).most || 0);
      try {
        seen.files = Math.max(seen.files, filesOf(worker.pid));
      } catch (error) {
        // It ended meanwhile.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    seen.files = Math.max(seen.files, filesOf(agent));
    seen.memory.agent = Math.max(seen.memory.agent, memoryOf(processFacts(agent)).most);
  };
  const timer = setInterval(look, 200);
  return {
    end() {
      clearInterval(timer);
      return seen;
    },
  };
}
