/**
 * The main job as people meet it: three users with a home of every kind, Debian's Chromium, and the
 * product's real paths. alice's Chromium has made a store before there is a leaf, bob has one in
 * `~/.pki/nssdb` with a certificate of his own choice, carol has none.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { UserStatus } from "../agent/status.ts";
import { openAuthority } from "../ca/authority.ts";
import { issueLeaf } from "../ca/issue.ts";
import { DEFAULT_BRAND, INTERMEDIATE_NAME, policyFileName, rootName } from "../ca/names.ts";
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
import { driveDevice, type DrivenServer, startMockServer } from "./product.ts";

const POLICIES = "/etc/chromium/policies/managed";
const FILTER = `${POLICIES}/${policyFileName(DEFAULT_BRAND)}`;

/** Names that only ours bear. */
const OURS = new RegExp([
  rootName(DEFAULT_BRAND),
  INTERMEDIATE_NAME,
  "Device Trust Certificate",
].join("|"));

await tellStory(async (step) => {
  const { alice, bob, carol, server, device } = await step(
    "a device with an agent server and three users",
    async () => {
      const program = await installProgram();
      const server = await startMockServer(program, `${SCRATCH}/server`);
      const alice = await makeUser("dt-alice");
      const bob = await makeUser("dt-bob");
      const carol = await makeUser("dt-carol");
      return { alice, bob, carol, server, device: driveDevice(program) };
    },
  );
  const people = [alice, bob, carol];
  const stores = {
    alice: `${alice.home}/.local/share/pki/nssdb`,
    bob: `${bob.home}/.pki/nssdb`,
    carol: `${carol.home}/.pki/nssdb`,
  };
  const browsers = new Map<LocalUser, Chromium>();

  /** The portal's verdict on a user's browser, on a name that no browser has met. */
  async function verdict(user: LocalUser, signedInAs = user): Promise<ChallengeAnswer> {
    const browser = browsers.get(user);
    assert.ok(browser, `${user.name} has no browser`);
    const url = new URL(server.portalUrl);
    url.hostname = `${randomBytes(8).toString("hex")}.challenge.${url.hostname}`;
    url.pathname = "/challenge";
    url.search = `user=${emailOf(signedInAs)}&resource=demo`;
    const { status, body } = await browser.open(url.href);
    assert.equal(status, 200, body);
    return ChallengeAnswer.parse(JSON.parse(body));
  }

  const { deviceId, agent, userIds } = await step(
    "the device is enrolled, its users are bound, its agent runs",
    async () => {
      const deviceId = await device.enroll(server);
      const userIds = new Map<LocalUser, string>();
      for (const user of people) userIds.set(user, await server.bind(deviceId, user.name));
      return { deviceId, userIds, agent: device.startAgent() };
    },
  );

  await step("before ON every browser is unmanaged", async () => {
    await trustServer(bob, server, stores.bob);
    const trustedKey = await keyOf(`${SCRATCH}/server/tls/server.pem`);
    browsers.set(alice, await startChromium(alice, { profile: "first", trustedKey }));
    browsers.set(bob, await startChromium(bob, { profile: "first" }));
    for (const user of [alice, bob]) {
      const { managed, reason } = await verdict(user);
      assert.deepEqual({ managed, reason }, { managed: false, reason: "distribution-off" });
    }
    await browsers.get(bob)?.[Symbol.asyncDispose]();
  });

  const leaves = await step("ON: every user gets a leaf, where their browsers look", async () => {
    await server.distribute(true);
    await device.untilUsers("everybody has a leaf", (user) => user.state === "installed");
    const { users } = await device.status();
    assert.deepEqual(
      users.map(({ store }) => store?.location).sort(),
      Object.values(stores).sort(),
    );
    return new Map(people.map((user) => [user, leafOf(user, users)]));
  });

  await step("alice's leaf came no sooner than her running Chromium had read the filter", () => {
    const written = Deno.statSync(FILTER).ctime?.getTime() ?? Infinity;
    const installed = Deno.statSync(`${stores.alice}/cert9.db`).mtime?.getTime() ?? 0;
    assert.ok(installed - written >= 15_000, `after ${installed - written} ms`);
  });

  await step("her Chromium, running since before ON, presents it and asks nobody", async () => {
    const { managed, reason, serial } = await verdict(alice);
    assert.deepEqual({ managed, reason, serial }, {
      managed: true,
      reason: "ok",
      serial: leaves.get(alice)?.serial,
    });
  });

  await step("browsers that start now present each user's own leaf of this device", async () => {
    const trustedKey = await keyOf(`${SCRATCH}/server/tls/server.pem`);
    await browsers.get(alice)?.[Symbol.asyncDispose]();
    browsers.set(alice, await startChromium(alice, { profile: "second", trustedKey }));
    browsers.set(bob, await startChromium(bob, { profile: "first" }));
    browsers.set(carol, await startChromium(carol, { profile: "first", trustedKey }));
    const serials = new Set<string | null>();
    for (const user of people) {
      const { managed, deviceId: device, userId, serial } = await verdict(user);
      assert.deepEqual(
        { managed, device, userId, serial },
        {
          managed: true,
          device: deviceId,
          userId: userIds.get(user),
          serial: leaves.get(user)?.serial,
        },
      );
      serials.add(serial);
    }
    assert.equal(serials.size, people.length);
  });

  await step("the portal's page says so too", async () => {
    const url = `${server.portalUrl}/?user=${emailOf(bob)}&resource=demo`;
    const { status, body } = await browsers.get(bob)?.open(url) ?? { status: 0, body: "" };
    assert.equal(status, 200);
    assert.match(body, /id="verdict"[^>]* data-managed="true"/);
  });

  await step("nobody's browser passes for somebody else's", async () => {
    for (const [user, other] of [[alice, bob], [bob, carol]] as const) {
      const { managed, reason } = await verdict(user, other);
      assert.deepEqual({ managed, reason }, { managed: false, reason: "user-mismatch" });
    }
  });

  await step("an expired leaf of our issuer beside bob's is not chosen", async () => {
    await plantExpiredLeaf(bob, stores.bob, { deviceId, userId: userIds.get(bob) ?? "" });
    assert.match(await certificates(bob, stores.bob), /Device Trust Certificate - 0badc0de/);
    assert.equal((await verdict(bob)).serial, leaves.get(bob)?.serial);
  });

  await step("OFF: unmanaged on the next request, with leaves and filter still there", async () => {
    Deno.kill(agent, "SIGSTOP");
    await server.distribute(false);
    for (const user of people) {
      const { managed, reason } = await verdict(user);
      assert.deepEqual({ managed, reason }, { managed: false, reason: "distribution-off" });
    }
    assert.ok(Deno.statSync(FILTER).isFile);
    assert.match(await certificates(bob, stores.bob), new RegExp(leaves.get(bob)?.leafName ?? "?"));
    Deno.kill(agent, "SIGCONT");
  });

  await step("then no store and no policy folder holds anything of ours", async () => {
    await device.untilUsers("everything is removed", (user) => user.state === "removed");
    for (const [user, store] of [[alice, stores.alice], [bob, stores.bob]] as const) {
      assert.doesNotMatch(await certificates(user, store), OURS);
      assert.match(await keys(user, store), /no keys found/);
    }
    assert.match(await certificates(bob, stores.bob), /The portal's CA +C,,/);
    assert.deepEqual(await find("/etc", policyFileName(DEFAULT_BRAND)), []);
    assert.deepEqual(await find("/etc", "policies"), []);
  });

  await step("browsers go on, unmanaged, and ask nobody", async () => {
    for (const user of people) assert.equal((await verdict(user)).reason, "distribution-off");
    for (const browser of browsers.values()) await browser[Symbol.asyncDispose]();
  });

  await step("unenrolled: what we made in homes is gone, what others made is not", async () => {
    await device.unenroll();
    assert.deepEqual(await find("/home", "*device-trust*"), []);
    assert.equal(exists(`${carol.home}/.pki`), false);
    assert.equal(exists(`${stores.alice}/cert9.db`), true);
    await device[Symbol.asyncDispose]();
  });
});

function emailOf({ name }: LocalUser): string {
  return `${name}@example.com`;
}

function leafOf({ name }: LocalUser, users: readonly UserStatus[]): UserStatus {
  const user = users.find(({ username }) => username === name);
  assert.ok(user?.serial && user.leafName, `${name} has no leaf`);
  return user;
}

/** A user who trusts the portal's TLS authority by hand. */
async function trustServer(
  user: LocalUser,
  { serverCa }: DrivenServer,
  store: string,
): Promise<void> {
  const copy = `${SCRATCH}/server-ca.pem`;
  await Deno.copyFile(serverCa, copy);
  await Deno.chmod(copy, 0o644);
  await executeAs(user, "mkdir", "-p", store);
  await executeAs(user, "certutil", "-N", "-d", `sql:${store}`, "--empty-password");
  const names = ["-n", "The portal's CA", "-t", "C,,"];
  await executeAs(user, "certutil", "-A", "-d", `sql:${store}`, ...names, "-i", copy);
}

/** Base64 SHA-256 of the public key of the first certificate in a PEM file. */
async function keyOf(path: string): Promise<string> {
  const script = `openssl x509 -in ${path} -noout -pubkey | openssl pkey -pubin -outform DER |
    openssl dgst -sha256 -binary | base64`;
  return (await execute("sh", "-ec", script)).trim();
}

/** Key and leaf that this device's CA issued two months ago for 30 days. */
async function plantExpiredLeaf(
  user: LocalUser,
  store: string,
  names: { deviceId: string; userId: string },
): Promise<void> {
  const shell = (script: string) => executeAs(user, "sh", "-ec", script);
  await shell(`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out old.key
    openssl pkey -in old.key -pubout -outform DER -out old.spki`);
  const authority = await openAuthority(`${SCRATCH}/server/ca`, {
    brand: DEFAULT_BRAND,
    now: new Date(),
  });
  const leaf = await issueLeaf(authority, {
    ...names,
    spki: await Deno.readFile(`${user.home}/old.spki`),
    nameSuffix: "0badc0de",
    crlUrl: "https://localhost/v1/crl",
    now: new Date(Date.now() - 60 * 86_400_000),
    ttlSeconds: 30 * 86_400,
  });
  await Deno.writeTextFile(`${SCRATCH}/old.pem`, leaf.pem);
  await shell(`openssl pkcs12 -export -inkey old.key -in ${SCRATCH}/old.pem -passout pass:x -out old
    pk12util -i old -W x -d sql:${store}
    rm old old.key old.spki`);
}

async function certificates(user: LocalUser, store: string): Promise<string> {
  return await executeAs(user, "certutil", "-L", "-d", `sql:${store}`);
}

/** certutil calls it a failure when there is none. */
async function keys(user: LocalUser, store: string): Promise<string> {
  return await executeAs(user, "sh", "-c", `certutil -K -d sql:${store} 2>&1 || true`);
}

async function find(folder: string, name: string): Promise<string[]> {
  return (await execute("find", folder, "-name", name)).split("\n").filter((line) => line !== "");
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
