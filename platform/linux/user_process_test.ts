import assert from "node:assert/strict";
import { join } from "node:path";
import type { Account } from "../accounts.ts";
import { type Command, type CommandResult, runCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { lookUpAccount } from "./accounts.ts";
import { canExecute, hasUserAgentUnit, startAsUser, startUserAgentUnit } from "./user_process.ts";

const linux = Deno.build.os === "linux";
const root = linux && Deno.uid() === 0;
const unprivileged = root ? "" : " (skipped: needs root)";
const world = { run: runCommand };

/** Remembers commands and answers each with the next result. */
function recorder(...results: Partial<CommandResult>[]) {
  const commands: Command[] = [];
  const run = (command: Command) => {
    commands.push(command);
    const result = results[commands.length - 1] ?? {};
    return Promise.resolve({ code: 0, timedOut: false, stdoutTail: "", stderrTail: "", ...result });
  };
  return { commands, run };
}

const ada: Account = {
  name: "ada",
  uid: "70001",
  home: "/home/ada",
  runAs: { uid: 70001, gid: 70002, groups: "own" },
};
const adasEnvironment = {
  HOME: "/home/ada",
  USER: "ada",
  LOGNAME: "ada",
  SHELL: "/bin/sh",
  PATH: "/usr/local/bin:/usr/bin:/bin",
  LANG: "C.UTF-8",
};

Deno.test("a program gets one user's rights and environment, and 120 seconds", async () => {
  const { commands, run } = recorder();
  const signal = new AbortController().signal;
  await startAsUser(ada, ["/bin/x", "--y"], { env: { LANG: "de", Z: "1" }, signal }, { run });
  const unknown = { uid: 5000, gid: 5001, groups: "none" } as const;
  await startAsUser({ ...ada, runAs: unknown }, ["/bin/x"], { timeoutMs: 5 }, { run });
  await startAsUser({ ...ada, runAs: "self" }, ["/bin/x"], {}, { run });
  const rights = ["--inh-caps=-all", "--no-new-privs", "--pdeathsig=TERM", "--"];
  assert.deepEqual(commands, [
    {
      argv: [
        "/usr/bin/setpriv",
        "--reuid=70001",
        "--regid=70002",
        "--init-groups",
        ...rights,
        "/bin/x",
        "--y",
      ],
      env: { ...adasEnvironment, LANG: "de", Z: "1" },
      timeoutMs: 120_000,
      signal,
    },
    {
      argv: [
        "/usr/bin/setpriv",
        "--reuid=5000",
        "--regid=5001",
        "--clear-groups",
        ...rights,
        "/bin/x",
      ],
      env: adasEnvironment,
      timeoutMs: 5,
      signal: undefined,
    },
    { argv: ["/bin/x"], env: adasEnvironment, timeoutMs: 120_000, signal: undefined },
  ]);
});

Deno.test("systemd runs the user-agent where it runs itself and knows the unit, never under a root", () => {
  const unit = "device-trust-user-agent@.service";
  const there = (...paths: string[]) => (path: string) => paths.includes(path);
  for (const folder of ["/etc/systemd/system", "/usr/lib/systemd/system"]) {
    const exists = there("/run/systemd/system", `${folder}/${unit}`);
    assert.equal(hasUserAgentUnit({ run: runCommand, exists }), true);
    assert.equal(hasUserAgentUnit({ run: runCommand, exists, root: "/tmp/x" }), false);
    assert.equal(hasUserAgentUnit({ run: runCommand, exists: there(`${folder}/${unit}`) }), false);
  }
  assert.equal(hasUserAgentUnit({ run: runCommand, exists: there("/run/systemd/system") }), false);
});

Deno.test("the unit is started and waited for, and stopped at the deadline or the signal", async () => {
  const unit = "device-trust-user-agent@70001.service";
  const start = ["/usr/bin/systemctl", "start", "--no-ask-password", "--", unit];
  const stop = ["/usr/bin/systemctl", "stop", "--no-ask-password", "--", unit];
  const argvs = ({ commands }: { commands: Command[] }) => commands.map(({ argv }) => argv);

  const fine = recorder({ code: 0 });
  assert.equal((await startUserAgentUnit(ada, {}, fine)).code, 0);
  assert.deepEqual(argvs(fine), [start]);
  assert.equal(fine.commands[0]?.timeoutMs, 120_000);

  const failed = recorder({ code: 1 });
  assert.equal((await startUserAgentUnit(ada, {}, failed)).code, 1);
  assert.deepEqual(argvs(failed), [start]);

  const late = recorder({ code: 143, timedOut: true });
  assert.equal((await startUserAgentUnit(ada, { timeoutMs: 7 }, late)).timedOut, true);
  assert.deepEqual(argvs(late), [start, stop]);

  const aborted = recorder({ code: 143 });
  await startUserAgentUnit(ada, { signal: AbortSignal.abort() }, aborted);
  assert.deepEqual(argvs(aborted), [start, stop]);
  assert.equal(aborted.commands[1]?.signal, undefined);

  const stuck = recorder({ timedOut: true }, { code: 1, stderrTail: "Access denied" });
  await assert.rejects(startUserAgentUnit(ada, {}, stuck), /Cannot stop .*@70001.*Access denied/);
});

/** A Unix user of this machine, with two supplementary groups, for one test. */
async function withUser(test: (account: Account, groups: number[]) => Promise<void>) {
  const name = `dt-${crypto.randomUUID().slice(0, 8)}`;
  const groups = [`${name}-g1`, `${name}-g2`];
  const dir = Deno.makeTempDirSync({ prefix: "device-trust-home-" });
  Deno.chmodSync(dir, 0o755);
  const home = join(dir, name);
  const sh = async (...argv: [string, ...string[]]) => {
    const { code, stdoutTail, stderrTail } = await runCommand({
      argv,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      timeoutMs: 30_000,
    });
    assert.equal(code, 0, stderrTail);
    return stdoutTail.trim();
  };
  try {
    for (const group of groups) await sh("/usr/sbin/groupadd", group);
    await sh("/usr/sbin/useradd", "-m", "-d", home, "-G", groups.join(), "-s", "/bin/sh", name);
    const gids = await Promise.all(
      groups.map(async (group) =>
        Number((await sh("/usr/bin/getent", "group", group)).split(":")[2])
      ),
    );
    await test(await lookUpAccount(name, { uid: 0, run: runCommand }), gids);
  } finally {
    await sh("/usr/sbin/userdel", "-r", "-f", name);
    for (const group of groups) await sh("/usr/sbin/groupdel", group);
    Deno.removeSync(dir, { recursive: true });
  }
}

const REPORT = `id -u; id -ru; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '; echo
pwd; grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status | tr '\\n\\t' ' :'; echo; env | sort`;

Deno.test({
  name: "a real user's program has that user's ids, groups, no capabilities, a clean environment" +
    unprivileged,
  ignore: !root,
  fn: () =>
    withUser(async (account, groups) => {
      Deno.env.set("DEVICE_TRUST_TEST_SECRET", "ours");
      const { code, stdoutTail, stderrTail } = await startAsUser(
        account,
        ["/bin/sh", "-c", REPORT],
        { env: { EXTRA: "1" } },
        world,
      );
      Deno.env.delete("DEVICE_TRUST_TEST_SECRET");
      assert.equal(code, 0, stderrTail);
      const [uid, realUid, gid, all, pwd, status, ...env] = stdoutTail.trim().split("\n");
      assert.ok(typeof account.runAs === "object");
      const own = account.runAs;
      assert.deepEqual([uid, realUid, gid], [own.uid, own.uid, own.gid].map(String));
      const expected = [own.gid, ...groups].sort((a, b) => a - b);
      assert.deepEqual(all?.trim().split(" ").map(Number), expected);
      assert.equal(pwd, "/");
      assert.equal(
        status?.trim(),
        ["Inh", "Prm", "Eff", "Amb"].map((set) => `Cap${set}::0000000000000000`).join(" ") +
          " NoNewPrivs::1",
      );
      assert.deepEqual(
        env.filter((line) => !/^(_|PWD|OLDPWD|SHLVL)=/.test(line)),
        [
          "EXTRA=1",
          `HOME=${account.home}`,
          "LANG=C.UTF-8",
          `LOGNAME=${account.name}`,
          "PATH=/usr/local/bin:/usr/bin:/bin",
          "SHELL=/bin/sh",
          `USER=${account.name}`,
        ],
      );
    }),
});

Deno.test({
  name: "a user only known under a root has that uid and gid and no further group" + unprivileged,
  ignore: !root,
  async fn() {
    const account: Account = { ...ada, runAs: { uid: 70001, gid: 70002, groups: "none" } };
    const { stdoutTail, stderrTail } = await startAsUser(
      account,
      ["/bin/sh", "-c", REPORT],
      {},
      world,
    );
    assert.equal(stderrTail, "");
    assert.deepEqual(stdoutTail.split("\n").slice(0, 4).map((line) => line.trim()), [
      "70001",
      "70001",
      "70002",
      "70002",
    ]);
    assert.match(stdoutTail, /^HOME=\/home\/ada$/m);
    // The same account with groups to look up is refused by setpriv rather than started with ours.
    const lost = await startAsUser(ada, ["/bin/sh", "-c", "echo started"], {}, world);
    assert.notEqual(lost.code, 0);
    assert.equal(lost.stdoutTail, "");
  },
});

Deno.test({
  name: "without root rights the caller serves itself with the account's environment",
  ignore: !linux,
  async fn() {
    const account: Account = { ...ada, runAs: "self" };
    const { stdoutTail } = await startAsUser(
      account,
      ["/bin/sh", "-c", "id -u; echo $HOME $USER"],
      {},
      world,
    );
    assert.equal(stdoutTail, `${Deno.uid()}\n/home/ada ada\n`);
  },
});

Deno.test({
  name: "a user's program ends at its deadline, with all that it started" + unprivileged,
  ignore: !root,
  async fn() {
    const account: Account = { ...ada, runAs: { uid: 70001, gid: 70002, groups: "none" } };
    const mark = `6${Date.now()}`;
    const program = ["/bin/sh", "-c", `sleep ${mark} & sleep ${mark}`] as const;
    const result = await startAsUser(account, program, { timeoutMs: 200 }, world);
    assert.deepEqual({ ...result, stderrTail: "" }, {
      code: 143,
      timedOut: true,
      stdoutTail: "",
      stderrTail: "",
    });
    assert.deepEqual(commandLines().filter((line) => line.includes(mark)), []);
  },
});

Deno.test({
  name: "a user's program ends when the agent is killed" + unprivileged,
  ignore: !root,
  async fn() {
    const mark = `5${Date.now()}`;
    const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
    const account = { ...ada, runAs: { uid: 70001, gid: 70002, groups: "none" } };
    const agent = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check"].concat(`
        import { startAsUser } from ${module("./user_process.ts")};
        import { runCommand } from ${module("../command.ts")};
        startAsUser(${
        JSON.stringify(account)
      }, ["/bin/sleep", "${mark}"], {}, { run: runCommand });`),
    }).spawn();
    await until(() =>
      commandLines().some((line) => line.startsWith("/bin/sleep") && line.includes(mark))
    );
    agent.kill("SIGKILL");
    await agent.status;
    await until(() => !commandLines().some((line) => line.includes(mark)));
  },
});

/** Looks until it is so; gives up after 10 s. */
async function until(so: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !so();) {
    assert.ok(Date.now() < end, String(so));
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** Arguments of every process. */
function commandLines(): string[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      return /^\d+$/.test(name) ? [Deno.readTextFileSync(`/proc/${name}/cmdline`)] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

Deno.test({
  name: "whether a user can reach and read a program is asked with that user's rights" +
    unprivileged,
  ignore: !root,
  async fn() {
    const account: Account = { ...ada, runAs: { uid: 70001, gid: 70002, groups: "none" } };
    const dir = Deno.makeTempDirSync({ prefix: "device-trust-reach-" });
    try {
      const program = join(dir, "a program; exit 0");
      Deno.writeTextFileSync(program, "");
      Deno.chmodSync(program, 0o755);
      assert.equal(await canExecute(account, [program], world), false, "the folder is 0700");
      Deno.chmodSync(dir, 0o755);
      assert.equal(await canExecute(account, ["/bin/sh", program], world), true);
      Deno.chmodSync(program, 0o600);
      assert.equal(await canExecute(account, ["/bin/sh", program], world), false);
      assert.equal(await canExecute({ ...account, runAs: "self" }, [program], world), true);
      assert.equal(await canExecute(account, [join(dir, "absent")], world), false);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
    await assert.rejects(
      canExecute(ada, ["/bin/sh"], world),
      (error) => error instanceof Problem && /Cannot run a program as 'ada'/.test(error.message),
    );
  },
});
