/**
 * A Windows device from enrolment to its end (tests/windows_job_test.ts): the real program, its agent
 * and the user-agent of this session, the stores and the registry of this Windows.
 */
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import { lockHolder } from "../agent/lock.ts";
import type { UserStatus } from "../agent/status.ts";
import { ServerFile } from "../mock_server/server_file.ts";
import { systemPaths, userPaths } from "../platform/paths.ts";
import { isThere } from "../platform/presence.ts";
import { askWitness, whatIsLeft } from "./certstore_places.ts";
import { administer, driveDevice, type Program, runProgram } from "./product.ts";
import { until } from "./until.ts";

const PROGRAM: Program = [
  Deno.execPath(),
  ...["run", "-A", "--quiet", "--no-prompt", `${Deno.cwd()}\\device-trust.js`],
];
const LEAVES = { of: "user", name: "MY" } as const;
const INTERMEDIATES = { of: "user", name: "CA" } as const;
const INTERMEDIATE = "device-trust.intermediate";
const POLICIES = "HKLM\\SOFTWARE\\Policies";

const told: unknown = JSON.parse(await Deno.readTextFile("server.json"));
const server = ServerFile.parse(told);
const terminatorPort = String(Object(told).terminatorPort);
const username = Deno.env.get("USERNAME") ?? "";
const env = Deno.env.toObject();
const paths = systemPaths({ os: "windows", env });
const { stateDir } = userPaths({ os: "windows", home: env.USERPROFILE ?? "", env });

const before = await everything();
const administrator = await administer(server);
const device = driveDevice(PROGRAM);
let userAgent: Deno.ChildProcess | undefined;
let first: UserStatus;

Deno.test("it enrols, and its agent waits for who logs on", async () => {
  const deviceId = await device.enroll(server);
  await administrator.admin("PUT", "/settings", { keyAlgorithm: "RSA-2048" });
  await administrator.bind(deviceId, username);
  await administrator.distribute(true);
  device.startAgent();
  await device.untilUsers("the user is waited for", ({ state }) => state === "waiting");
  assert.equal((await user()).lastError?.code, "not-logged-on");
});

Deno.test("who logs on has a leaf in the store, whose key signs and stays inside", async () => {
  userAgent = startUserAgent();
  await device.untilUsers("the leaf is installed", ({ state }) => state === "installed");
  first = await user();
  const digest = createHash("sha256").update("witnessed").digest();
  const leaf = await askWitness(LEAVES, first.leafName ?? "", digest.toString("hex"));
  assert.equal(leaf.exportable, "0");
  const certificate = new X509Certificate(Buffer.from(leaf.der ?? "", "hex"));
  assert.equal(certificate.serialNumber.toLowerCase().padStart(32, "0"), first.serial);
  const key = createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }));
  const signature = Buffer.from(leaf.signature ?? "", "hex");
  assert.ok(verify("sha256", Buffer.from("witnessed"), key, signature));
  assert.ok((await askWitness(INTERMEDIATES, INTERMEDIATE)).der);
  assert.deepEqual(first.filters.map(({ state }) => state), ["ok", "ok"]);
  assert.match(await registry(POLICIES), /AutoSelectCertificateForUrls[^]*device-trust\.interm/);
});

Deno.test("the portal takes a TLS connection that this key signed for as the device's", async () => {
  const answer = await challenge(first.leafName ?? "");
  assert.equal(answer.reason, "ok", JSON.stringify(answer));
  assert.equal(answer.managed, true);
  assert.equal(answer.serial, first.serial);
  assert.equal((await challenge("")).reason, "no-certificate");
});

Deno.test("at rest there is no worker, and a user-agent that waits", untilAtRest);

Deno.test("an administrator's command renews the leaf, and the elder stays beside it", async () => {
  const { code, out, err } = await runProgram(PROGRAM, ["renew"]);
  assert.equal(code, 0, `${out}${err}${device.log()}`);
  const renewed = await user();
  assert.notEqual(renewed.serial, first.serial);
  assert.match(out, new RegExp(`renewed, serial ${renewed.serial}`));
  for (const { leafName } of [first, renewed]) {
    assert.ok((await askWitness(LEAVES, leafName ?? "")).der, `${leafName} is there`);
  }
});

Deno.test("with the agent killed, a command has the user-agent that waits do the same", async () => {
  await untilAtRest();
  await device[Symbol.asyncDispose]();
  const known = (await user()).serial;
  const { code, out, err } = await runProgram(PROGRAM, ["renew"]);
  assert.equal(code, 0, `${out}${err}`);
  assert.notEqual((await user()).serial, known);
});

Deno.test("started anew, the agent goes on; the user-agent need not notice", async () => {
  device.startAgent();
  const known = (await user()).serial;
  const { code, out, err } = await runProgram(PROGRAM, ["renew"]);
  assert.equal(code, 0, `${out}${err}${device.log()}`);
  assert.notEqual((await user()).serial, known);
});

Deno.test("OFF removes all of it at once", async () => {
  await administrator.distribute(false);
  await device.untilUsers("it is removed", ({ state }) => state === "removed");
  assert.equal((await challenge("")).reason, "distribution-off");
  await until("what was there before is there", async () => await everything() === before);
});

Deno.test("who has left leaves nothing", async () => {
  await administrator.distribute(true);
  await device.untilUsers("it is there again", ({ state }) => state === "installed");
  await device.unenroll();
  assert.equal(await everything(), before);
  await until("the channel is gone", () => [...Deno.readDirSync(paths.usersRunDir)].length === 0);
  assert.deepEqual([...Deno.readDirSync(`${paths.control}\\out`)], []);
  assert.ok(!isThere(`${paths.stateDir}\\device.key`));
  assert.ok(!isThere(stateDir), "not even the ledger's folder is left");
  await end();
});

async function end(): Promise<void> {
  userAgent?.kill();
  await userAgent?.status;
  userAgent = undefined;
  await device[Symbol.asyncDispose]();
  administrator[Symbol.dispose]();
}

function startUserAgent(): Deno.ChildProcess {
  const [executable, ...first] = PROGRAM;
  const args = [...first, "user-agent"];
  return new Deno.Command(executable, { args, stdin: "null", stdout: "null" }).spawn();
}

async function user(): Promise<UserStatus> {
  const [user] = (await device.status()).users;
  assert.ok(user);
  return user;
}

/** What the portal says to a TLS client that presents the leaf of this name, or none. */
async function challenge(leafName: string) {
  const { hostname } = new URL(server.portalUrl);
  const path = `/challenge?user=${username}@example.com&resource=mail`;
  const witness = ".\\portal_witness.exe";
  const { code, out, err } = await runProgram(
    [witness],
    [hostname, terminatorPort, path, leafName],
  );
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

/** Certificates, keys and policies of this user and this computer, as other programs read them. */
async function everything(): Promise<string> {
  const lines = `${await whatIsLeft()}\n${await registry(POLICIES)}`.split(/\r?\n/);
  // Windows makes the empty keys of a store when it is first opened.
  const things = /\\Certificates\\|\\RSA\\|\\Policies\\|REG_/;
  return lines.filter((line) => things.test(line)).join("\n");
}

async function registry(key: string): Promise<string> {
  return (await runProgram(["reg"], ["query", key, "/s"])).out;
}

async function untilAtRest(): Promise<void> {
  const waits = () => {
    const [folder] = Deno.readDirSync(paths.usersRunDir);
    return isThere(`${paths.usersRunDir}\\${folder?.name}\\in\\question.json`);
  };
  await until("no worker runs, and the user-agent waits", () => {
    return !lockHolder(`${paths.stateDir}\\worker.lock`) && waits();
  });
}
