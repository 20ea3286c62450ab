/** The modelled small programs take the forms of Apple's manual pages that the product uses alone. */
import assert from "node:assert/strict";
import { agentJob, userAgentJob } from "../../platform/macos/launchd_jobs.ts";
import { MACOS } from "../../platform/macos/system_commands.ts";
import { runModel, ScratchMac } from "./scratch_mac.ts";
import { Forbidden } from "./security_grammar.ts";

function run(mac: ScratchMac, [program, ...args]: readonly string[]) {
  return runModel(mac.stateFile, program ?? "", args, "");
}

Deno.test("every command of the product's table is one of the model, and another form is none", () => {
  using mac = new ScratchMac();
  const file = `${mac.folder}/list.plist`;
  Deno.writeTextFileSync(file, agentJob("/bin/device-trust", "/x"), { mode: 0o644 });
  const samples: Record<keyof typeof MACOS, readonly string[] | undefined> = {
    account: MACOS.account("ada"),
    uidOf: MACOS.uidOf("ada"),
    mounts: MACOS.mounts(),
    version: MACOS.version(),
    hardware: MACOS.hardware(),
    sessions: MACOS.sessions(),
    processes: MACOS.processes("501"),
    signature: MACOS.signature(`${mac.folder}/Applications/Safari.app`),
    applicationVersion: MACOS.applicationVersion("/Applications/Safari.app"),
    preferences: MACOS.preferences("com.google.Chrome"),
    preferencesIn: MACOS.preferencesIn(file),
    addToPolicy: MACOS.addToPolicy("com.google.Chrome", "Key", "text"),
    setPolicy: MACOS.setPolicy("com.google.Chrome", "Key", ["a", "b"]),
    deletePolicy: MACOS.deletePolicy("com.google.Chrome", "Key"),
    jobs: MACOS.jobs("system/x"),
    loadJob: MACOS.loadJob("system", file),
    unloadJob: MACOS.unloadJob("system/x"),
    startJob: MACOS.startJob("system/x"),
    signalJob: MACOS.signalJob("SIGTERM", "system/x"),
    // Another program runs in it, as somebody else: there is no model of that.
    asUser: undefined,
  };
  for (const [name, argv] of Object.entries(samples)) {
    if (!argv) continue;
    assert.doesNotThrow(() => run(mac, argv), name);
    // codesign ends with a usage message instead.
    const more = () => run(mac, [...argv, "-x"]);
    if (name === "signature") assert.equal(more().code, 2);
    else assert.throws(more, Forbidden, name);
  }
  assert.throws(() => run(mac, ["/usr/bin/sqlite3", "x"]), Forbidden);
});

Deno.test("a value of a list needs the letter of its kind, and a list stays one", () => {
  using mac = new ScratchMac();
  const write = (...words: string[]) =>
    run(mac, ["/usr/bin/defaults", "write", "d", "k", ...words]);
  assert.throws(() => write("-array", "text"), Forbidden);
  assert.throws(() => write("text"), Forbidden);
  assert.throws(() => write("-array-add", "-string"), Forbidden);
  mac.change((state) => void (state.preferences.d = { k: "a text" }));
  assert.equal(write("-array-add", "-string", "x").code, 1);
  assert.equal(run(mac, MACOS.deletePolicy("d", "other")).code, 1);
  assert.equal(run(mac, MACOS.preferences("nobody's")).code, 1);
});

Deno.test("launchd takes a job once, in a session that there is, from a file that only its owner writes", () => {
  using mac = new ScratchMac();
  const file = `${mac.folder}/job.plist`;
  const load = (domain: string, text: string, mode = 0o644) => {
    Deno.writeTextFileSync(file, text);
    Deno.chmodSync(file, mode);
    return run(mac, MACOS.loadJob(domain, file)).code;
  };
  const job = userAgentJob("/bin/device-trust");
  assert.equal(load("gui/502", job), 125);
  assert.equal(load("gui/501", job, 0o666), 122);
  assert.equal(load("gui/501", job), 0);
  assert.equal(load("gui/501", job), 5);
  const wrong = agentJob("/bin/device-trust", "/x").replace("KeepAlive", "KeepAlife");
  assert.throws(() => load("system", wrong), Forbidden);
  const target = "gui/501/device-trust.user-agent";
  assert.equal(run(mac, MACOS.jobs("gui/501")).code, 0);
  assert.notEqual(run(mac, MACOS.jobs("gui/502")).code, 0);
  assert.equal(run(mac, MACOS.unloadJob(target)).code, 0);
  assert.equal(load("gui/501", job), 5, "it is still ending");
  assert.equal(run(mac, MACOS.unloadJob("gui/501/other")).code, 3);
  assert.equal(run(mac, MACOS.startJob("gui/501/other")).code, 113);
});
