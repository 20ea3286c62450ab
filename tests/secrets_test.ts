/** No secret leaves its place, through a whole life and through failures (DESIGN invariant 4). */
import assert from "node:assert/strict";
import { databaseOf, inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import { DistortedServer } from "./distorted_server.ts";
import { badAnswers, NO_JSON } from "./hostile_answers.ts";
import { hostileBundles } from "./hostile_bundles.ts";
import { NSS_WITNESSES } from "./nss_witness.ts";
import { driveDevice, startMockServer } from "./product.ts";
import { SecretRun } from "./secret_run.ts";
import { secretText } from "./secret_search.ts";
import { testWith } from "./skip.ts";

const DEVICE_KEY = "var/lib/device-trust/device.key";

testWith(
  NSS_WITNESSES,
  "no secret leaves its place, from enrolment to unenrolment and when things go wrong",
  async (t) => {
    await inPassableFolder(async (folder) => {
      await using secrets = new SecretRun(folder, ["device", "server", "second", "other-server"]);
      await t.step("a whole life", () => wholeLife(secrets));
      await t.step("failures of the agent", () => failuresOfTheAgent(secrets));
      await t.step("failures of the server", () => failuresOfTheServer(secrets));
      await t.step("every kind of process was seen, with its environment", () => {
        const places = secrets.evidence.places();
        for (const command of COMMANDS) {
          for (const what of [`argv of ${command}`, `environment of ${command}`]) {
            assert.ok(places.includes(what), what);
          }
        }
      });
      await t.step("no secret was to be seen", () => secrets.expectSecretsInPlace());
    });
  },
);

/** Commands of this product that the run has processes of. */
const COMMANDS = ["mock-server", "enroll", "agent-prepare", "agent", "agent-worker", "user-agent"]
  .concat("status", "doctor", "agent-inspect", "unenroll");

async function wholeLife(secrets: SecretRun): Promise<void> {
  const server = await startMockServer(
    secrets.program("server", undefined, "to file"),
    secrets.path("server"),
  );
  await using _server = server;
  await secrets.keepServerKeys("server");
  secrets.keep(secretText("admin token", server.adminToken), "server/server.json");
  secrets.keep(secretText("first connect key", server.connectKey), "server/server.json");
  const { connectKey } = Object(await server.admin("POST", "/connect-keys", {}));
  secrets.keep(secretText("connect key that was made", connectKey));

  const root = secrets.path("device");
  await makeDeviceRoot(root, ["alice", "bob"]);
  const program = secrets.program("device", root);
  const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
  const enrolment = ["enroll", ...where, "--connect-key-file", "-"];
  assert.equal((await secrets.command(program, enrolment, `${connectKey}\n`)).code, 0);
  await secrets.keepKey("device key", `device/${DEVICE_KEY}`);
  {
    await using device = driveDevice(program);
    device.startAgent();
    const deviceId = (await device.status()).device.id ?? "";
    await server.bind(deviceId, "alice");
    await server.distribute(true);
    await device.untilUsers("alice has a leaf", ({ state }) => state === "installed");
    await server.admin("PUT", "/settings", { keyAlgorithm: "RSA-2048" });
    await server.bind(deviceId, "bob");
    await device.untilUsers("bob has one, too", ({ state }) => state === "installed", ["bob"]);
    for (const name of ["alice", "bob"]) {
      assert.equal(await secrets.keepLeafKeys(databaseOf(root, name)), 1);
    }
    const looks = [["status"], ["status", "--json"], ["events"], ["doctor"], ["doctor", "--json"]];
    for (const args of looks) {
      await secrets.command(program, args);
    }
    secrets.hear(device);
  }
  // Looks at every store again.
  assert.equal((await secrets.command(program, ["agent", "--once"])).code, 0);

  await using device = driveDevice(program);
  device.startAgent();
  const serial = (user: { serial: string | null }) => user.serial;
  const [old] = (await device.status()).users.map(serial);
  await server.admin("POST", `/certificates/${old}/revoke`, {});
  await device.untilUsers(
    "alice has another leaf",
    (user) => user.state === "installed" && serial(user) !== old,
    ["alice"],
  );
  assert.equal(await secrets.keepLeafKeys(databaseOf(root, "alice")), 1);
  await server.distribute(false);
  await device.untilUsers("nobody has a leaf", ({ state }) => state === "removed");
  secrets.hear(device);
  assert.equal((await secrets.command(program, ["unenroll"])).code, 0);
  secrets.hear(device);
}

async function failuresOfTheAgent(secrets: SecretRun): Promise<void> {
  await using server = await DistortedServer.start(secrets.path("other-server"));
  await secrets.keepServerKeys("other-server");
  const { adminToken, connectKey } = server.server;
  secrets.keep(secretText("other admin token", adminToken), "other-server/server.json");
  secrets.keep(secretText("other connect key", connectKey), "other-server/server.json");
  const root = secrets.path("second");
  await makeDeviceRoot(root, ["alice"]);
  const program = secrets.program("second", root);
  const round = () => secrets.command(program, ["agent", "--once"]);

  const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
  const enrolment = ["enroll", ...where, "--connect-key-file", "-"];
  const wrong = crypto.randomUUID();
  secrets.keep(secretText("wrong connect key", wrong));
  assert.equal((await secrets.command(program, enrolment, wrong)).code, 1);
  for (const { answer } of [...badAnswers(server.agentUrl).answers.slice(0, 6), ...NO_JSON]) {
    using _bad = server.distort("enrollment", answer);
    assert.equal((await secrets.command(program, enrolment, connectKey)).code, 1);
  }
  assert.equal((await secrets.command(program, enrolment, connectKey)).code, 0);
  await secrets.keepKey("device key", `second/${DEVICE_KEY}`);

  await server.administrator.distribute(true);
  const { out } = await secrets.command(program, ["status", "--json"]);
  await server.administrator.bind(JSON.parse(out).device.id, "alice");
  const { authority } = server.server.context;
  for (const { answer } of await hostileBundles(authority, secrets.path("strangers"))) {
    using _bad = server.distort("certificates", answer);
    assert.equal((await round()).code, 4);
  }
  assert.equal((await round()).code, 0);
  assert.equal(await secrets.keepLeafKeys(databaseOf(root, "alice")), 1);

  // A key that cannot be used, and what is said of it.
  const file = `${root}/${DEVICE_KEY}`;
  const pem = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, pem.replace("BEGIN PRIVATE KEY-----", "BEGIN PRIVATE KEY-----AA"));
  for (const args of [["agent", "--once"], ["status"], ["doctor"], ["unenroll"]]) {
    await secrets.command(program, args);
  }
  await Deno.writeTextFile(file, pem);
  await server.vanish();
  await round();
  await secrets.command(program, ["unenroll"]);
}

/** A copy of a server's data, damaged where its secrets are: it does not start, and says why. */
async function failuresOfTheServer(secrets: SecretRun): Promise<void> {
  const damages: [string, string, string][] = [
    ["server.json", '"adminToken": "', '"adminToken": '],
    ["server.json", '"connectKey"', '"connect'],
    ["ca/1/intermediate.key", "KEY-----", "KEY-----AA"],
  ];
  for (const [file, whole, damaged] of damages) {
    // Not under watch, because every secret of the server is in it again.
    const data = await Deno.makeTempDir({ dir: secrets.folder, prefix: "damaged-" });
    await new Deno.Command("cp", { args: ["-r", `${secrets.path("server")}/.`, data] }).output();
    const text = await Deno.readTextFile(`${data}/${file}`);
    assert.ok(text.includes(whole), file);
    await Deno.writeTextFile(`${data}/${file}`, text.replace(whole, damaged));
    const ports = ["--listen=localhost:0", "--portal=localhost:0"];
    const { code, err } = await secrets.command(
      // Should it start all the same, it ends with the test.
      ["/usr/bin/timeout", "60", ...secrets.program("damaged")],
      ["mock-server", ...ports, `--data=${data}`],
    );
    assert.equal(code, 1, `${file}: ${err}`);
  }
}
