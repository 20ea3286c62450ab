/** The one binary: made as `deno task compile` makes it, and taken through its whole life. */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { compile } from "../platform/linux/package/build.ts";
import { CAN_COMPILE, FOR_THIS_MACHINE } from "./built_packages.ts";
import { bundleOf, storeContents } from "./store_contents.ts";
import {
  driveDevice,
  type Program,
  programFromSource,
  runProgram,
  startMockServer,
} from "./product.ts";
import { testWith } from "./skip.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

testWith(
  ["libnss3", "certutil", CAN_COMPILE],
  "the compiled binary lives its whole life",
  async (t) => {
    const folder = await Deno.makeTempDir({ prefix: "device-trust-binary-" });
    // Accounts of their own must be able to reach their homes and the binary.
    await Deno.chmod(folder, 0o711);
    const binary = `${folder}/device-trust-${crypto.randomUUID()}`;
    await using traps = await setTraps(binary, `${folder}/caught`);
    try {
      await t.step("it compiles", () => compile(ROOT, FOR_THIS_MACHINE, binary));
      await t.step("it says what it is", () => tellsAboutItself([binary], folder));
      for (const mode of ["agent", "agent --once"] as const) {
        await t.step(`enrol, ON, OFF, unenroll: ${mode}`, () => wholeLife(binary, mode, folder));
      }
      await t.step("it runs nothing from the temporary folder", () => traps.expectUntouched());
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function tellsAboutItself(binary: Program, folder: string): Promise<void> {
  assert.deepEqual(await runProgram(binary, ["--version"]), {
    code: 0,
    out: `${config.version}\n`,
    err: "",
  });
  const help = await runProgram(binary, ["--help"]);
  assert.equal(help.code, 0);
  for (const command of ["enroll", "agent", "user-agent", "status", "doctor", "mock-server"]) {
    assert.match(help.out, new RegExp(`^ +${command}\\b`, "m"));
  }
  assert.equal((await runProgram(binary, ["no-such-command"])).code, 2);
  const nowhere = await runProgram([...binary, "--root", `${folder}/nowhere`], ["status"]);
  assert.equal(nowhere.code, 3, nowhere.err);
}

/** First of the accounts' uids: above those that systems give to people. */
const FIRST_UID = 61_101;
const NAMES = ["alice", "bob"] as const;

interface Account {
  name: string;
  home: string;
  uid: number;
}

/** From nothing to nothing, with a resident agent or by single rounds. */
async function wholeLife(binary: string, mode: "agent" | "agent --once", folder: string) {
  const root = `${folder}/${mode.replaceAll(" ", "")}`;
  const accounts = await makeAccounts(root);
  const program: Program = [binary, "--root", root];
  await using server = await startMockServer(programFromSource(), `${root}-server`);
  await using device = driveDevice(program);
  const round = async () => {
    if (mode === "agent") return;
    const { code, err } = await runProgram(program, ["agent", "--once"]);
    assert.equal(code, 0, err);
  };

  const deviceId = await device.enroll(server);
  for (const { name } of accounts) await server.bind(deviceId, name);
  if (mode === "agent") device.startAgent();
  await server.distribute(true);
  await round();
  await device.untilUsers("every user has a leaf", ({ state }) => state === "installed");
  const { agent, users } = await device.status();
  assert.equal(agent.running, mode === "agent");
  for (const { home, name } of accounts) {
    const user = users.find(({ username }) => username === name);
    assert.deepEqual(user?.store, { kind: "nssdb", location: `${home}/.pki/nssdb` });
    assert.deepEqual(await storeContents(home), bundleOf(user));
  }
  assert.ok(isThere(`${root}${FILTER}`), "the selection filter");
  if (mode === "agent") { for (const account of accounts) await runUserAgent(program, account); }

  await server.distribute(false);
  await round();
  await device.untilUsers("nobody has a leaf", ({ state }) => state === "removed");
  for (const { home } of accounts) {
    assert.deepEqual(await storeContents(home), { certificates: [], keys: 0 });
  }
  assert.ok(!isThere(`${root}${FILTER}`), "the selection filter");
  await device.unenroll();
  assert.equal((await device.status()).device.enrolled, false);
  for (const { home } of accounts) assert.ok(!isThere(`${home}/.pki`), "the database");
  assert.ok(!isThere(`${root}/var/lib/device-trust/device.key`), "the device key");
}

const FILTER = "/etc/opt/chrome/policies/managed/JumpCloudCertificateAutoselect.json";

/** The accounts of a device under `root`; theirs where root runs this, otherwise the caller's. */
async function makeAccounts(root: string): Promise<Account[]> {
  const isRoot = Deno.uid() === 0;
  const accounts = NAMES.map((name, index) => ({
    name,
    home: `${root}/home/${name}`,
    uid: FIRST_UID + index,
  }));
  for (const { home, uid } of accounts) {
    await Deno.mkdir(home, { recursive: true, mode: 0o755 });
    await Deno.chmod(home, 0o700);
    if (isRoot) await Deno.chown(home, uid, uid);
  }
  await Deno.mkdir(`${root}/etc`);
  const lines = accounts.map(({ name, uid }) => `${name}:x:${uid}:${uid}::/home/${name}:/bin/sh\n`);
  await Deno.writeTextFile(`${root}/etc/passwd`, lines.join(""));
  return accounts;
}

/** A run of the user-agent that nobody but its user started: there is nothing to do. */
async function runUserAgent([binary, ...global]: Program, { home, uid, name }: Account) {
  const { code, stderr } = await new Deno.Command(binary, {
    args: [...global, "user-agent", "--once"],
    clearEnv: true,
    env: { HOME: home, USER: name, DEVICE_TRUST_UID: `${uid}` },
    ...(Deno.uid() === 0 ? { uid, gid: uid } : {}),
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

interface Traps extends AsyncDisposable {
  expectUntouched(): void;
}

/**
 * A compiled program looks for every module that is not inside it in the shared temporary folder,
 * below a name that anybody can guess, where anybody may have put one. This puts one there for each
 * module of ours: it leaves a word in the file `caught` when it is run.
 */
async function setTraps(binary: string, caught: string): Promise<Traps> {
  const folder = `${dirname(dirname(binary))}/deno-compile-${basename(binary)}`;
  const trap = `Deno.writeTextFileSync(${
    JSON.stringify(caught)
  }, import.meta.url, {append: true});`;
  for (const module of modulesIn("")) {
    await Deno.mkdir(dirname(`${folder}/${module}`), { recursive: true });
    await Deno.writeTextFile(`${folder}/${module}`, trap);
  }
  await Deno.writeTextFile(caught, "");
  await Deno.chmod(caught, 0o666);
  return {
    expectUntouched: () => assert.equal(Deno.readTextFileSync(caught), ""),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Every module of the program, relative to the project. */
function modulesIn(folder: string): string[] {
  return [...Deno.readDirSync(ROOT + folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return folder || FOLDERS.has(name) ? modulesIn(`${folder}${name}/`) : [];
    return /\.tsx?$/.test(name) ? [folder + name] : [];
  });
}

const FOLDERS = new Set(["agent", "ca", "mock_server", "platform"]);
