/**
 * Accounts, profiles and processes of Windows, or of Wine (tests/windows_platform_test.ts). Needs an
 * administrator's rights; leaves everything as it was.
 */
import assert from "node:assert/strict";
import { Problem, type ProblemCode } from "../platform/errors.ts";
import { ensureFolder, readUserFile } from "../platform/windows/folders.ts";
import { DESCRIPTORS } from "../platform/windows/access_rules.ts";
import { removeFilters, writeFilters } from "../platform/windows/selection_filters.ts";
import { checkProfile, lookUpAccount } from "../platform/windows/accounts.ts";
import { windowsDevice } from "../platform/windows/device_platform.ts";
import { Registry } from "../platform/windows/registry.ts";
import { findRunningBrowsers } from "../platform/windows/running_browsers.ts";
import { ownIdentity } from "../platform/windows/security.ts";
import { windowsUser } from "../platform/windows/user_platform.ts";
import { countWindowsCalls } from "./windows_calls.ts";
import { reg, ScratchLedger } from "./windows_scratch.ts";

// Before any library is loaded.
const calls = countWindowsCalls();
const registry = new Registry();
const own = ownIdentity();
const name = Deno.env.get("USERNAME") ?? "";
const env = (variable: string) => Deno.env.get(variable) ?? "";
const PROFILE =
  "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\" +
  own.user;

function code(work: () => unknown): ProblemCode | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}

Deno.test("the account of a name is found with its id and its profile, by every form of the name", () => {
  const account = { name, uid: own.user, home: env("USERPROFILE"), runAs: "session" };
  assert.deepEqual(lookUpAccount(name, registry), account);
  const full = `${Deno.hostname()}\\${name}`;
  assert.deepEqual(lookUpAccount(full, registry), { ...account, name: full });
  assert.match(own.user, /^S-1-5-21-/);
});

Deno.test("groups, services and names that nobody has serve nobody", () => {
  const names: [string, ProblemCode][] = [
    ["nobody-of-this-name", "no-local-account"],
    ["Users", "no-local-account"],
    ["BUILTIN\\Administrators", "no-local-account"],
    ["", "no-local-account"],
    ["a:b", "no-local-account"],
    ["x".repeat(5000), "no-local-account"],
    ["SYSTEM", "system-account"],
    ["NT AUTHORITY\\LOCAL SERVICE", "system-account"],
    ["Everyone", "system-account"],
  ];
  for (const [name, expected] of names) {
    assert.equal(code(() => lookUpAccount(name, registry)), expected, name.slice(0, 40));
  }
});

Deno.test("this user's own profile is used, and one that roams is not", async () => {
  const folders = [env("USERPROFILE"), env("APPDATA"), env("LOCALAPPDATA")];
  const check = () => checkProfile({ name, sid: own.user, folders }, registry);
  assert.equal(code(check), undefined);
  await reg("add", PROFILE, "/v", "CentralProfile", "/d", "\\\\files\\profiles\\ada");
  try {
    assert.equal(code(check), "shared-home");
    await assert.rejects(windowsUser(undefined).checkHome(), { code: "shared-home" });
  } finally {
    await reg("delete", PROFILE, "/v", "CentralProfile", "/f");
  }
  const gone = [...folders, `${env("USERPROFILE")}\\gone`];
  assert.equal(
    code(() => checkProfile({ name, sid: own.user, folders: gone }, registry)),
    "home-missing",
  );
});

Deno.test("a running browser is found with its name and start, and not when it has ended", async () => {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-browser-" });
  try {
    const program = `${folder}\\msedge.exe`;
    await Deno.copyFile(Deno.execPath(), program);
    const before = Date.now();
    const child = new Deno.Command(program, {
      args: ["eval", "console.log('up'); setTimeout(() => {}, 600_000)"],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    try {
      // It says so when it runs.
      await child.stdout.getReader().read();
      const found = findRunningBrowsers().find(({ pid }) => pid === child.pid);
      assert.equal(found?.name, "edge");
      const { startedAt = 0 } = found ?? {};
      assert.ok(startedAt >= before - 1000 && startedAt <= Date.now() + 1000);
    } finally {
      child.kill();
      await child.status;
    }
    assert.deepEqual(findRunningBrowsers().filter(({ pid }) => pid === child.pid), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the device tells its name, its Windows and its machine, and what it found", async () => {
  const device = windowsDevice(undefined);
  const { hostname, osVersion, machine, os } = await device.system();
  assert.equal(os, "windows");
  assert.ok(hostname.length > 0);
  assert.match(osVersion, /^Windows .*\(\d+/);
  assert.match(machine ?? "", /^[0-9a-f]{64}$/);
  const { versions, log } = await device.supportFacts();
  assert.ok(versions.some((line) => line.startsWith("keys ")));
  assert.equal(log, "");
});

Deno.test("a program runs for the user that this process is, and for nobody else", async () => {
  const device = windowsDevice(undefined);
  const account = await device.account(name);
  const script = "console.log(Deno.env.get('LOCALAPPDATA') + Deno.env.get('MORE'))";
  const program = {
    argv: [Deno.execPath(), "eval", script],
    env: { MORE: "!" },
    files: [],
  } as const;
  const { code, stdoutTail } = await device.runAsUser(account, program, 60_000);
  assert.deepEqual([code, stdoutTail.trim()], [0, `${env("LOCALAPPDATA")}!`]);
  const waits = {
    ...program,
    argv: [Deno.execPath(), "eval", "setTimeout(() => {}, 60_000)"],
  } as const;
  const late = await device.runAsUser(account, waits, 200);
  assert.ok(late.timedOut && late.code !== 0, "it is ended in time");
  const other = { ...account, uid: "S-1-5-21-1-2-3-1001" };
  await assert.rejects(device.runAsUser(other, program, 60_000), { code: "not-logged-on" });
  // It lives in its session, and is told by its channel.
  const { signal } = new AbortController();
  assert.equal(await device.startUserAgent(account, program, signal), undefined);
});

Deno.test("a user's session has one resident user-agent", () => {
  const user = windowsUser(undefined);
  assert.equal(user.claimResidence?.(), true);
  assert.equal(windowsUser(undefined).claimResidence?.(), false);
});

Deno.test("what the stores hold is told, and a root that vouches for web sites is told apart", async () => {
  const [store] = await windowsUser(undefined).inspectStores(1000);
  assert.equal(store?.exists, true);
  assert.equal(store?.problem, undefined);
  assert.ok(store?.certificates.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256)));
  assert.ok(store?.certificates.some(({ trusted }) => trusted));
});

Deno.test("under a root the stores are in memory, which the report says", () => {
  const root = "C:\\nowhere";
  const store = windowsUser(root).openStore({
    create: true,
    brand: "JumpCloud",
    macosApplications: [],
    created: [],
    publicKeys: () => [],
    recordPath() {},
  });
  assert.equal(store.kind, "memory");
  store.close();
  const device = windowsDevice(root);
  assert.deepEqual([device.openDeviceStore, device.service, device.privileged], [
    undefined,
    undefined,
    false,
  ]);
  assert.deepEqual(device.inspectFilters({ brand: "X", patterns: ["https://a.example"] }), []);
});

Deno.test("50 rounds of everything hold no handle and no memory of Windows", async () => {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-rounds-" });
  const { held, taken } = calls();
  try {
    for (let round = 0; round < 50; round++) {
      const ledger = new ScratchLedger();
      const world = { registry, announce() {} };
      writeFilters({ brand: "JumpCloud", patterns: ["https://a.example"] }, ledger, world);
      removeFilters(ledger, world);
      lookUpAccount(name, registry);
      findRunningBrowsers();
      ensureFolder(`${folder}\\private`, DESCRIPTORS.private, "ours");
      readUserFile(`${folder}\\gone`, 9);
      await Deno.writeTextFile(`${folder}\\here`, "hello");
      readUserFile(`${folder}\\here`, 9);
    }
    assert.deepEqual(calls().held, held);
    assert.ok(calls().taken > taken + 50 * 20);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
