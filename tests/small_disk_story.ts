/**
 * What small_disk_test.ts has told: the agent's state folder, a user's home and the browsers' policy
 * folder, each on a small disk of its own that runs full or becomes read-only while there is work.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { installProgram } from "./installed_program.ts";
import { certutilTrust, makeDatabase, plantOwnThings } from "./nss_witness.ts";
import { execute, makeUser, SCRATCH, tellStory } from "./private_root.ts";
import { driveDevice, runProgram, startMockServer } from "./product.ts";
import { until } from "./until.ts";
import { makeThrowawayCa } from "./throwaway_ca.ts";

const STATE = "/var/lib/device-trust";
const POLICIES = "/etc/opt";
const FILTER = `${POLICIES}/chrome/policies/managed/JumpCloudCertificateAutoselect.json`;

/** What may befall a disk, and how it is put right. */
interface Trouble {
  name: string;
  begin: (folder: string) => Promise<unknown> | void;
  end: (folder: string) => Promise<unknown> | void;
  /** What is said of it. */
  words: RegExp;
}

const FULL: Trouble = {
  name: "is full",
  begin: fill,
  end: (folder) => Deno.removeSync(`${folder}/filling`),
  words: /[Nn]o (room|space) (is )?left/,
};

const READ_ONLY: Trouble = {
  name: "is read-only",
  begin: (folder) => execute("mount", "-o", "remount,ro", folder),
  end: (folder) => execute("mount", "-o", "remount,rw", folder),
  words: /read-write|read-only|EROFS/,
};

await tellStory(async (step) => {
  const { program, server, alice, bob } = await step("a machine with small disks", async () => {
    const program = await installProgram();
    const server = await startMockServer(program, `${SCRATCH}/server`);
    const [alice, bob] = [await makeUser("dt-alice"), await makeUser("dt-bob")];
    await execute("rm", "-rf", POLICIES);
    await smallDisk(STATE, "mode=700");
    await smallDisk(POLICIES, "mode=755");
    await smallDisk(alice.home, `mode=700,uid=${alice.uid},gid=${alice.gid}`);
    return { program, server, alice, bob };
  });
  const device = driveDevice(program);
  const database = `${alice.home}/.pki/nssdb`;
  const isInstalled = (user: { state: string; filters: { state: string }[] }) =>
    user.state === "installed" && user.filters.every(({ state }) => state === "ok");
  const untilInstalled = () => device.untilUsers("all is installed", isInstalled);
  const untilRemoved = () =>
    device.untilUsers("all is removed", ({ state }) => state === "removed");

  /** Fails unless the command tells of it with exit code 4. */
  async function told({ words }: Trouble, command = "status"): Promise<void> {
    const { code, out, err } = await runProgram(program, [command]);
    assert.equal(code, 4, out + err);
    assert.match(out.replace(/\s+/g, " "), words);
  }

  const theirs = await step("alice has a certificate and an authority of her own", async () => {
    makeDatabase(database);
    Deno.mkdirSync(`${SCRATCH}/ca`);
    plantOwnThings(database, makeThrowawayCa(`${SCRATCH}/ca`));
    await execute("chown", "--recursive", `${alice.uid}:${alice.gid}`, `${alice.home}/.pki`);
    return certutilTrust(database);
  });
  await step("all is well to begin with", async () => {
    const deviceId = await device.enroll(server);
    for (const { name } of [alice, bob]) await server.bind(deviceId, name);
    await server.distribute(true);
    device.startAgent();
    await untilInstalled();
  });

  for (const trouble of [FULL, READ_ONLY]) {
    await step(`${alice.home} ${trouble.name}: the others are served`, async () => {
      await trouble.begin(alice.home);
      await server.distribute(false);
      await device.untilUsers("bob's is gone", ({ state }) => state === "removed", [bob.name]);
      await told(trouble);
      await trouble.end(alice.home);
      await untilRemoved();
      await trouble.begin(alice.home);
      await server.distribute(true);
      await device.untilUsers("bob has a leaf", isInstalled, [bob.name]);
      await told(trouble);
      await trouble.end(alice.home);
      await untilInstalled();
    });

    await step(`${POLICIES} ${trouble.name}: a leaf without its filter, and back`, async () => {
      await server.distribute(false);
      await untilRemoved();
      // What is shared goes last.
      await until("the filter is gone", () => !existsSync(FILTER));
      await trouble.begin(POLICIES);
      await server.distribute(true);
      await device.untilUsers("both have a leaf", ({ state }) => state === "installed");
      assert.equal((await runProgram(program, ["status"])).code, 4);
      await told(trouble, "doctor");
      await trouble.end(POLICIES);
      await untilInstalled();
    });
  }

  await step(
    `${POLICIES} ${READ_ONLY.name}: a removal is not finished while a filter is left`,
    async () => {
      await READ_ONLY.begin(POLICIES);
      await server.distribute(false);
      await device.untilUsers("alice's waits", ({ state, lastError }) => {
        return state === "removing" && lastError !== null;
      }, [alice.name]);
      await told(READ_ONLY);
      await READ_ONLY.end(POLICIES);
      await untilRemoved();
      assert.equal(existsSync(FILTER), false);
      await server.distribute(true);
      await untilInstalled();
    },
  );

  await step(
    `${STATE} ${FULL.name}: the agent stays, tells it, and goes on once there is room`,
    async () => {
      FULL.begin(STATE);
      await server.distribute(false);
      await until("the agent has tried", () => device.log().includes("state.unwritable"));
      await told(FULL);
      assert.ok(existsSync(FILTER));
      FULL.end(STATE);
      await untilRemoved();
    },
  );

  await step(`${STATE} ${READ_ONLY.name}: the agent does not start, and says why`, async () => {
    await device[Symbol.asyncDispose]();
    await READ_ONLY.begin(STATE);
    await server.distribute(true);
    for (const command of ["agent", "status", "renew", "unenroll"]) {
      const { code, out, err } = await runProgram(program, [command]);
      assert.notEqual(code, 0, command);
      assert.match(out + err, READ_ONLY.words, command);
    }
    await READ_ONLY.end(STATE);
    device.startAgent();
    await untilInstalled();
  });

  await step("nothing of hers was lost over all this, and nothing of ours stays", async () => {
    await device.unenroll();
    assert.deepEqual(certutilTrust(database), theirs);
  });
});

/** A file system of its own, with room for what we keep and not for much more. */
async function smallDisk(folder: string, options: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await execute("mount", "-t", "tmpfs", "-o", `size=8m,${options}`, "none", folder);
}

/** Leaves not a byte. */
function fill(folder: string): void {
  using file = Deno.openSync(`${folder}/filling`, { write: true, create: true });
  const block = new Uint8Array(4096);
  try {
    while (file.writeSync(block) === block.length);
  } catch {
    // Full is what was wanted.
  }
}
