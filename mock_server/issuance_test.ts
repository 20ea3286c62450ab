import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { CertificateAnswer, DesiredState } from "../agent/contract.ts";
import { changeSettings, revokeCertificate, unbindUser } from "./fleet_changes.ts";
import { SCRATCH_START } from "./scratch_context.ts";
import {
  assertRefused,
  newCsr,
  newKeys,
  type ScratchDevice,
  type ScratchServer,
  signerOf,
  withServer,
} from "./scratch_device.ts";
import { withRunning } from "./scratch_running.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** The user's live leaves as the device is told of them. */
async function live(device: ScratchDevice, userId: string): Promise<Record<string, string>> {
  const { users } = DesiredState.parse(await (await device.desired()).json());
  const leaves = users.find((user) => user.userId === userId)?.leaves ?? [];
  return Object.fromEntries(leaves.map(({ serial, status }) => [serial, status]));
}

/** The audit log of leaves: type, user and what it tells of other leaves, oldest first. */
function history({ context }: ScratchServer): unknown[] {
  return context.store.events.list({ limit: 500 }).items.reverse()
    .filter(({ type }) => type.startsWith("certificate."))
    .map(({ type, userId, detail }) => [type, userId, detail["serial"], detail["revoked"]]);
}

function reasonOf({ context }: ScratchServer, serial: string | undefined) {
  return context.store.certificates.get(serial ?? "")?.reason;
}

Deno.test("a first leaf is 201 with the bundle, its window and the overlap", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { csr, keys } = await newCsr();
    const response = await device.certificate(userId, csr);
    assert.equal(response.status, 201);
    const answer = CertificateAnswer.strict().parse(await response.json());
    const { authority } = server.context;
    assert.equal(answer.intermediate, authority.intermediate.pem);
    assert.equal(answer.root, authority.root.pem);
    assert.equal(answer.overlapSeconds, 604_800);
    assert.equal(answer.renewal.start, "2026-03-15T12:00:00.000Z");
    assert.ok(answer.renewal.end > answer.renewal.start && answer.renewal.end < answer.notAfter);
    assert.equal(answer.notAfter, "2026-03-31T12:00:00.000Z");

    const leaf = new X509Certificate(answer.leaf);
    assert.match(leaf.subject, /^CN=JumpCloud Device Trust Certificate - [0-9a-f]{8}$/);
    assert.equal(BigInt(`0x${leaf.serialNumber}`), BigInt(`0x${answer.serial}`));
    assert.equal(leaf.subjectAltName, `URI:urn:device-trust:${device.deviceId}:${userId}`);
    assert.equal(Date.parse(leaf.validTo), Date.parse(answer.notAfter));
    assert.ok(leaf.verify(new X509Certificate(answer.intermediate).publicKey));
    const spki = await crypto.subtle.exportKey("spki", keys.publicKey);
    assert.deepEqual(
      new Uint8Array(leaf.publicKey.export({ type: "spki", format: "der" })),
      new Uint8Array(spki),
    );
    assert.deepEqual(await live(device, userId), { [answer.serial]: "current" });
    assert.deepEqual(history(server), [["certificate.issued", userId, answer.serial, []]]);
  });
});

Deno.test("a server that is told nothing else opens the window 14 days after issue", async () => {
  await withRunning(async (server) => {
    const { device, userId } = await server.managed();
    const { answer } = await device.newLeaf(userId);
    assert.equal(Date.parse(answer.renewal.start), server.clock.now + 14 * DAY_MS);
    assert.equal(answer["overlapSeconds"], 7 * 86_400);
  });
});

Deno.test("a leaf of any life has a window that ends within it", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    for (const seconds of [2, 60, 14 * 86_400, 15 * 86_400]) {
      server.context.leafTtlSeconds = seconds;
      const { csr } = await newCsr();
      const answer = CertificateAnswer.parse(await (await device.certificate(userId, csr)).json());
      const [start, end] = [Date.parse(answer.renewal.start), Date.parse(answer.renewal.end)];
      assert.ok(start >= server.clock.now && start < end, `${seconds} s`);
      assert.ok(end <= Date.parse(answer.notAfter), `${seconds} s`);
      server.clock.now += 2 * seconds * 1000;
    }
  });
});

Deno.test("the key of a live leaf gets that leaf again, with any signature of a leaf or none", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const first = await device.newLeaf(userId);
    const second = await device.newLeaf(userId, first.signer);
    const before = history(server);
    const again = async (csr: string, signer = second.signer) => {
      const [alone, signed] = [
        await device.certificate(userId, csr),
        await device.certificate(userId, csr, signer),
      ];
      assert.deepEqual([alone.status, signed.status], [200, 200]);
      const answer = await alone.json();
      assert.deepEqual(await signed.json(), answer);
      return answer;
    };
    assert.deepEqual(await again(second.csr), second.answer);
    assert.deepEqual(await again(first.csr), first.answer);
    const foreign = signerOf("leaf", "0".repeat(64), await newKeys("P-256"));
    assert.deepEqual(await again(second.csr, foreign), second.answer, "before leaf-not-current");
    assert.deepEqual(history(server), before);
  });
});

Deno.test("requests at once with one key get one leaf", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { csr } = await newCsr();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => device.certificate(userId, csr)),
    );
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [200, 200, 200, 200, 201]);
    const serials = await Promise.all(answers.map(async (answer) => (await answer.json()).serial));
    assert.equal(new Set(serials).size, 1);
    assert.deepEqual(await live(device, userId), { [serials[0]]: "current" });
  });
});

Deno.test("either live leaf signs a renewal, and a third leaf revokes the oldest", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const first = await device.newLeaf(userId);
    const second = await device.newLeaf(userId, first.signer);
    assert.deepEqual(await live(device, userId), {
      [second.answer.serial ?? ""]: "current",
      [first.answer.serial ?? ""]: "overlap",
    });
    const third = await device.newLeaf(userId, first.signer);
    assert.equal(reasonOf(server, first.answer.serial), "superseded");
    const fourth = await device.newLeaf(userId, third.signer);
    assert.deepEqual(await live(device, userId), {
      [fourth.answer.serial ?? ""]: "current",
      [third.answer.serial ?? ""]: "overlap",
    });
    assert.equal(reasonOf(server, second.answer.serial), "superseded");
    assert.deepEqual(history(server), [
      ["certificate.issued", userId, first.answer.serial, []],
      ["certificate.renewed", userId, second.answer.serial, []],
      ["certificate.renewed", userId, third.answer.serial, [first.answer.serial]],
      ["certificate.renewed", userId, fourth.answer.serial, [second.answer.serial]],
    ]);
  });
});

Deno.test("a re-issue revokes the user's earlier leaves on this device at once, no others", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const bob = server.addUser("bob@example.com");
    server.context.store.bindings.put(device.deviceId, bob, "bob", SCRATCH_START);
    const { device: other } = await server.managed("carol@example.com");
    server.context.store.bindings.put(other.deviceId, userId, "alice", SCRATCH_START);
    const kept = [await device.newLeaf(bob), await other.newLeaf(userId)];
    const first = await device.newLeaf(userId);
    const second = await device.newLeaf(userId, first.signer);
    const third = await device.newLeaf(userId);
    assert.deepEqual(await live(device, userId), { [third.answer.serial ?? ""]: "current" });
    for (const { answer } of [first, second]) {
      assert.equal(reasonOf(server, answer.serial), "superseded");
    }
    for (const { answer } of kept) assert.equal(reasonOf(server, answer.serial), null);
    assert.deepEqual(history(server).at(-1), [
      "certificate.reissued",
      userId,
      third.answer.serial,
      [second.answer.serial, first.answer.serial],
    ]);
  });
});

Deno.test("a user has three re-issues an hour on a device, then 429 that says how long", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const bob = server.addUser("bob@example.com");
    server.context.store.bindings.put(device.deviceId, bob, "bob", SCRATCH_START);
    const { device: other } = await server.managed("carol@example.com");
    server.context.store.bindings.put(other.deviceId, userId, "alice", SCRATCH_START);
    let last = await device.newLeaf(userId);
    for (let reissue = 0; reissue < 3; reissue++) {
      server.clock.now += MINUTE_MS;
      last = await device.newLeaf(userId);
    }
    server.clock.now += MINUTE_MS;
    const refused = await device.certificate(userId, (await newCsr()).csr);
    assert.equal(refused.headers.get("retry-after"), `${57 * 60}`);
    await assertRefused(refused, 429, "too-many-requests");
    assert.deepEqual(await live(device, userId), { [last.answer.serial ?? ""]: "current" });

    const again = await device.certificate(userId, last.csr);
    assert.deepEqual([again.status, await again.json()], [200, last.answer], "the same key");
    for (const [where, who] of [[device, bob], [other, userId]] as const) {
      for (let leaf = 0; leaf < 4; leaf++) await where.newLeaf(who);
    }
    const renewed = await device.newLeaf(userId, last.signer);
    assert.equal(reasonOf(server, renewed.answer.serial), null, "a renewal is no re-issue");

    server.clock.now += 57 * MINUTE_MS - 1;
    const early = await device.certificate(userId, (await newCsr()).csr);
    assert.equal(early.headers.get("retry-after"), "1");
    await assertRefused(early, 429, "too-many-requests");
    server.clock.now += 1;
    await device.newLeaf(userId);
    await assertRefused(
      await device.certificate(userId, (await newCsr()).csr),
      429,
      "too-many-requests",
    );
  });
});

Deno.test("requests at once with new keys get no more re-issues than one after another", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const requests = await Promise.all(Array.from({ length: 6 }, () => newCsr()));
    const answers = await Promise.all(
      requests.map(({ csr }) => device.certificate(userId, csr)),
    );
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [201, 201, 201, 201, 429, 429]);
    assert.equal(Object.keys(await live(device, userId)).length, 1);
  });
});

Deno.test("a user whose leaf has ended gets a first one again", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const expired = await device.newLeaf(userId);
    server.clock.now += 31 * DAY_MS;
    const revoked = await device.newLeaf(userId);
    revokeCertificate(server.context, revoked.answer.serial ?? "", "privilegeWithdrawn");
    await device.newLeaf(userId);
    assert.deepEqual(history(server).map((line) => Array.isArray(line) && line[0]), [
      "certificate.issued",
      "certificate.issued",
      "certificate.revoked",
      "certificate.issued",
    ]);
    assert.equal(reasonOf(server, expired.answer.serial), null, "an expired one is not revoked");
  });
});

Deno.test("no leaf is issued while distribution is OFF, nor to who is not managed there", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { userId: elsewhere } = await server.managed("bob@example.com");
    const unbound = server.addUser("carol@example.com");
    server.context.store.bindings.put(device.deviceId, unbound, "carol", SCRATCH_START);
    const before = await device.newLeaf(unbound);
    unbindUser(server.context, device.deviceId, unbound);
    for (const user of [elsewhere, unbound, crypto.randomUUID(), "x", userId.toUpperCase()]) {
      await assertRefused(await device.certificate(user, before.csr), 404, "not-found");
    }
    const { csr, signer } = await device.newLeaf(userId);
    changeSettings(server.context, { globalCertificateDistribution: false });
    for (const [request, leaf] of [[csr], [(await newCsr()).csr], [csr, signer]] as const) {
      const refused = await device.certificate(userId, request, leaf);
      await assertRefused(refused, 403, "distribution-off");
    }
    changeSettings(server.context, { globalCertificateDistribution: true });
    const anew = await device.certificate(userId, csr);
    assert.equal(anew.status, 201, "a revoked leaf does not come back, its key may");
  });
});
