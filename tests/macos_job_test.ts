/**
 * The main job on a modelled Mac: a real agent server, the agent's own work and the user-agent's own
 * code, which launchd starts in the user's session; from enrolment until nothing is left.
 */
import assert from "node:assert/strict";
import { leaveOnce, renewOnce, runAgentOnce } from "../agent/agent_once.ts";
import { openState } from "../agent/device_state.ts";
import { enroll } from "../agent/enrollment.ts";
import { socketExchange } from "../agent/exchange.ts";
import { printKeychainPassword } from "../agent/keychain_password_command.ts";
import { openLocalClient } from "../agent/local_client.ts";
import { openLog } from "../agent/log.ts";
import { pause } from "../agent/pause.ts";
import { accountSockets } from "../agent/sockets.ts";
import { readStatus } from "../agent/status.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import type { WorkWorld } from "../agent/work.ts";
import { type MacDevice, macosDevice } from "../platform/macos/device_platform.ts";
import { launchdService } from "../platform/macos/service.ts";
import { macosUser } from "../platform/macos/user_platform.ts";
import { systemPaths } from "../platform/paths.ts";
import { makeRunFolders } from "../platform/run_folders.ts";
import { useOfKey } from "./macos_model/browser.ts";
import { keychainOf } from "./macos_model/keychain_stories.ts";
import { filtersOf, macUserOf } from "./macos_model/mac_user_agent.ts";
import { ScratchMac } from "./macos_model/scratch_mac.ts";
import { inPassableFolder } from "./device_root.ts";
import { type DrivenServer, programFromSource, startMockServer } from "./product.ts";

const JOB = "gui/501/device-trust.user-agent";

/** A Mac with the service installed; whatever launchd starts runs here. */
async function openMac(mac: ScratchMac) {
  const paths = systemPaths({ os: "macos", root: mac.folder });
  const device: MacDevice = {
    run: mac.run,
    uid: 0,
    home: mac.home,
    hostname: () => "ada-mac",
    now: Date.now,
    pause: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  };
  const platform = {
    ...macosDevice(undefined, device),
    // Its folders are the scratch folder's, and sockets are not given away.
    root: mac.folder,
    paths,
    privileged: false,
    makeRunFolders: (uid?: string) => makeRunFolders(paths, mac.folder, uid),
  };
  const binary = `${mac.folder}/Library/device-trust`;
  Deno.mkdirSync(`${mac.folder}/Library`, { recursive: true });
  Deno.writeTextFileSync(binary, "", { mode: 0o755 });
  await launchdService({ ...device, uid: Deno.uid() ?? 0, logDir: paths.logDir, root: mac.folder })
    .install(binary);
  endJob(mac, 0);
  const failures: unknown[] = [];
  mac.onCall = (program, args) => {
    if (program !== "/bin/launchctl" || args[0] !== "kickstart") return;
    userAgent(mac, paths).then((code) => endJob(mac, code), (error) => {
      failures.push(error);
      endJob(mac, 70);
    });
  };
  Deno.mkdirSync(paths.stateDir, { recursive: true, mode: 0o700 });
  const state = openState(paths.stateDir, Date.now);
  const stop = new AbortController();
  const world: WorkWorld = {
    platform,
    state,
    program: { argv: [binary], env: {}, files: [] },
    deviceKey: `${paths.stateDir}/device.key`,
    log: openLog({ write: () => {}, text: false }),
    now: Date.now,
    random: Math.random,
    pause,
    signal: stop.signal,
  };
  return { platform, world, failures, [Symbol.dispose]: () => (stop.abort(), state.close()) };
}

/** What launchd runs in ada's session. */
async function userAgent(
  mac: ScratchMac,
  paths: { usersRunDir: string } & object,
): Promise<number> {
  const platform = macosUser(undefined, macUserOf(mac));
  const sockets = accountSockets({ ...systemPaths({ os: "macos" }), ...paths }, "501");
  const client = openLocalClient(socketExchange(sockets.worker));
  try {
    const { removeStore, filters } = platform;
    return await runUserAgent({
        ...platform,
        ...(removeStore ? { removeStore } : {}),
        ...(filters ? { filters } : {}),
        client,
        now: Date.now,
        random: Math.random,
        sleep: () => Promise.resolve(),
      }) === "done"
      ? 0
      : 4;
  } finally {
    client.close();
  }
}

function endJob(mac: ScratchMac, exitCode: number): void {
  mac.change(({ jobs }) => {
    const job = jobs[JOB];
    if (job) Object.assign(job, { running: false, exitCode });
  });
}

/** What the agent server knows of the device's one user. */
async function userAt(server: DrivenServer): Promise<Record<string, unknown>> {
  const devices = await server.admin("GET", "/devices");
  const [device] = itemsOf(devices);
  const [user] = Array.isArray(device?.users) ? device.users : [];
  return user;
}

function itemsOf(list: unknown): Record<string, unknown>[] {
  return typeof list === "object" && list !== null && "items" in list && Array.isArray(list.items)
    ? list.items
    : [];
}

Deno.test("macOS: enrol, ON, renew, OFF, ON again, unenroll: and nothing is left", () =>
  inPassableFolder(async (folder) => {
    await using server = await startMockServer(programFromSource(), `${folder}/server`);
    using mac = new ScratchMac();
    const before = mac.state();
    using opened = await openMac(mac);
    const { world, platform, failures } = opened;
    const system = await platform.system();
    const serverCa = await Deno.readTextFile(server.serverCa);
    const connectKey = () => Promise.resolve(server.connectKey);
    const { deviceId } = await enroll(
      { ...world, system },
      { server: server.agentUrl, connectKey, serverCa },
    );
    await server.bind(deviceId, "ada");
    await server.distribute(true);

    assert.equal(await runAgentOnce(world), 0);
    const chrome = `${mac.folder}/Applications/Google Chrome.app`;
    const [key] = keychainOf(mac).keys;
    assert.equal(useOfKey(mac.state(), chrome, key?.label ?? ""), "silent");
    const { status } = await readStatus(platform, Date.now);
    assert.deepEqual(status.users.map(({ state, store }) => [state, store?.kind]), [
      ["installed", "keychain"],
    ]);
    assert.deepEqual(status.users[0]?.filters.map(({ browser, state }) => `${browser} ${state}`), [
      "chrome ok",
      "safari ok",
    ]);
    assert.equal((await userAt(server)).state, "installed");

    let printed = "";
    const output = { out: (text: string) => (printed += text, true), err: () => true };
    const password = macosUser(undefined, macUserOf(mac));
    assert.equal(await printKeychainPassword(password, "JumpCloud", output), 0);
    assert.equal(printed, `${keychainOf(mac).password}\n`);

    const renewed = await renewOnce(world, "ada");
    assert.deepEqual(renewed?.map(({ renewed }) => renewed), [true]);
    assert.equal(keychainOf(mac).keys.length, 2);

    // The server's patterns reach the user's own preferences.
    await server.admin("PUT", "/settings", { selectionPatterns: ["https://new.test"] });
    await runAgentOnce(world);
    assert.ok(JSON.stringify(filtersOf(mac)).includes("https://new.test"));

    await server.distribute(false);
    assert.equal(await runAgentOnce(world), 0);
    assert.deepEqual(mac.state().keychains, before.keychains);
    assert.deepEqual(mac.state().searchList, before.searchList);
    assert.deepEqual(mac.state().identityPreferences, {});
    assert.deepEqual(filtersOf(mac), []);
    assert.equal((await userAt(server)).state, "removed");

    await server.distribute(true);
    // Logged out, nothing can be done for the user; that is no failure.
    mac.change((state) => void (state.sessions = []));
    const jobs = mac.state().jobs;
    mac.change((state) => void delete state.jobs[JOB]);
    await runAgentOnce(world);
    const [waiting] = (await readStatus(platform, Date.now)).status.users;
    assert.deepEqual([waiting?.state, waiting?.lastError?.code], ["waiting", "not-logged-on"]);
    mac.change((state) => {
      state.sessions = ["ada"];
      state.jobs = jobs;
    });
    world.state.saveUser({ ...world.state.users()[0]!, retryAt: 0 });
    await runAgentOnce(world);
    assert.equal(keychainOf(mac).keys.length, 1);

    const leaving = await leaveOnce(world);
    assert.deepEqual([leaving?.clean, leaving?.left], [true, []]);
    assert.deepEqual(mac.state().keychains, before.keychains);
    assert.throws(
      () => Deno.lstatSync(`${mac.home}/Library/Application Support`),
      Deno.errors.NotFound,
    );
    assert.deepEqual(mac.state().prompts, []);
    assert.deepEqual(failures, []);
  }));
