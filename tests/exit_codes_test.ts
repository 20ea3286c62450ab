/** The exit codes of DESIGN section 7, from real processes, and what `--json` prints with them. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { selfProgram } from "../agent/self_program.ts";
import { PROBLEM_CODES } from "../platform/errors.ts";
import { homeOf, inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import {
  driveDevice,
  type Outcome,
  programFromSource,
  runProgram,
  startMockServer,
} from "./product.ts";
import { until } from "./until.ts";
import { testWith } from "./skip.ts";

const Time = z.iso.datetime();
const LastError = z.strictObject({ code: z.enum(PROBLEM_CODES), message: z.string().min(1) });

const USER_STATES = [
  "absent",
  "waiting",
  "requesting",
  "installed",
  "renewing",
  "removing",
  "removed",
  "failed",
] as const;

/** `status --json`: these keys, no more and no less. */
const StatusJson = z.strictObject({
  device: z.strictObject({
    id: z.uuid().nullable(),
    server: z.string().nullable(),
    enrolled: z.boolean(),
  }),
  distribution: z.strictObject({
    enabled: z.boolean(),
    version: z.string().nullable(),
    lastSync: Time.nullable(),
  }),
  users: z.array(z.strictObject({
    userId: z.uuid(),
    username: z.string(),
    state: z.enum(USER_STATES),
    serial: z.string().regex(/^[0-9a-f]+$/).nullable(),
    leafName: z.string().nullable(),
    notAfter: Time.nullable(),
    renewAt: Time.nullable(),
    store: z.strictObject({ kind: z.string(), location: z.string() }).nullable(),
    filters: z.array(z.strictObject({
      browser: z.string(),
      location: z.string(),
      state: z.enum(["ok", "shadowed", "missing", "managed-elsewhere"]),
    })),
    lastError: LastError.nullable(),
  })),
  agent: z.strictObject({
    running: z.boolean(),
    pid: z.int().nullable(),
    version: z.string(),
  }),
});

/** `doctor --json`. */
const DoctorJson = z.strictObject({
  checks: z.array(
    z.strictObject({ id: z.string(), ok: z.boolean(), detail: z.string(), fix: z.string() }),
  ).min(1),
});

/** A device's commands, which end with the code that is expected. */
class Commands {
  constructor(readonly root: string) {}

  async expect(code: number, ...args: string[]): Promise<Outcome> {
    const outcome = await runProgram(programFromSource(this.root), args);
    assert.equal(outcome.code, code, `${args.join(" ")}: ${outcome.out}${outcome.err}`);
    return outcome;
  }

  async status(code: number): Promise<z.infer<typeof StatusJson>> {
    const { out } = await this.expect(code, "status", "--json");
    await this.expect(code, "status");
    return StatusJson.parse(JSON.parse(out));
  }

  /** What is wrong, by id. */
  async doctor(code: number): Promise<string[]> {
    const { out } = await this.expect(code, "doctor", "--json");
    const { checks } = DoctorJson.parse(JSON.parse(out));
    for (const { id, ok, fix } of checks) assert.ok(ok || fix !== "", `${id} says what to do`);
    return checks.filter(({ ok }) => !ok).map(({ id }) => id);
  }

  /** `user-agent --once` as somebody's session would start it. */
  async userAgent(name: string, uid: string): Promise<number> {
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const { argv: [command, ...args], env } = selfProgram(this.root, main);
    const { code } = await new Deno.Command(command, {
      args: [...args, "user-agent", "--once"],
      env: { ...env, HOME: homeOf(this.root, name), USER: name, DEVICE_TRUST_UID: uid },
    }).output();
    return code;
  }
}

Deno.test("not enrolled: 3 from all that need an enrolled device, before any failure", () =>
  inPassableFolder(async (folder) => {
    const commands = new Commands(`${folder}/device`);
    const { device, users, agent } = await commands.status(3);
    assert.deepEqual(device, { id: null, server: null, enrolled: false });
    assert.deepEqual({ users, running: agent.running }, { users: [], running: false });
    assert.deepEqual(await commands.doctor(3), ["enrolled"]);
    await commands.expect(3, "events");
    await commands.expect(3, "events", "--json");
    await commands.expect(3, "agent", "--once");
    await commands.expect(3, "unenroll");
    assert.equal(await commands.userAgent("alice", "1000"), 1, "there is no agent to ask");

    await using waiting = driveDevice(programFromSource(commands.root));
    const pid = waiting.startAgent();
    await until("the agent waits", () => waiting.log().includes("device.not-enrolled"));
    assert.deepEqual((await commands.status(3)).agent.pid, pid);
    await commands.expect(3, "agent", "--once");
    await commands.expect(3, "unenroll");
    await commands.expect(1, "agent");
  }));

Deno.test("a state of a newer version: 1 from every command, and the state is untouched", () =>
  inPassableFolder(async (folder) => {
    const commands = new Commands(`${folder}/device`);
    await commands.expect(3, "agent", "--once");
    const path = `${commands.root}/var/lib/device-trust/state.db`;
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    const before = await Deno.readFile(path);
    const enroll = ["enroll", "--server", "https://localhost", "--connect-key", "k"];
    for (
      const args of [
        ...[enroll, ["agent", "--once"], ["status"], ["status", "--watch"], ["events"], ["doctor"]],
        ...[["unenroll"], ["agent"]],
      ]
    ) {
      const { err } = await commands.expect(1, ...args);
      assert.match(err, /its version is 99 and this program knows versions up to \d+/);
    }
    assert.deepEqual(await Deno.readFile(path), before);
  }));

Deno.test("enrolled: 0, 4 when a user is not served, 1 when the server is out of reach", () =>
  inPassableFolder(async (folder) => {
    const commands = new Commands(`${folder}/device`);
    await makeDeviceRoot(commands.root, []);
    const device = driveDevice(programFromSource(commands.root));
    const server = await startMockServer(programFromSource(), `${folder}/server`);
    try {
      const id = await device.enroll(server);
      const before = await commands.status(0);
      assert.deepEqual(before.device, { id, server: server.agentUrl, enrolled: true });
      assert.deepEqual(before.distribution, { enabled: false, version: null, lastSync: null });
      await commands.expect(0, "agent", "--once");
      await commands.expect(0, "events", "--since", "1h");
      await commands.expect(2, "events", "--since", "1x");
      await commands.expect(4, "doctor", "--bundle", `${folder}/support.tar.gz`);
      await commands.expect(1, "doctor", "--bundle", `${folder}/support.tar.gz`);
      const { distribution, agent } = await commands.status(0);
      assert.ok(distribution.version !== null && distribution.lastSync !== null);
      assert.deepEqual({ running: agent.running, pid: agent.pid }, { running: false, pid: null });
      assert.deepEqual(await commands.doctor(4), ["agent"]);

      await server.bind(id, "nobody-here");
      await server.distribute(true);
      await commands.expect(4, "agent", "--once");
      const [user] = (await commands.status(4)).users;
      assert.deepEqual([user?.state, user?.lastError?.code], ["failed", "no-local-account"]);
    } finally {
      await server[Symbol.asyncDispose]();
    }
    await commands.expect(1, "agent", "--once");
    await commands.status(4);
    assert.ok((await commands.doctor(4)).includes("server"));
  }));

testWith(
  ["libnss3"],
  "with a leaf: 0, and 4 as long as a home is away, until it is clean",
  () =>
    inPassableFolder(async (folder) => {
      const commands = new Commands(`${folder}/device`);
      await makeDeviceRoot(commands.root, ["alice"]);
      const home = homeOf(commands.root, "alice");
      await using server = await startMockServer(programFromSource(), `${folder}/server`);
      await using device = driveDevice(programFromSource(commands.root));
      await server.bind(await device.enroll(server), "alice");
      await server.distribute(true);
      await commands.expect(0, "agent", "--once");
      const stopped = await commands.status(0);
      const pid = device.startAgent();
      await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
      await until("the agent is seen", async () => (await device.status()).agent.running);

      const { agent, users: [user], distribution } = await commands.status(0);
      assert.deepEqual({ running: agent.running, pid: agent.pid }, { running: true, pid });
      assert.equal(distribution.enabled, true);
      assert.deepEqual(user, stopped.users[0], "the same is seen with the agent stopped");
      assert.match(user?.leafName ?? "", /^JumpCloud Device Trust Certificate - [0-9a-f]{8}$/);
      assert.deepEqual(user?.store, { kind: "nssdb", location: `${home}/.pki/nssdb` });
      assert.ok(user?.serial && user.notAfter && user.renewAt && user.renewAt < user.notAfter);
      assert.ok(user.filters.length > 0 && user.filters.every(({ state }) => state === "ok"));
      assert.deepEqual(await commands.doctor(0), []);
      const [uid] = [...Deno.readDirSync(`${commands.root}/run/device-trust/users`)]
        .map(({ name }) => name);
      assert.ok(uid);
      assert.equal(await commands.userAgent("alice", uid), 0);

      await Deno.rename(home, `${home}-away`);
      assert.equal(await commands.userAgent("alice", uid), 4);
      assert.match((await commands.expect(4, "unenroll")).err, /^alice: The home .* is not there/m);
      const [left] = (await commands.status(4)).users;
      assert.deepEqual([left?.state, left?.lastError?.code], ["removing", "home-missing"]);

      await Deno.rename(`${home}-away`, home);
      await commands.expect(0, "unenroll");
      await commands.status(3);
      const { events } = JSON.parse((await commands.expect(3, "events", "--json")).out);
      assert.equal(events.at(-1).type, "device.left", "the log outlives the enrolment");
    }),
);

Deno.test("mock-server: 0 when it is told to end, 1 when it cannot run, without a stack", () =>
  inPassableFolder(async (folder) => {
    const [executable, ...first] = programFromSource();
    const ports = ["--listen", "localhost:0", "--portal", "localhost:0"];
    const child = new Deno.Command(executable, {
      args: [...first, "mock-server", ...ports, "--data", `${folder}/server`],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = await reader.read();
    assert.match(value, /^agent server https:\/\/localhost:\d+\nportal https:\/\/localhost:\d+\n$/);
    const port = /:(\d+)\n/.exec(value)?.[1];
    const run = (...args: string[]) => runProgram(programFromSource(), ["mock-server", ...args]);
    const taken = await run("--listen", `localhost:${port}`, "--data", `${folder}/second`);
    assert.equal(taken.code, 1);
    assert.match(taken.err, /address already in use 127\.0\.0\.1:/);
    await Deno.writeTextFile(`${folder}/file`, "");
    const noFolder = await run(...ports, "--data", `${folder}/file`);
    assert.equal(noFolder.code, 1);
    const otherBrand = await run(...ports, "--data", `${folder}/server`, "--brand", "Other");
    assert.equal(otherBrand.code, 1);
    for (const { err } of [taken, noFolder, otherBrand]) assert.doesNotMatch(err, /^ +at /m);
    child.kill("SIGTERM");
    assert.equal((await child.status).code, 0);
    await reader.cancel();
  }));
