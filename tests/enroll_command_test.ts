/** `enroll` as an administrator, or a deployment tool, runs it: again, at once, with wrong keys. */
import assert from "node:assert/strict";
import { inPassableFolder } from "./device_root.ts";
import {
  type DrivenServer,
  type Outcome,
  type Program,
  programFromSource,
  runProgram,
  startMockServer,
} from "./product.ts";

const ENROLLED = /^Enrolled as ([0-9a-f-]{36})\.\n$/;
const ALREADY = /^Already enrolled as ([0-9a-f-]{36})\.\n$/;

/** A server, and a folder of its own for each device. */
async function withServer(
  test: (server: DrivenServer, newDevice: () => Program, folder: string) => Promise<void>,
): Promise<void> {
  await inPassableFolder(async (folder) => {
    await using server = await startMockServer(programFromSource(), `${folder}/server`);
    let count = 0;
    await test(server, () => programFromSource(`${folder}/device-${++count}`), folder);
  });
}

function enroll(
  server: DrivenServer,
  device: Program,
  args: readonly string[],
  input?: string,
): Promise<Outcome> {
  const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
  return runProgram(device, ["enroll", ...where, ...args], input);
}

/** The deviceId that a successful `enroll` prints. */
function idIn({ code, out, err }: Outcome, form: RegExp): string {
  assert.equal(code, 0, err);
  const id = form.exec(out)?.[1];
  assert.ok(id !== undefined, out);
  return id;
}

Deno.test("the connect key comes from a file, from standard input or from the command line", () =>
  withServer(async (server, newDevice, folder) => {
    const key = server.connectKey;
    await Deno.writeTextFile(`${folder}/key`, `\n ${key} \n`, { mode: 0o600 });
    const ids = [
      idIn(await enroll(server, newDevice(), ["--connect-key-file", `${folder}/key`]), ENROLLED),
      idIn(await enroll(server, newDevice(), ["--connect-key-file", "-"], `${key}\n`), ENROLLED),
      idIn(await enroll(server, newDevice(), ["--connect-key", key]), ENROLLED),
    ];
    assert.equal(new Set(ids).size, 3);
  }));

Deno.test("enrolled there already is 0 and the same device, whatever became of the key", () =>
  withServer(async (server, newDevice, folder) => {
    const device = newDevice();
    const id = idIn(await enroll(server, device, ["--connect-key", server.connectKey]), ENROLLED);
    for (
      const args of [
        ["--connect-key", server.connectKey],
        ["--connect-key", "long used up"],
        ["--connect-key-file", `${folder}/deleted-after-use`],
      ]
    ) assert.equal(idIn(await enroll(server, device, args), ALREADY), id);
    const slash = ["--server", `${server.agentUrl}/`, "--connect-key", "k"];
    assert.equal(idIn(await runProgram(device, ["enroll", ...slash]), ALREADY), id);
    assert.equal(await countDevices(server), 1);
  }));

Deno.test("enrolled elsewhere is 1, names both servers and the way out, and changes nothing", () =>
  withServer(async (server, newDevice) => {
    const device = newDevice();
    const id = idIn(await enroll(server, device, ["--connect-key", server.connectKey]), ENROLLED);
    const elsewhere = ["--server", "https://elsewhere.example", "--connect-key", "k"];
    const { code, out, err } = await runProgram(device, ["enroll", ...elsewhere]);
    assert.deepEqual({ code, out }, { code: 1, out: "" });
    assert.ok(err.includes(server.agentUrl) && err.includes("https://elsewhere.example"), err);
    assert.match(err, /device-trust unenroll/);
    assert.equal(idIn(await enroll(server, device, ["--connect-key", "k"]), ALREADY), id);
    // A mistake in the call comes before what the call would have found.
    const mistake = ["enroll", "--server", "http://elsewhere.example", "--connect-key", "k"];
    assert.equal((await runProgram(device, mistake)).code, 2);
  }));

Deno.test("a wrong and a used-up connect key are 1, say so without it, and the next one works", () =>
  withServer(async (server, newDevice) => {
    const once = await newConnectKey(server, { maxUses: 1 });
    idIn(await enroll(server, newDevice(), ["--connect-key", once]), ENROLLED);
    const device = newDevice();
    for (const key of ["wrong-key-of-somebody", once]) {
      const { code, out, err } = await enroll(server, device, ["--connect-key", key]);
      assert.deepEqual({ code, out }, { code: 1, out: "" });
      assert.match(err, /connect key is wrong, used up or expired\. Ask the administrator/);
      assert.ok(!err.includes(key), "the key is in no message");
    }
    const status = await runProgram(device, ["status", "--json"]);
    assert.equal(status.code, 3);
    idIn(await enroll(server, device, ["--connect-key", server.connectKey]), ENROLLED);
  }));

Deno.test("a server that cannot be reached or believed is 1, with the reason and no stack", () =>
  withServer(async (server, newDevice) => {
    const device = newDevice();
    const distrusted = ["enroll", "--server", server.agentUrl, "--connect-key", server.connectKey];
    const nobody = ["enroll", "--server", `https://localhost:${freePort()}`, "--connect-key", "k"];
    for (const [args, reason] of [[distrusted, /certificate/], [nobody, /refused/]] as const) {
      const { code, out, err } = await runProgram(device, args);
      assert.deepEqual({ code, out }, { code: 1, out: "" }, err);
      assert.match(err, reason);
      assert.match(err, /^device-trust: Cannot reach the agent server at https:\/\/localhost:/);
      assert.equal(err.trimEnd().split("\n").length, 1, "told once");
    }
    idIn(await enroll(server, device, ["--connect-key", server.connectKey]), ENROLLED);
  }));

Deno.test("several at once enrol one device", () =>
  withServer(async (server, newDevice) => {
    const device = newDevice();
    const outcomes = await Promise.all(
      Array.from({ length: 3 }, () => enroll(server, device, ["--connect-key", server.connectKey])),
    );
    const ids = outcomes.map((outcome) => idIn(outcome, /nrolled as ([0-9a-f-]{36})\.\n$/));
    assert.equal(new Set(ids).size, 1, "one id");
    assert.equal(await countDevices(server), 1);
    const round = await runProgram(device, ["agent", "--once"]);
    assert.equal(round.code, 0, `the key on disk is the one that was registered: ${round.err}`);
  }));

async function newConnectKey(server: DrivenServer, body: { maxUses: number }): Promise<string> {
  const answer = await server.admin("POST", "/connect-keys", body);
  assert.ok(typeof answer === "object" && answer !== null && "connectKey" in answer);
  return String(answer.connectKey);
}

async function countDevices(server: DrivenServer): Promise<number> {
  const answer = await server.admin("GET", "/devices");
  assert.ok(typeof answer === "object" && answer !== null && "items" in answer);
  assert.ok(Array.isArray(answer.items));
  return answer.items.length;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
