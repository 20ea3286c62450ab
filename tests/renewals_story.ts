/**
 * Ten renewals in a row before the eyes of two Chromiums: alice's has run since before ON, bob's
 * are started anew each time. On the way the authority's intermediate is renewed, then its root. A
 * leaf's life is shortened to a minute.
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
import { driveDevice, startMockServer } from "./product.ts";
import { until } from "./until.ts";

const ROOT_NAME = rootName(DEFAULT_BRAND);
const RENEWALS = 10;
/** What of the authority is renewed after how many renewals of leaves. */
const NEW_GENERATIONS = new Map([[3, "intermediate"], [6, "root"]]);
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

  /** What openssl says of a leaf by its chain and the list that is at `url`. */
  async function verify(
    { leaf, chain }: { leaf: string; chain: { root: string; intermediate: string } },
    url: string,
  ): Promise<string> {
    const files = { leaf, ...chain };
    for (const [name, pem] of Object.entries(files)) {
      await Deno.writeTextFile(`${SCRATCH}/${name}.pem`, pem);
    }
    const script = `cd ${SCRATCH}
      curl --silent --fail --cacert ${server.serverCa} '${url}' -o crl.der
      openssl crl -inform DER -in crl.der -out crl.pem
      openssl verify -x509_strict -crl_check -purpose sslclient -CAfile root.pem \\
        -untrusted intermediate.pem -CRLfile crl.pem leaf.pem 2>&1 || true`;
    return await execute("sh", "-ec", script);
  }

  /** What a browser presents on a name that it has not met. */
  async function challenge(browser: Chromium, { name }: LocalUser): Promise<ChallengeAnswer> {
    const url = new URL(`/challenge?user=${name}@example.com&resource=demo`, server.portalUrl);
    url.hostname = `${randomBytes(8).toString("hex")}.challenge.${url.hostname}`;
    const { status, body } = await browser.open(url.href);
    assert.equal(status, 200, body);
    return ChallengeAnswer.parse(JSON.parse(body));
  }

  const first = await step("ON: both get a leaf", async () => {
    await challenge(hers, alice);
    await server.distribute(true);
    await device.untilUsers("both have a leaf", (user) => user.serial !== null);
    return { leaf: await leafPem(alice), chain: await chainOf(alice) };
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
        const renew = NEW_GENERATIONS.get(known);
        if (renew) await server.admin("POST", "/authority/renew", { renew });
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

  await step("the authorities of before have left with their last leaf", async () => {
    for (const user of [alice, bob]) {
      await until(`${user.name} has one root and one intermediate`, async () => {
        return (await authorityNames(user)).join() === `${ROOT_NAME},${INTERMEDIATE_NAME}`;
      });
      const chain = await chainOf(user);
      assert.notEqual(chain.root, first.chain.root);
      assert.notEqual(chain.intermediate, first.chain.intermediate);
    }
  });

  await step(
    "openssl finds the first leaf revoked as superseded, and the current one good",
    async () => {
      const now = { leaf: await leafPem(alice), chain: await chainOf(alice) };
      assert.match(await verify(first, `${server.agentUrl}/v1/crl`), /certificate revoked/);
      await Deno.writeTextFile(`${SCRATCH}/now.pem`, now.leaf);
      const points = await execute(
        "openssl",
        ...["x509", "-in", `${SCRATCH}/now.pem`, "-noout", "-ext", "crlDistributionPoints"],
      );
      const url = /URI:(\S+)/.exec(points)?.[1] ?? "";
      assert.match(await verify(now, url), /leaf\.pem: OK/);
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

/** certutil's list, also when a removal beside it makes certutil call its own listing a failure. */
async function listed(user: LocalUser): Promise<string> {
  return await executeAs(user, "sh", "-c", `certutil -L -d ${await storeOf(user)} || true`);
}

async function leafNames(user: LocalUser): Promise<string[]> {
  const list = await listed(user);
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

/** Names of the certificates without a key here, in order. */
async function authorityNames(user: LocalUser): Promise<string[]> {
  const list = await listed(user);
  return list.split("\n").flatMap((line) => / *(.*?) +,, *$/.exec(line)?.[1] ?? []).toSorted();
}

async function chainOf(user: LocalUser): Promise<{ root: string; intermediate: string }> {
  return {
    root: await certificatePem(user, ROOT_NAME),
    intermediate: await certificatePem(user, INTERMEDIATE_NAME),
  };
}

/** The only leaf, or the first of two. */
async function leafPem(user: LocalUser): Promise<string> {
  const [name] = await leafNames(user);
  assert.ok(name);
  return await certificatePem(user, name);
}
