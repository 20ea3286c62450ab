import assert from "node:assert/strict";
import { join } from "node:path";
import type { Account, AccountWorld } from "../accounts.ts";
import { type Command, type CommandResult, runCommand } from "../command.ts";
import { Problem, type ProblemCode } from "../errors.ts";
import { checkHome, lookUpAccount } from "./accounts.ts";

const linux = Deno.build.os === "linux";
const root = linux && Deno.uid() === 0;
const DISK = "27 1 254:0 / / rw - ext4 /dev/vda rw\n";

/** A name service that answers what a table says, and remembers what it was asked. */
function nameService(answers: Record<string, Partial<CommandResult>>) {
  const asked: Command[] = [];
  const run = (command: Command) => {
    asked.push(command);
    const answer = answers[command.argv.at(-1) ?? ""] ?? { code: 2 };
    return Promise.resolve({ code: 0, timedOut: false, stdoutTail: "", stderrTail: "", ...answer });
  };
  return { asked, run };
}

async function refused(work: Promise<unknown>, code: ProblemCode, words: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof Problem);
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  });
}

Deno.test({
  name: "the system's own name service finds this machine's accounts",
  ignore: !linux,
  async fn() {
    const world: AccountWorld = { uid: 0, run: runCommand };
    await refused(lookUpAccount("root", world), "system-account", /'root' is root's/);
    await refused(lookUpAccount("daemon", world), "system-account", /below 1000/);
    await refused(lookUpAccount("nobody", world), "system-account", /stands for nobody/);
    await refused(lookUpAccount("no-such-account", world), "no-local-account", /no-such-account/);
    await refused(lookUpAccount("--help", world), "no-local-account", /--help/);
  },
});

Deno.test({
  name: "an account is looked up by argument vector and exact name",
  ignore: !linux,
  async fn() {
    const service = nameService({
      ada: { stdoutTail: "ada:*:70001:70002:Ada:/home/./ada/:/bin/bash\n" },
      ADA: { stdoutTail: "ada:*:70001:70002:Ada:/home/ada:/bin/bash\n" },
      "70001": { stdoutTail: "ada:*:70001:70002:Ada:/home/ada:/bin/bash\n" },
      "CORP\\ada": { stdoutTail: "CORP\\ada:*:70001:70002::/home/CORP/ada:/bin/sh\n" },
    });
    const world = { uid: 0, run: service.run };
    assert.deepEqual(await lookUpAccount("ada", world), {
      name: "ada",
      uid: "70001",
      home: "/home/ada",
      runAs: { uid: 70001, gid: 70002, groups: "own" },
    });
    assert.deepEqual(service.asked[0]?.argv, ["/usr/bin/getent", "passwd", "--", "ada"]);
    assert.equal((await lookUpAccount("CORP\\ada", world)).uid, "70001");
    await refused(lookUpAccount("ADA", world), "no-local-account", /exactly 'ADA'/);
    await refused(lookUpAccount("70001", world), "no-local-account", /exactly '70001'/);
    const before = service.asked.length;
    for (const name of ["", "a\nroot", "a:b", "../x", "a\0"]) {
      await refused(lookUpAccount(name, world), "no-local-account", /exactly/);
    }
    assert.equal(service.asked.length, before);
  },
});

Deno.test({
  name: "a name service that fails or hangs is no missing account",
  ignore: !linux,
  async fn() {
    const service = nameService({
      ada: { code: 143, timedOut: true },
      bob: { code: 1, stderrTail: "Unknown database" },
    });
    const world = { uid: 0, run: service.run };
    await refused(lookUpAccount("ada", world), "internal", /did not answer in 10 s/);
    await refused(lookUpAccount("bob", world), "internal", /Unknown database/);
  },
});

Deno.test({
  name: "without root rights only the caller's own account can be served",
  ignore: !linux,
  async fn() {
    const { run } = nameService({
      ada: { stdoutTail: "ada:*:70001:70002::/home/ada:\n" },
    });
    assert.equal((await lookUpAccount("ada", { uid: 70001, run })).runAs, "self");
    await refused(lookUpAccount("ada", { uid: 70009, run }), "internal", /run the agent as root/);
  },
});

Deno.test({
  name: "an account without a home waits for one",
  ignore: !linux,
  async fn() {
    const { run } = nameService({
      ada: { stdoutTail: "ada:*:70001:70002:::\n" },
    });
    await refused(lookUpAccount("ada", { uid: 0, run }), "home-missing", /has no home/);
  },
});

/** A `--root` with two accounts, one served home and the rights of whoever runs the test. */
async function withRoot(test: (dir: string, world: AccountWorld) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "device-trust-accounts-" });
  try {
    Deno.mkdirSync(join(dir, "etc"));
    Deno.chmodSync(join(dir, "etc"), 0o755);
    Deno.writeTextFileSync(
      join(dir, "etc/passwd"),
      "daemon:x:1:1::/:/bin/false\nada:x:70001:70002::/home/ada:/bin/sh\n" +
        "far:x:70003:70003::/../../../far:/bin/sh\n",
    );
    const run = () => Promise.reject(new Error("the system's accounts are not asked"));
    await test(dir, { root: dir, uid: Deno.uid() ?? 0, run, mounts: () => Promise.resolve(DISK) });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test({
  name: "under a root, its passwd file alone counts and homes are below it",
  ignore: !linux,
  fn: () =>
    withRoot(async (dir, world) => {
      const ada = await lookUpAccount("ada", { ...world, uid: 0 });
      assert.equal(ada.home, join(dir, "home/ada"));
      assert.deepEqual(ada.runAs, { uid: 70001, gid: 70002, groups: "none" });
      assert.equal((await lookUpAccount("ada", { ...world, uid: 4711 })).runAs, "self");
      assert.equal((await lookUpAccount("far", world)).home, join(dir, "far"));
      await refused(lookUpAccount("root", world), "no-local-account", /exactly 'root' in/);
      await refused(lookUpAccount("daemon", world), "system-account", /uid 1, below 1000/);
      Deno.writeTextFileSync(join(dir, "etc/login.defs"), "UID_MIN 80000\n");
      await refused(lookUpAccount("ada", world), "system-account", /below 80000/);
    }),
});

Deno.test({
  name: "a root without a passwd file has the system's accounts and homes",
  ignore: !linux,
  fn: () =>
    withRoot(async (dir, world) => {
      Deno.removeSync(join(dir, "etc/passwd"));
      const { run } = nameService({ ada: { stdoutTail: "ada:*:70001:70002::/home/ada:\n" } });
      const ada = await lookUpAccount("ada", { ...world, uid: 0, run });
      assert.equal(ada.home, "/home/ada");
      assert.deepEqual(ada.runAs, { uid: 70001, gid: 70002, groups: "own" });
    }),
});

Deno.test({
  name: "a planted passwd is not read",
  ignore: !linux,
  fn: () =>
    withRoot(async (dir, world) => {
      Deno.removeSync(join(dir, "etc/passwd"));
      Deno.symlinkSync("/etc/passwd", join(dir, "etc/passwd"));
      await refused(lookUpAccount("ada", world), "internal", /symbolic link/);
      Deno.removeSync(join(dir, "etc/passwd"));
      new Deno.Command("mkfifo", { args: [join(dir, "etc/passwd")] }).outputSync();
      await refused(lookUpAccount("ada", world), "internal", /FIFO/);
      Deno.chmodSync(join(dir, "etc"), 0o777);
      await refused(lookUpAccount("ada", world), "internal", /changed by everybody/);
    }),
});

Deno.test({
  name: "a home that is missing or no directory waits; the user's own is fine",
  ignore: !linux,
  fn: () =>
    withRoot(async (dir, world) => {
      const uid = Deno.uid() ?? 0;
      const home = join(dir, "home/ada");
      const account: Account = { name: "ada", uid: String(uid), home, runAs: "self" };
      await refused(checkHome(account, world), "home-missing", /not mounted yet/);
      Deno.mkdirSync(join(dir, "home"));
      Deno.writeTextFileSync(home, "");
      await refused(checkHome(account, world), "home-missing", /not a directory/);
      Deno.removeSync(home);
      Deno.symlinkSync("ada", home);
      await refused(checkHome(account, world), "home-missing", /not mounted yet/);
      Deno.removeSync(home);
      Deno.mkdirSync(join(dir, "disk2/ada"), { recursive: true });
      Deno.symlinkSync(join(dir, "disk2/ada"), home);
      await checkHome(account, world);
      assert.equal(new Problem("home-missing", "").waiting, true);
    }),
});

Deno.test({
  name: "a home that another uid owns is refused for good (needs root)",
  ignore: !root,
  fn: () =>
    withRoot(async (_dir, world) => {
      const ada = await lookUpAccount("ada", world);
      Deno.mkdirSync(ada.home, { recursive: true });
      await refused(checkHome(ada, world), "system-account", /belongs to uid 0, not to uid 70001/);
      // The caller's own rights may serve it there, as the platform does when it must.
      await checkHome({ ...ada, runAs: "self" }, world);
      Deno.chownSync(ada.home, 70001, 70002);
      await checkHome(ada, world);
      const self: Account = { ...ada, runAs: "self" };
      await refused(checkHome(self, { ...world, uid: 4711 }), "system-account", /not to uid 4711/);
      assert.equal(new Problem("system-account", "").waiting, false);
    }),
});

Deno.test({
  name: "a home on a network file system is refused, also behind a link, untouched",
  ignore: !linux,
  fn: () =>
    withRoot(async (dir, world) => {
      const account: Account = {
        name: "ada",
        uid: String(Deno.uid() ?? 0),
        home: join(dir, "home/ada"),
        runAs: "self",
      };
      const mounted = (path: string) => ({
        ...world,
        mounts: () =>
          Promise.resolve(`${DISK}40 27 0:41 / ${join(dir, path)} rw - nfs4 files:/ rw\n`),
      });
      // Not even there: it is refused before anything looks at it.
      await refused(
        checkHome(account, mounted("home")),
        "shared-home",
        /network file system \(nfs4\)/,
      );
      Deno.mkdirSync(join(dir, "home"));
      Deno.mkdirSync(join(dir, "net/ada"), { recursive: true });
      Deno.symlinkSync(join(dir, "net/ada"), account.home);
      await refused(checkHome(account, mounted("net")), "shared-home", /nfs4/);
      await checkHome(account, mounted("elsewhere"));
    }),
});
