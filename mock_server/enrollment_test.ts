import assert from "node:assert/strict";
import { EnrollmentAnswer } from "../agent/contract.ts";
import { keyThumbprint } from "./device_authentication.ts";
import { connectKeyHash } from "./enrollment.ts";
import { assertRefused, ScratchDevice, type ScratchServer, withServer } from "./scratch_device.ts";

function enroll(device: ScratchDevice, connectKey?: string): Promise<Response> {
  return device.request("POST", "/v1/devices", {
    body: device.enrollment(connectKey),
    keyid: keyThumbprint(device.publicKey),
  });
}

function addKey(
  { context, clock }: ScratchServer,
  key: { connectKey: string; expiresAt?: number; maxUses?: number },
): void {
  context.store.connectKeys.add({
    connectKeyId: crypto.randomUUID(),
    hash: connectKeyHash(key.connectKey),
    createdAt: clock.now,
    expiresAt: key.expiresAt ?? null,
    maxUses: key.maxUses ?? null,
  });
}

Deno.test("a new key is enrolled with 201, the same key again with 200 and the same id", async () => {
  await withServer(async (server) => {
    const device = await server.newDevice();
    const first = await enroll(device);
    assert.equal(first.status, 201);
    const answer = EnrollmentAnswer.parse(await first.json());
    assert.equal(answer.publicUrl, server.context.publicUrl);
    assert.deepEqual(answer.trustAnchors, {
      root: server.context.authority.root.pem,
      intermediate: server.context.authority.intermediate.pem,
    });
    const again = await enroll(device);
    assert.equal(again.status, 200);
    assert.equal((await again.json()).deviceId, answer.deviceId);
    assert.equal(server.context.store.devices.count(), 1);
  });
});

Deno.test("a connect key that is wrong, revoked, expired or used up enrolls nobody", async () => {
  await withServer(async (server) => {
    const { store } = server.context;
    addKey(server, { connectKey: "expired", expiresAt: server.clock.now });
    addKey(server, { connectKey: "revoked" });
    addKey(server, { connectKey: "once", maxUses: 1 });
    const revoked = store.connectKeys.hashes().find(({ hash }) =>
      hash === connectKeyHash("revoked")
    );
    store.connectKeys.revoke(revoked?.connectKeyId ?? "", server.clock.now);
    assert.equal((await enroll(await server.newDevice(), "once")).status, 201);
    for (const connectKey of ["wrong", "expired", "revoked", "once"]) {
      const answer = await enroll(await server.newDevice(), connectKey);
      await assertRefused(answer, 401, "bad-connect-key");
    }
    assert.equal(store.devices.count(), 1);
  });
});

Deno.test("maxUses counts devices: a known key needs no use left, a deleted device's key does", async () => {
  await withServer(async (server) => {
    addKey(server, { connectKey: "twice", maxUses: 2 });
    const device = await server.newDevice();
    const ids: string[] = [];
    for (const expected of [201, 200]) {
      const answer = await enroll(device, "twice");
      assert.equal(answer.status, expected);
      ids.push((await answer.json()).deviceId);
    }
    device.deviceId = ids[0] ?? "";
    assert.equal((await device.request("DELETE", device.path(""))).status, 204);
    const anew = await enroll(device, "twice");
    assert.equal(anew.status, 201);
    assert.notEqual((await anew.json()).deviceId, ids[0]);
    assert.equal((await enroll(device, "twice")).status, 200);
    await assertRefused(await enroll(await server.newDevice(), "twice"), 401, "bad-connect-key");
  });
});

Deno.test("an enrolment is signed by the key that it brings, with its thumbprint as keyid", async () => {
  await withServer(async (server) => {
    const [device, other] = [await server.newDevice(), await server.newDevice()];
    const keyid = keyThumbprint(device.publicKey);
    const send = (body: unknown, id = keyid) =>
      device.request("POST", "/v1/devices", { body, keyid: id });
    const wrong = { ...device.enrollment(), publicKey: other.publicKey };
    await assertRefused(await send(wrong), 401, "bad-signature");
    await assertRefused(await send(wrong, keyThumbprint(other.publicKey)), 401, "bad-signature");
    await assertRefused(await send(device.enrollment(), "x"), 401, "bad-signature");
    const nonce = "A".repeat(22);
    const body = device.enrollment();
    assert.equal((await device.request("POST", "/v1/devices", { body, keyid, nonce })).status, 201);
    const replayed = await device.request("POST", "/v1/devices", { body, keyid, nonce });
    await assertRefused(replayed, 401, "replay");
  });
});

Deno.test("an enrolment of another form is 422 and says what is wrong", async () => {
  await withServer(async (server) => {
    const device = await server.newDevice();
    const keyid = keyThumbprint(device.publicKey);
    const good = device.enrollment();
    const offCurve = { ...good.publicKey, x: good.publicKey.y, y: good.publicKey.x };
    for (
      const body of [
        "{",
        "",
        "[]",
        { ...good, os: "beos" },
        { ...good, connectKey: 7 },
        { ...good, publicKey: { ...good.publicKey, crv: "P-384" } },
        { ...good, hostname: "" },
      ]
    ) {
      const answer = await device.request("POST", "/v1/devices", { body, keyid });
      await assertRefused(answer, 422, "invalid");
    }
    const answer = await device.request("POST", "/v1/devices", {
      body: { ...good, publicKey: offCurve },
      keyid: keyThumbprint(offCurve),
    });
    await assertRefused(answer, 422, "invalid");
    const text = await device.request("POST", "/v1/devices", {
      body: good,
      keyid,
      headers: { "content-type": "text/plain" },
    });
    await assertRefused(text, 422, "invalid");
  });
});

Deno.test("a flood of connect-key guesses is held off by address, and others get in", async () => {
  await withServer(async (server) => {
    const device = await server.newDevice();
    const keyid = keyThumbprint(device.publicKey);
    const from = (address: string, connectKey: string) =>
      device.request("POST", "/v1/devices", {
        body: device.enrollment(connectKey),
        keyid,
        peer: { address, certificates: [] },
      });
    for (let guess = 0; guess < 20; guess++) {
      await assertRefused(await from("198.51.100.1", `guess-${guess}`), 401, "bad-connect-key");
    }
    const held = await from("198.51.100.1", "guess");
    const after = Number(held.headers.get("retry-after"));
    await assertRefused(held, 429, "too-many-requests");
    assert.ok(after >= 1 && after <= 3, `${after} s`);
    assert.equal((await from("198.51.100.2", "scratch-connect-key")).status, 201);
    server.clock.now += after * 1000;
    assert.equal((await from("198.51.100.1", "scratch-connect-key")).status, 200);
  });
});
