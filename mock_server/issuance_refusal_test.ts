import assert from "node:assert/strict";
import type { RequestSigner } from "../agent/http_signature.ts";
import { fromPem, toPem } from "../ca/der.ts";
import { changeSettings, revokeCertificate } from "./fleet_changes.ts";
import { SCRATCH_START } from "./scratch_context.ts";
import {
  assertRefused,
  type DeviceLeaf,
  type KeyAlgorithm,
  newCsr,
  newKeys,
  type ScratchDevice,
  type ScratchServer,
  signerOf,
  withServer,
} from "./scratch_device.ts";

const DAY_MS = 86_400_000;

/** The request with one bit of it changed, counted in bytes from its end. */
function flipped(csr: string, fromEnd: number): string {
  const der = new Uint8Array(fromPem("CERTIFICATE REQUEST", csr, csr.length));
  const at = der.length - fromEnd;
  der[at] = (der[at] ?? 0) ^ 1;
  return toPem("CERTIFICATE REQUEST", der);
}

/** A leaf for a key of that algorithm, and its signer. */
async function leafOf(
  { server, device, userId }: { server: ScratchServer; device: ScratchDevice; userId: string },
  algorithm: KeyAlgorithm,
  leaf?: RequestSigner,
): Promise<{ serial: string; signer: RequestSigner; keys: CryptoKeyPair }> {
  const { csr, keys } = await newCsr(algorithm);
  const response = await device.certificate(userId, csr, leaf);
  assert.equal(response.status, 201, await response.clone().text());
  const { serial } = await response.json();
  const { sha256 = "" } = server.context.store.certificates.get(serial) ?? {};
  return { serial, signer: signerOf("leaf", sha256, keys), keys };
}

Deno.test("a request for a weak or unknown key, or that its key did not sign, is 422", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const good = (await newCsr()).csr;
    const refused = {
      "P-384": (await newCsr("P-384")).csr,
      "RSA-1024": (await newCsr("RSA-1024")).csr,
      "a bad self-signature": flipped(good, 1),
      "another RSA self-signature": flipped((await newCsr("RSA-2048")).csr, 1),
      "not base64": good.replace(/\n[^\n]{4}/, "\n!!!!"),
      "not PKCS#10": toPem("CERTIFICATE REQUEST", Uint8Array.of(0x30, 0)),
    };
    for (const [what, csr] of Object.entries(refused)) {
      const { detail } = await assertRefused(
        await device.certificate(userId, csr),
        422,
        "csr-refused",
      );
      assert.ok(detail.length > 20, what);
    }
    for (const csr of ["", "CERTIFICATE REQUEST", good + "x".repeat(16 * 1024)]) {
      await assertRefused(await device.certificate(userId, csr), 422, "invalid");
    }
    assert.deepEqual(server.context.store.certificates.list({ limit: 1 }).items, []);
  });
});

Deno.test("a key of another user, or of this one on another device, gets no leaf at all", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { device: other, userId: bob } = await server.managed("bob@example.com");
    const { store } = server.context;
    for (const where of [device, other]) {
      store.bindings.put(where.deviceId, userId, "alice", SCRATCH_START);
      store.bindings.put(where.deviceId, bob, "bob", SCRATCH_START);
    }
    const alices = await device.newLeaf(userId);
    const tryAll = async () => {
      for (const [where, who] of [[device, bob], [other, userId], [other, bob]] as const) {
        for (const signer of [undefined, alices.signer]) {
          const answer = await where.certificate(who, alices.csr, signer);
          const text = await answer.clone().text();
          assert.ok(!text.includes(alices.answer.serial ?? "none"), text);
          await assertRefused(answer, 422, "csr-refused");
        }
      }
    };
    await tryAll();
    revokeCertificate(server.context, alices.answer.serial ?? "", "privilegeWithdrawn");
    await tryAll();
    server.clock.now += 31 * DAY_MS;
    await tryAll();
    assert.equal(store.certificates.list({ limit: 10 }).items.length, 1);
  });
});

Deno.test("a key that was compromised gets no leaf again, not even its own user's", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { csr, answer } = await device.newLeaf(userId);
    revokeCertificate(server.context, answer.serial ?? "", "keyCompromise");
    await assertRefused(await device.certificate(userId, csr), 422, "csr-refused");
  });
});

Deno.test("a leaf's signature that does not verify is bad-signature, and nothing is issued", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { signer, csr } = await device.newLeaf(userId);
    const imposter = signerOf("leaf", signer.keyid, await newKeys("P-256"));
    const rsa = signerOf("leaf", signer.keyid, await newKeys("RSA-2048"));
    const silent: RequestSigner = { ...signer, sign: () => Promise.resolve(new Uint8Array(64)) };
    const empty: RequestSigner = { ...signer, sign: () => Promise.resolve(new Uint8Array()) };
    const before = server.context.store.certificates.list({ limit: 10 }).items;
    for (const bad of [imposter, rsa, silent, empty, { ...signer, alg: rsa.alg }]) {
      for (const request of [(await newCsr()).csr, csr]) {
        const answer = await device.certificate(userId, request, bad);
        await assertRefused(answer, 401, "bad-signature");
      }
    }
    assert.deepEqual(server.context.store.certificates.list({ limit: 10 }).items, before);
  });
});

Deno.test("the signature of a leaf covers this very request, and its nonce counts once", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { signer, csr } = await device.newLeaf(userId);
    const path = device.path(`/users/${userId}/certificates`);
    const kept: Record<string, string> = {};
    const keep = ({ headers }: { headers: Headers }) => {
      for (const name of ["signature-input", "signature"]) {
        kept[name] = headers.get(name)?.replace(/^.*, *(?=leaf=)/, "") ?? "";
      }
    };
    const reuse = ({ headers }: { headers: Headers }) => {
      for (const [name, value] of Object.entries(kept)) headers.append(name, value);
    };
    const first = await device.request("POST", path, { body: { csr }, leaf: signer, tamper: keep });
    assert.equal(first.status, 200);
    const replayed = await device.request("POST", path, { body: { csr }, tamper: reuse });
    await assertRefused(replayed, 401, "replay");
    const body = { csr: (await newCsr()).csr };
    const moved = await device.request("POST", path, { body, tamper: reuse });
    await assertRefused(moved, 401, "bad-signature");
  });
});

Deno.test("only a live leaf of this user on this device renews; any other is leaf-not-current", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { device: other, userId: bob } = await server.managed("bob@example.com");
    const { store } = server.context;
    store.bindings.put(device.deviceId, bob, "bob", SCRATCH_START);
    store.bindings.put(other.deviceId, userId, "alice", SCRATCH_START);
    const foreign = signerOf("leaf", "ab".repeat(32), await newKeys("P-256"));
    const refused = async (leaf: RequestSigner) => {
      const answer = await device.certificate(userId, (await newCsr()).csr, leaf);
      await assertRefused(answer, 403, "leaf-not-current");
    };
    await refused(foreign);
    const leaves: DeviceLeaf[] = [await device.newLeaf(userId)];
    for (let count = 0; count < 2; count++) {
      leaves.push(await device.newLeaf(userId, leaves.at(-1)?.signer));
    }
    const [superseded, revoked, current] = leaves;
    assert.ok(superseded && revoked && current);
    revokeCertificate(server.context, revoked.answer.serial ?? "", "privilegeWithdrawn");
    const others = [await device.newLeaf(bob), await other.newLeaf(userId)];
    for (const { signer } of [superseded, revoked, ...others]) await refused(signer);
    await refused(foreign);
    assert.equal(store.certificates.get(current.answer.serial ?? "")?.revokedAt, null);

    server.clock.now = Date.parse(current.answer["notAfter"] ?? "") - 1;
    const last = await device.newLeaf(userId, current.signer);
    server.clock.now += 1;
    await refused(current.signer);
    server.clock.now += 30 * DAY_MS;
    await refused(last.signer);
  });
});

Deno.test("a leaf that OFF revoked renews nothing after ON", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { signer } = await device.newLeaf(userId);
    changeSettings(server.context, { globalCertificateDistribution: false });
    changeSettings(server.context, { globalCertificateDistribution: true });
    const answer = await device.certificate(userId, (await newCsr()).csr, signer);
    await assertRefused(answer, 403, "leaf-not-current");
  });
});

Deno.test("an RSA-2048 leaf is issued, and signs its renewal with rsa-v1_5-sha256", async () => {
  await withServer(async (server) => {
    const managed = { server, ...await server.managed() };
    const { device, userId } = managed;
    const elliptic = await leafOf(managed, "P-256");
    changeSettings(server.context, { keyAlgorithm: "RSA-2048" });
    const first = await leafOf(managed, "RSA-2048", elliptic.signer);
    assert.equal(first.signer.alg, "rsa-v1_5-sha256");
    const second = await leafOf(managed, "RSA-2048", first.signer);
    const kinds = server.context.store.certificates.list({ limit: 10 }).items
      .map(({ kind }) => kind);
    assert.deepEqual(kinds, ["first", "renewal", "renewal"]);

    const { csr } = await newCsr("RSA-2048");
    const { keyid } = second.signer;
    const wrongKey = signerOf("leaf", keyid, first.keys);
    const wrongAlgorithm = { ...second.signer, alg: "ecdsa-p256-sha256" as const };
    const otherKind = signerOf("leaf", keyid, elliptic.keys);
    for (const signer of [wrongKey, wrongAlgorithm, otherKind]) {
      await assertRefused(await device.certificate(userId, csr, signer), 401, "bad-signature");
    }
  });
});
