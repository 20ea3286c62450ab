/**
 * What hostile_user_test.ts has told of homes: at every path in a home that our processes touch,
 * somebody has put a link to root's or to alice's things, or a FIFO.
 */
import assert from "node:assert/strict";
import { DEFAULT_BRAND, policyFileName } from "../ca/names.ts";
import { fingerprints } from "./fingerprints.ts";
import { installProgram } from "./installed_program.ts";
import {
  execute,
  executeAs,
  type LocalUser,
  makeUser,
  SCRATCH,
  tellStory,
} from "./private_root.ts";
import { driveDevice, startMockServer } from "./product.ts";
import { until } from "./until.ts";

/** What is planted at a path of a home, and the place of a link's target among others' things. */
const PATHS: readonly [path: string, counterpart: string][] = [
  [".pki", "."],
  [".pki/nssdb", "nssdb"],
  [".pki/nssdb/cert9.db", "nssdb/cert9.db"],
  [".pki/nssdb/key4.db", "nssdb/key4.db"],
  [".local", "."],
  [".local/share/pki", "."],
  [".local/share/pki/nssdb", "nssdb"],
  [".local/state", "."],
  [".local/state/device-trust", "."],
  [".local/state/device-trust/ledger.db", "ledger.db"],
];

/** Things of somebody's that would be of use to us: a database without a password, a ledger. */
const MAKE_THINGS = `
mkdir -p "$1/nssdb"
certutil -N -d "sql:$1/nssdb" --empty-password
: > "$1/ledger.db"
ln -s . "$1/device-trust"
ln -s . "$1/state"
chmod -R go+rX "$1"
`;

const PLANT = `
mkdir -p "$(dirname "$1")"
if [ "$2" = fifo ]; then mkfifo "$1"; else ln -s "$2" "$1"; fi
`;

interface Hostile {
  user: LocalUser;
  plan: string;
  path: string;
}

await tellStory(async (step) => {
  const { server, alice, device, things } = await step(
    "root and alice have things that all may read",
    async () => {
      const program = await installProgram();
      const server = await startMockServer(program, `${SCRATCH}/server`);
      const alice = await makeUser("dt-alice");
      await Deno.chmod(alice.home, 0o755);
      const things = { root: `${SCRATCH}/things`, alice: `${alice.home}/things` };
      await execute("sh", "-ec", MAKE_THINGS, "sh", things.root);
      await executeAs(alice, "sh", "-ec", MAKE_THINGS, "sh", things.alice);
      return { server, alice, device: driveDevice(program), things };
    },
  );
  const untouched = () => fingerprints(things.root, things.alice);
  const thingsBefore = untouched();

  const hostile = await step(
    "many users plant a link to them, or a FIFO, each elsewhere",
    async () => {
      const hostile: Hostile[] = [];
      for (const [at, [path, counterpart]] of PATHS.entries()) {
        const whose = at % 2 === 0 ? things.root : things.alice;
        for (const target of [`${whose}/${counterpart}`, "fifo"]) {
          const user = await makeUser(`dt-hostile${hostile.length}`);
          const planted = `${user.home}/${path}`;
          await executeAs(user, "sh", "-ec", PLANT, "sh", planted, target);
          hostile.push({ user, path: planted, plan: `${path} -> ${target}` });
        }
      }
      return hostile;
    },
  );
  const planted = () => fingerprints(...hostile.map(({ path }) => path));
  const plantedBefore = planted();

  await step("ON: alice is served, whatever becomes of the others", async () => {
    const deviceId = await device.enroll(server);
    for (const { user } of hostile) await server.bind(deviceId, user.name);
    await server.bind(deviceId, alice.name);
    await server.distribute(true);
    device.startAgent();
    await device.untilUsers("alice is served", ({ state }) => state === "installed", [alice.name]);
  });

  await step(
    "each of the others is told what is in the way, or has a leaf of their own",
    async () => {
      const names = hostile.map(({ user }) => user.name);
      const wasTried = (user: { state: string; lastError: unknown }) =>
        user.state === "installed" || user.lastError !== null;
      await device.untilUsers("all were tried", wasTried, names);
      const { users } = await device.status();
      for (const { user: { name, home }, plan } of hostile) {
        const user = users.find(({ username }) => username === name);
        if (user?.state === "installed") {
          assert.equal(user.store?.location, `${home}/.pki/nssdb`, plan);
        } else {assert.match(
            user?.lastError?.message ?? "",
            new RegExp(`${home}/\\.(pki|local)`),
            plan,
          );}
      }
      const served = hostile.filter(({ user }) =>
        users.some(({ username, state }) => username === user.name && state === "installed")
      );
      assert.deepEqual(served.map(({ plan }) => plan), [
        ".local/share/pki -> fifo",
        ".local/share/pki/nssdb -> fifo",
      ]);
    },
  );

  await step("nothing of root's or alice's was touched, and nothing planted replaced", () => {
    assert.deepEqual(untouched(), thingsBefore);
    assert.deepEqual(planted(), plantedBefore);
  });

  const ledgers = hostile.filter(({ path }) => path.includes("/.local") && !path.includes("/pki"));

  await step("OFF: only an unreadable ledger may hide something, and is told", async () => {
    await server.distribute(false);
    const unreadable = new Set(ledgers.map(({ user }) => user.name));
    await device.untilUsers(
      "all others hold nothing",
      ({ username, state, lastError }) =>
        unreadable.has(username)
          ? state === "removing" && lastError !== null || state === "removed"
          : state === "removed",
    );
  });

  await step("who tidies up is served again", async () => {
    for (const { user, path } of ledgers) await executeAs(user, "rm", path);
    await server.distribute(true);
    const names = [alice, ...ledgers.map(({ user }) => user)].map(({ name }) => name);
    await device.untilUsers("they have leaves", ({ state }) => state === "installed", names);
  });

  await step("OFF and unenrolled, no filter is left, and the rest is as it was", async () => {
    await server.distribute(false);
    await device.untilUsers("nobody holds anything", ({ state }) => state === "removed");
    // What is shared goes last.
    const filters = () => execute("find", "/etc", "-name", policyFileName(DEFAULT_BRAND));
    await until("no filter is left", async () => await filters() === "");
    await device.unenroll();
    await device[Symbol.asyncDispose]();
    for (const { path } of ledgers) delete plantedBefore[path];
    const left = hostile.filter((one) => !ledgers.includes(one));
    assert.deepEqual(fingerprints(...left.map(({ path }) => path)), plantedBefore);
    assert.deepEqual(untouched(), thingsBefore);
    assert.equal(await execute("find", "/home", "-name", "device-trust", "-type", "d"), "");
  });
});
