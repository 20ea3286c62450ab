/** Very many users on one device: everybody is served, a few at a time, and nobody waits for one. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withServer } from "../mock_server/scratch_device.ts";
import { inFolder } from "./ask.ts";
import { CrowdedDevice } from "./crowded_device.ts";
import { testInPrivateRoot } from "./private_root.ts";

/** The most that the contract knows of. */
const USERS = 1000;

/** For a slow and busy machine; nothing here waits for time to pass. */
const PATIENCE_MS = 240_000;

Deno.test("a thousand users: ON and OFF reach each once, four at a time, whoever holds one up", async () => {
  await withServer((server) =>
    inFolder(async (folder) => {
      using device = await CrowdedDevice.open(folder, server, USERS);
      const [slow] = device.homes.values();
      assert.ok(slow);
      const before = resources();

      const store = Promise.withResolvers<void>();
      slow.held = store.promise;
      const on = device.distribute(true);
      await untilStates(device, { requesting: 1, installed: USERS - 1 });
      assert.deepEqual(contents(device), { certificates: 3 * (USERS - 1), keys: USERS - 1 });
      store.resolve();
      await on;
      assert.deepEqual(device.states(), { installed: USERS });
      assert.deepEqual(contents(device), { certificates: 3 * USERS, keys: USERS });
      assert.deepEqual(device.running, { now: 0, most: 4, all: USERS });

      await device.follow();
      await device.worker.settle();
      assert.equal(device.running.all, USERS, "what is settled is let be");

      const removal = Promise.withResolvers<void>();
      slow.held = removal.promise;
      const off = device.distribute(false);
      await untilStates(device, { removing: 1, removed: USERS - 1 });
      removal.resolve();
      await off;
      assert.deepEqual(device.states(), { removed: USERS });
      assert.deepEqual(contents(device), { certificates: 0, keys: 0 });
      assert.deepEqual(device.running, { now: 0, most: 4, all: 2 * USERS });

      const { memory, files } = resources();
      assert.ok(memory < before.memory + 1024, `${before.memory} -> ${memory} MiB`);
      assert.ok(files < before.files + 50, `${before.files} -> ${files} open files`);
    })
  );
});

testInPrivateRoot(
  ["certutil"],
  "fifty users with NSS databases: ON and OFF reach all, four at a time, while one is locked",
  fileURLToPath(new URL("many_users_story.ts", import.meta.url)),
);

async function untilStates(device: CrowdedDevice, states: Record<string, number>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  const wanted = JSON.stringify(Object.entries(states).sort());
  while (JSON.stringify(Object.entries(device.states()).sort()) !== wanted) {
    assert.ok(performance.now() < end, `still ${JSON.stringify(device.states())}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** What is in everybody's store. */
function contents({ homes }: CrowdedDevice): { certificates: number; keys: number } {
  const stores = [...homes.values()].map(({ store }) => store);
  const sum = (sizes: number[]) => sizes.reduce((total, size) => total + size, 0);
  return {
    certificates: sum(stores.map(({ certificates }) => certificates.size)),
    keys: sum(stores.map(({ keys }) => keys.size)),
  };
}

/** Resident memory in MiB, and open files where the system tells. */
function resources(): { memory: number; files: number } {
  const memory = Deno.memoryUsage().rss / 1024 / 1024;
  const files = Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;
  return { memory, files };
}
