/**
 * Ten renewals in a row before the eyes of two Chromiums: alice's has run since before ON, bob's
 * are started anew each time. A leaf's life is shortened to a minute.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { DEFAULT_BRAND, INTERMEDIATE_NAME, rootName } from "../ca/names.ts";
import { ChallengeAnswer } from "../mock_server/challenge.ts";
import { type Chromium, startChromium } from "./chromium.ts";
import { installProgram } from "./installed_program.ts";
import {
  execute,
  executeAs,
  type LocalUser,
  makeUser,
  SCRATCH,
  tellStory,
} from "./private_root.ts";
import { driveDevice, startMockServer, until } from "./product.ts";

const ROOT_NAME = rootName(DEFAULT_BRAND);
const RENEWALS = 10;
const LIVES = ["--leaf-ttl=60s", "--renew-after=4s", "--overlap=2s"];

await tellStory(async (step) => {
  const { alice, bob, server, device } = await step("a device with two users", async () => {
    const program = await installProgram();
    const server = await startMockServer(program, `${SCRATCH}/server`, LIVES);
    const alice = await makeUser("dt-alice");
    const bob = await makeUser("dt-bob");
    const device = driveDevice(program);
    const deviceId = await device.enroll(server);
    for (const { name } of [alice, bob]) await server.bind(deviceId, name);
    device.startAgent();
    return { alice, bob, server, device };
  });
  const trustedKey = await step("alice starts her Chromium", async () => {
    const script = `openssl x509 -in ${SCRATCH}/server/tls/server.pem -noout -pubkey |
      openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64`;
    return (await execute("sh", "-ec", script)).trim();
  });
  const hers = await startChromium(alice, { profile: "always", trustedKey });

  /** What a browser presents on a name that it has not met. */
  async function challenge(browser: Chromium, { name }: LocalUser): Promise<ChallengeAnswer> {
    const url = new URL(`/challenge?user=${name}@example.com&resource=demo`, server.portalUrl);
    url.hostname = `${randomBytes(8).toString("hex")}.challenge.${url.hostname}`;
    const { status, body } = await browser.open(url.href);
    assert.equal(status, 200, body);
    return ChallengeAnswer.parse(JSON.parse(body));
  }

  const firstLeaf = await step("ON: both get a leaf", async () => {
    await challenge(hers, alice);
    await server.distribute(true);
    await device.untilUsers("both have a leaf", (user) => user.serial !== null);
    return await leafPem(alice);
  });

  const serials = new Set<string>();
  const keys = new Set<string>();
  await step(
    `alice's Chromium stays managed over ${RENEWALS} renewals, and so do bob's`,
    async () => {
      while (serials.size <= RENEWALS) {
        const known = serials.size;
        await until("alice presents another leaf", async () => {
          const { managed, reason, serial } = await challenge(hers, alice);
          assert.deepEqual({ managed, reason }, { managed: true, reason: "ok" });
          serials.add(serial ?? "");
          return serials.size > known;
        });
        for (const id of await keyIds(alice)) keys.add(id);
        await using fresh = await startChromium(bob, { profile: `start-${known}`, trustedKey });
        const page = await fresh.open(
          `${server.portalUrl}/?user=${bob.name}@example.com&resource=demo`,
        );
        assert.match(page.body, /id="verdict"[^>]* data-managed="true"/);
      }
      assert.ok(keys.size > RENEWALS, `${keys.size} keys`);
    },
  );

  await step("the page says so to her Chromium too", async () => {
    const page = await hers.open(
      `${server.portalUrl}/?user=${alice.name}@example.com&resource=demo`,
    );
    assert.match(page.body, /id="verdict"[^>]* data-managed="true"/);
  });

  await step("after the overlap one leaf and one key are left", async () => {
    for (const user of [alice, bob]) {
      await until(`${user.name} has one leaf and one key`, async () => {
        return (await leafNames(user)).length === 1 && (await keyIds(user)).length === 1;
      });
    }
  });

  await step(
    "openssl finds the first leaf revoked as superseded, and the current one good",
    async () => {
      await Deno.writeTextFile(`${SCRATCH}/first.pem`, firstLeaf);
      await Deno.writeTextFile(`${SCRATCH}/now.pem`, await leafPem(alice));
      for (
        const [name, file] of [[INTERMEDIATE_NAME, "intermediate"], [ROOT_NAME, "root"]] as const
      ) {
        await Deno.writeTextFile(`${SCRATCH}/${file}.pem`, await certificatePem(alice, name));
      }
      const script = (leaf: string) =>
        `cd ${SCRATCH}
      curl --silent --fail --cacert ${server.serverCa} ${server.agentUrl}/v1/crl -o crl.der
      openssl crl -inform DER -in crl.der -out crl.pem
      openssl verify -x509_strict -crl_check -purpose sslclient -CAfile root.pem \\
        -untrusted intermediate.pem -CRLfile crl.pem ${leaf}.pem 2>&1 || true`;
      assert.match(await execute("sh", "-ec", script("first")), /certificate revoked/);
      assert.match(await execute("sh", "-ec", script("now")), /now\.pem: OK/);
      const list = await execute("openssl", "crl", "-in", `${SCRATCH}/crl.pem`, "-noout", "-text");
      assert.match(list, /CRL Reason Code:\s+Superseded/);
    },
  );

  await step("OFF: nothing is left", async () => {
    await server.distribute(false);
    await device.untilUsers("everything is removed", (user) => user.state === "removed");
    for (const user of [alice, bob]) {
      assert.deepEqual([await leafNames(user), await keyIds(user)], [[], []]);
    }
    await hers[Symbol.asyncDispose]();
    await device.unenroll();
    await device[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
});

/** The database that the user's browsers open. */
async function storeOf({ home }: LocalUser): Promise<string> {
  const script = `cd ${home}; ls -d .pki/nssdb .local/share/pki/nssdb 2>/dev/null | head -n 1`;
  return `sql:${home}/${(await execute("sh", "-c", script)).trim()}`;
}

async function leafNames(user: LocalUser): Promise<string[]> {
  const list = await executeAs(user, "certutil", "-L", "-d", await storeOf(user));
  return list.split("\n").flatMap((line) => / *(.*?) +u,u,u *$/.exec(line)?.[1] ?? []);
}

/** Key ids; certutil calls it a failure when there is none. */
async function keyIds(user: LocalUser): Promise<string[]> {
  const command = `certutil -K -d ${await storeOf(user)} 2>&1 || true`;
  const list = await executeAs(user, "sh", "-c", command);
  return [...list.matchAll(/^< *\d+> \S+ +([0-9a-f]+) /gm)].map(([, id]) => id ?? "");
}

async function certificatePem(user: LocalUser, name: string): Promise<string> {
  return await executeAs(user, "certutil", "-L", "-d", await storeOf(user), "-n", name, "-a");
}

/** The only leaf, or the first of two. */
async function leafPem(user: LocalUser): Promise<string> {
  const [name] = await leafNames(user);
  assert.ok(name);
  return await certificatePem(user, name);
}
