/** What doctor_test.ts has told: a device with three users, seen by root and by a user. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { DEFAULT_BRAND, policyFileName } from "../ca/names.ts";
import { installProgram } from "./installed_program.ts";
import { leavesUntouched } from "./nss_witness.ts";
import {
  asUser,
  execute,
  executeAs,
  type LocalUser,
  makeUser,
  SCRATCH,
  tellStory,
} from "./private_root.ts";
import { driveDevice, type Outcome, runProgram, startMockServer } from "./product.ts";

const CHROME_POLICIES = "/etc/opt/chrome/policies/managed";

const Report = z.strictObject({
  checks: z.array(
    z.strictObject({ id: z.string(), ok: z.boolean(), detail: z.string(), fix: z.string() }),
  ),
});

await tellStory(async (step) => {
  const { program, alice, bob, server } = await step("a machine with two users", async () => {
    const program = await installProgram();
    const server = await startMockServer(program, `${SCRATCH}/server`);
    return { program, server, alice: await makeUser("dt-alice"), bob: await makeUser("dt-bob") };
  });
  const device = driveDevice(program);
  const asRoot = () => runProgram(program, ["doctor", "--json"]);
  const storeOf = (user: LocalUser) => `${user.home}/.pki/nssdb`;

  /** What is wrong, as `id: detail -> fix`. */
  function wrong({ out }: Outcome): string[] {
    return checksOf(out).filter(({ ok }) => !ok)
      .map(({ id, detail, fix }) => `${id}: ${detail} -> ${fix}`);
  }

  await step("before enrolment it says how to enrol, to root and to a user", async () => {
    const root = await asRoot();
    assert.equal(root.code, 3);
    assert.match(wrong(root)[0] ?? "", /^enrolled: .* -> device-trust enroll --server URL/);
    const user = await runAs(alice, program[0], ["doctor"]);
    assert.equal(user.code, 3);
  });

  await step("with everything in place every link holds, and nothing is changed", async () => {
    const deviceId = await device.enroll(server);
    for (const user of [alice, bob]) await server.bind(deviceId, user.name);
    await server.distribute(true);
    device.startAgent();
    await device.untilUsers("installed", ({ state }) => state === "installed");
    await leavesUntouched("/home", async () => {
      const outcome = await asRoot();
      assert.deepEqual(wrong(outcome), [], outcome.err);
      assert.equal(outcome.code, 0);
      const managed = checksOf(outcome.out).filter(({ id }) => id.startsWith("challenge:"));
      assert.equal(managed.length, 4, "two users, two patterns");
      for (const { detail } of managed) {
        assert.match(detail, /accepted leaf \w+ over TLSv1\.3: managed$/);
      }
    });
  });

  await step(
    "a user sees the own part, with the portal's authority trusted in the store",
    async () => {
      const before = await runAs(alice, program[0], ["doctor", "--json"]);
      assert.equal(before.code, 4);
      assert.match(
        wrong(before).join("\n"),
        /^challenge:dt-alice:[^\n]* is no authority that counts\. -> Browsers will warn/m,
      );
      const store = ["-d", `sql:${storeOf(alice)}`];
      const ca = `${SCRATCH}/server-ca.pem`;
      await Deno.copyFile(server.serverCa, ca);
      await Deno.chmod(ca, 0o644);
      await executeAs(alice, "certutil", "-A", ...store, "-n", "portal", "-t", "C,,", "-i", ca);
      const outcome = await runAs(alice, program[0], ["doctor", "--json"]);
      assert.deepEqual(wrong(outcome), []);
      assert.equal(outcome.code, 0);
      const checks = checksOf(outcome.out);
      assert.equal(checks.filter(({ id }) => id.startsWith("challenge:")).length, 2);
      assert.ok(!checks.some(({ id }) => id.endsWith("dt-bob")), "the others' part is not shown");
      assert.match(checks.at(-1)?.detail ?? "", /sudo device-trust doctor/);
    },
  );

  await step(
    "a leaf that is gone, a rival policy, a stopped agent: each with its remedy",
    async () => {
      const store = ["-d", `sql:${storeOf(bob)}`];
      const listed = await executeAs(bob, "certutil", "-L", ...store);
      const leaf = /^(.*Device Trust Certificate - [0-9a-f]{8}) /m.exec(listed)?.[1];
      assert.ok(leaf);
      await executeAs(bob, "certutil", "-D", ...store, "-n", leaf);
      await Deno.writeTextFile(
        `${CHROME_POLICIES}/zz.json`,
        '{"AutoSelectCertificateForUrls": []}',
      );
      await device[Symbol.asyncDispose]();
      const outcome = await asRoot();
      assert.equal(outcome.code, 4);
      const text = wrong(outcome).join("\n");
      assert.match(text, /^agent: .* -> systemctl enable --now device-trust/m);
      assert.match(
        text,
        /^store:dt-bob: \S+ \(the user's browsers\) has no leaf [0-9a-f]{32} -> /m,
      );
      assert.match(
        text,
        /^filter:chrome: shadowed: .* -> .*zz\.json sets Auto.* add to its list: ".*/m,
      );
      assert.match(text, /^challenge:dt-bob:\S+ nothing of dt-bob's store answers the request/m);
      assert.doesNotMatch(text, /alice/);
    },
  );

  await step(
    "a database that somebody holds is told in bounded time, and stops nobody else",
    async () => {
      await Deno.remove(`${CHROME_POLICIES}/zz.json`);
      const held = new DatabaseSync(`${storeOf(bob)}/cert9.db`);
      try {
        held.exec("BEGIN EXCLUSIVE");
        const started = performance.now();
        const outcome = await asRoot();
        assert.ok(performance.now() - started < 30_000);
        const text = wrong(outcome).join("\n");
        assert.match(
          text,
          /^store:dt-bob: .* -> .*fuser -v '\/home\/dt-bob\/\.pki\/nssdb\/cert9\.db'/m,
        );
        assert.ok(
          checksOf(outcome.out).some(({ id, ok }) => ok && id.startsWith("challenge:dt-alice")),
        );
      } finally {
        held.close();
      }
    },
  );

  await step(
    "a server out of reach is told first, and the rest is looked at all the same",
    async () => {
      await server[Symbol.asyncDispose]();
      const outcome = await asRoot();
      const text = wrong(outcome).join("\n");
      assert.match(text, /^server: Cannot reach .* -> .*curl -v https:\/\/localhost:\d+\/healthz/m);
      assert.match(text, /^challenge:dt-alice:\S+ Cannot reach localhost:\d+: /m);
      assert.ok(checksOf(outcome.out).some(({ id, ok }) => ok && id === "store:dt-alice"));
      const policy = `${CHROME_POLICIES}/${policyFileName(DEFAULT_BRAND)}`;
      assert.match(await execute("cat", policy), /device-trust\.intermediate/);
    },
  );
});

function checksOf(out: string) {
  return Report.parse(JSON.parse(out)).checks;
}

async function runAs(user: LocalUser, program: string, args: string[]): Promise<Outcome> {
  const command = new Deno.Command("setpriv", asUser(user, program, args));
  const { code, stdout, stderr } = await command.output();
  const [out = "", err = ""] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}
