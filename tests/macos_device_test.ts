/** What the agent does on a modelled Mac: accounts, sessions, the service. */
import assert from "node:assert/strict";
import { Problem } from "../platform/errors.ts";
import type { Command, CommandResult, RunCommand } from "../platform/command.ts";
import { configurationProfile } from "../platform/macos/configuration_profile.ts";
import { type MacDevice, macosDevice } from "../platform/macos/device_platform.ts";
import { agentJob, JOB_FILES, userAgentJob } from "../platform/macos/launchd_jobs.ts";
import { launchdService } from "../platform/macos/service.ts";
import { macosUser } from "../platform/macos/user_platform.ts";
import { macUserOf } from "./macos_model/mac_user_agent.ts";
import { ScratchMac } from "./macos_model/scratch_mac.ts";
import { testWith } from "./skip.ts";

const JOB = "gui/501/device-trust.user-agent";
const PROGRAM = { argv: ["/bin/device-trust"], env: {}, files: [] } as const;

function deviceOn(mac: ScratchMac, more: Partial<MacDevice> = {}) {
  return macosDevice(undefined, {
    run: mac.run,
    uid: 0,
    home: mac.home,
    hostname: () => "ada-mac",
    now: Date.now,
    pause: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    ...more,
  });
}

/** The service as root would install it, with everything under the scratch folder. */
function serviceOn(mac: ScratchMac) {
  return launchdService({
    run: mac.run,
    uid: Deno.uid() ?? 0,
    logDir: `${mac.folder}/Library/Logs/Device Trust`,
    now: Date.now,
    pause: () => Promise.resolve(),
    root: mac.folder,
  });
}

function binaryOn(mac: ScratchMac, mode = 0o755): string {
  const folder = `${mac.folder}/Library/Application Support/Device Trust/bin`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(`${folder}/device-trust`, "");
  Deno.chmodSync(`${folder}/device-trust`, mode);
  return `${folder}/device-trust`;
}

Deno.test("macOS: an account is found by exactly its own name, and only a person's is served", async () => {
  using mac = new ScratchMac();
  const add = (name: string, uid: number, home: string) =>
    mac.change(({ accounts }) => void accounts.push({ names: [name], uid, gid: 20, home }));
  add("root", 0, "/var/root");
  add("_www", 70, "/Library/WebServer");
  add("nobody", -2, "/var/empty");
  add("svc", 400, "/Users/svc");
  add("homeless", 502, "/var/empty");
  add("Zoë <x>", 503, "/Users/zoë & co");
  const { account } = deviceOn(mac);
  const runAs = { uid: 501, gid: 20, groups: "own" };
  assert.deepEqual(await account("ada"), { name: "ada", uid: "501", home: mac.home, runAs });
  assert.equal((await account("Zoë <x>")).home, "/Users/zoë & co");
  const refused: [string, Problem["code"]][] = [
    ["ADA", "no-local-account"],
    ["ada@example.com", "no-local-account"],
    ["eve", "no-local-account"],
    ["../ada", "no-local-account"],
    ["root", "system-account"],
    ["_www", "system-account"],
    ["nobody", "system-account"],
    ["svc", "system-account"],
    ["homeless", "home-missing"],
  ];
  for (const [name, code] of refused) {
    await assert.rejects(
      account(name),
      (error) => error instanceof Problem && error.code === code,
      name,
    );
  }
});

Deno.test("macOS: a home on a network gets no leaf, and a missing one waits", async () => {
  using mac = new ScratchMac();
  const check = () => macosUser(undefined, macUserOf(mac)).checkHome();
  await check();
  mac.change((state) => void (state.mounts = `//ada@server/homes on ${mac.home} (smbfs, nodev)\n`));
  await assert.rejects(check, (error) => error instanceof Problem && error.code === "shared-home");
  mac.change((state) => void (state.mounts = ""));
  Deno.renameSync(mac.home, `${mac.home} elsewhere`);
  await assert.rejects(check, (error) => error instanceof Problem && error.waiting);
});

Deno.test("macOS: a device is told from its clone by the hardware", async () => {
  using mac = new ScratchMac();
  const before = await deviceOn(mac).system();
  assert.deepEqual([before.os, before.osVersion, before.hostname], [
    "macos",
    "macOS 15.1 (24B83)",
    "ada-mac",
  ]);
  mac.change((state) => void (state.hardware = "00000000-1111-5222-8333-0123456789AB"));
  assert.notEqual((await deviceOn(mac).system()).machine, before.machine);
});

Deno.test("macOS: a user-agent is run in its session, to its end", async () => {
  using mac = new ScratchMac();
  await serviceOn(mac).install(binaryOn(mac));
  let runs = 0;
  mac.onCall = (program, args) => {
    if (program !== "/bin/launchctl" || args[0] !== "kickstart") return;
    runs++;
    setTimeout(() => endJob(mac, 4), 150);
  };
  // The one that runs since the login was told what was wanted earlier.
  setTimeout(() => endJob(mac, 0), 150);
  const account = await deviceOn(mac).account("ada");
  const exit = await deviceOn(mac).startUserAgent(account, PROGRAM, new AbortController().signal);
  assert.deepEqual(exit, { code: 4, timedOut: false, errors: "" });
  assert.equal(runs, 1);
});

Deno.test("macOS: one that does not end is ended, by force if need be", async () => {
  for (const obeys of [["SIGTERM", "SIGKILL"], ["SIGKILL"]]) {
    using mac = new ScratchMac();
    await serviceOn(mac).install(binaryOn(mac));
    endJob(mac, 0);
    mac.onCall = () =>
      void mac.change(({ jobs }) => {
        const job = jobs[JOB];
        if (job) job.obeys = obeys;
      });
    let now = 0;
    const pause = (milliseconds: number) => Promise.resolve(void (now += milliseconds));
    const device = deviceOn(mac, { now: () => now, pause });
    const account = await device.account("ada");
    const exit = await device.startUserAgent(account, PROGRAM, new AbortController().signal);
    assert.equal(exit?.timedOut, true);
    assert.equal(mac.state().jobs[JOB]?.running, false);
    assert.ok(now >= 120_000 && now < 150_000, String(now));
  }
});

Deno.test("macOS: without a session at the screen it waits for the next login; without a job it says so", async () => {
  using mac = new ScratchMac();
  const device = deviceOn(mac);
  const account = await device.account("ada");
  const start = () => device.startUserAgent(account, PROGRAM, new AbortController().signal);
  await assert.rejects(start, /Login Items/);
  mac.change((state) => void (state.sessions = []));
  await assert.rejects(
    start,
    (error) => error instanceof Problem && error.code === "not-logged-on" && error.waiting,
  );
});

Deno.test("macOS: what doctor looks at runs as that user, with nothing of root's environment", async () => {
  using mac = new ScratchMac();
  const commands: Command[] = [];
  const run: RunCommand = (command) => {
    if (!command.argv.includes("agent-inspect")) return mac.run(command);
    commands.push(command);
    return Promise.resolve({ code: 0, timedOut: false, stdoutTail: "", stderrTail: "" });
  };
  const program = {
    argv: ["/bin/device-trust", "agent-inspect"],
    env: { X: "1" },
    files: [],
  } as const;
  for (const uid of [0, 501]) {
    const device = deviceOn(mac, { run, uid });
    await device.runAsUser(await device.account("ada"), program, 1000);
  }
  const [asRoot, asSelf] = commands;
  const start = ["/bin/launchctl", "asuser", "501", "/usr/bin/sudo", "-n", "-u", "#501", "--"];
  assert.deepEqual(asRoot?.argv.slice(0, 10), [...start, "/usr/bin/env", "-i"]);
  assert.deepEqual(asRoot?.argv.slice(-3), ["X=1", ...program.argv]);
  assert.ok(asRoot?.argv.includes(`HOME=${mac.home}`));
  assert.deepEqual(asRoot?.env, {});
  assert.deepEqual(asSelf?.argv, program.argv);
  assert.equal(asSelf?.env.HOME, mac.home);
});

Deno.test("macOS: a support bundle tells of the system and of the agent's job", async () => {
  using mac = new ScratchMac();
  await serviceOn(mac).install(binaryOn(mac));
  const { versions, policies } = await deviceOn(mac).supportFacts();
  assert.ok(versions.includes("system macOS 15.1 (24B83)"), versions.join("\n"));
  assert.ok(versions.includes("job device-trust.agent state = running"), versions.join("\n"));
  assert.deepEqual(policies, []);
});

Deno.test("macOS: the service is installed for the device and each session, again and again", async () => {
  using mac = new ScratchMac();
  const binary = binaryOn(mac);
  const service = serviceOn(mac);
  const command = `${mac.folder}/usr/local/bin/device-trust`;
  Deno.removeSync(command);
  assert.deepEqual((await service.status()).map(({ installed }) => installed), [false, false]);
  mac.change((state) => {
    state.accounts.push({ names: ["eve"], uid: 502, gid: 20, home: "/Users/eve" });
    state.sessions.push("eve");
  });
  for (const _ of [1, 2]) {
    await service.install(binary);
    assert.deepEqual(Object.keys(mac.state().jobs).sort(), [
      "gui/501/device-trust.user-agent",
      "gui/502/device-trust.user-agent",
      "system/device-trust.agent",
    ]);
  }
  assert.deepEqual(await service.status(), [
    { name: "device-trust.agent", installed: true, running: true },
    { name: "device-trust.user-agent", installed: true, running: true },
  ]);
  assert.equal(Deno.readLinkSync(command), binary);
  await service.uninstall();
  assert.deepEqual(mac.state().jobs, {});
  for (const file of [...Object.values(JOB_FILES), "/usr/local/bin/device-trust"]) {
    assert.throws(() => Deno.lstatSync(mac.folder + file), Deno.errors.NotFound);
  }
  await service.uninstall();
});

Deno.test("macOS: no service is made of a binary that others could replace, nor without root", async () => {
  using mac = new ScratchMac();
  await assert.rejects(serviceOn(mac).install(binaryOn(mac, 0o775)), /can be changed by others/);
  await assert.rejects(serviceOn(mac).install(`${mac.folder}/nothing/here`), /There is no/);
  const pause = () => Promise.resolve();
  const user = launchdService({ run: mac.run, uid: 501, logDir: "/logs", now: Date.now, pause });
  await assert.rejects(user.install("/bin/device-trust"), /with sudo/);
  await assert.rejects(user.uninstall(), /with sudo/);
  assert.deepEqual(mac.state().jobs, {});
});

testWith(["plistutil"], "macOS: jobs and profile are property lists to another program too", () => {
  const files = {
    agent: agentJob("/bin/device-trust", "/Library/Logs/Device Trust"),
    userAgent: userAgentJob("/bin/device-trust"),
    profile: configurationProfile({ brand: "JumpCloud", patterns: ["https://[*.]a.test"] }),
  };
  const folder = Deno.makeTempDirSync();
  try {
    for (const [name, text] of Object.entries(files)) {
      const result = plistutil(`${folder}/${name}`, text);
      assert.equal(result.code, 0, result.stderrTail);
      assert.equal(result.stdoutTail, "bplist00", name);
    }
    assert.notEqual(plistutil(`${folder}/cut`, files.agent.slice(0, 300)).stdoutTail, "bplist00");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

/** What Debian's own reader makes of a property list: Apple's binary form of it. */
function plistutil(
  file: string,
  text: string,
): Pick<CommandResult, "code" | "stdoutTail" | "stderrTail"> {
  Deno.writeTextFileSync(file, text);
  const { code, stderr } = new Deno.Command("plistutil", {
    args: ["-i", file, "-o", `${file}.binary`],
    env: { LC_ALL: "C" },
  }).outputSync();
  let start = "";
  try {
    start = new TextDecoder().decode(Deno.readFileSync(`${file}.binary`).subarray(0, 8));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return { code, stdoutTail: start, stderrTail: new TextDecoder().decode(stderr) };
}

function endJob(mac: ScratchMac, exitCode: number): void {
  mac.change(({ jobs }) => {
    const job = jobs[JOB];
    if (job) Object.assign(job, { running: false, exitCode });
  });
}
