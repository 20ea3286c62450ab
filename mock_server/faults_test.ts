import assert from "node:assert/strict";
import { CertificateAnswer, DesiredState } from "../agent/contract.ts";
import { verifyBundle } from "../agent/verify.ts";
import { parseCertificatePem } from "../ca/certificate.ts";
import { Problem } from "../platform/errors.ts";
import { SCRATCH_TOKEN } from "./scratch_context.ts";
import { assertRefused, newCsr, type ScratchServer, withServer } from "./scratch_device.ts";

async function admin(server: ScratchServer, method: "GET" | "PUT", body?: unknown) {
  return await server.fetch(
    new Request(`${server.context.publicUrl}/admin/v1/faults`, {
      method,
      headers: { authorization: `Bearer ${SCRATCH_TOKEN}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );
}

async function ask(server: ScratchServer, ...faults: unknown[]): Promise<void> {
  const response = await admin(server, "PUT", { faults });
  assert.equal(response.status, 200, await response.clone().text());
}

Deno.test("there is no fault until one is asked for, and an empty object ends them", async () => {
  await withServer(async (server) => {
    const none = { clockSkewSeconds: 0, faults: [] };
    assert.deepEqual(await (await admin(server, "GET")).json(), none);
    const fault = { kind: "cut", route: "reports", rate: 0.5 };
    const answer = await admin(server, "PUT", { clockSkewSeconds: -60, faults: [fault] });
    assert.deepEqual(await answer.json(), { clockSkewSeconds: -60, faults: [fault] });
    assert.deepEqual(await (await admin(server, "PUT", {})).json(), none);
    const types = server.context.store.events.ofType("faults.changed", 0);
    assert.equal(types.length, 2);
  });
});

Deno.test("a fault that is misspelt or out of bounds is 422 and changes nothing", async () => {
  await withServer(async (server) => {
    for (
      const fault of [
        { kind: "earthquake" },
        { kind: "cut", route: "admin" },
        { kind: "cut", rate: 1.1 },
        { kind: "error", status: 200 },
        { kind: "latency" },
        { kind: "garbage", milliseconds: 1 },
      ]
    ) {
      const answer = await admin(server, "PUT", { faults: [fault] });
      await assertRefused(answer, 422, "invalid");
    }
    assert.deepEqual(server.context.faults.current.faults, []);
  });
});

Deno.test("errors, 429 and garbage come on their route alone; the admin API is never affected", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    await ask(server, { kind: "error", status: 503 });
    assert.equal((await device.desired()).status, 503);
    await ask(server, { kind: "too-many", route: "certificates", retryAfterSeconds: 7 });
    const { csr } = await newCsr();
    const refused = await device.certificate(userId, csr);
    assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "7"]);
    assert.equal((await device.desired()).status, 200);
    await ask(server, { kind: "garbage", route: "desired-state" });
    const page = await device.desired();
    assert.deepEqual([page.status, page.headers.get("content-type")], [200, "text/html"]);
    assert.match(await page.text(), /^<!doctype html>/);
    await ask(server, { kind: "error", status: 500, rate: 0 });
    assert.equal((await device.desired()).status, 200);
  });
});

Deno.test("an answer that breaks off has done its work, which asking again shows", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    await ask(server, { kind: "cut", route: "certificates" });
    const { csr } = await newCsr();
    await assert.rejects((await device.certificate(userId, csr)).arrayBuffer());
    await ask(server);
    assert.equal((await device.certificate(userId, csr)).status, 200);
  });
});

Deno.test("certificates of a wrong chain look right and are another authority's", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    await ask(server, { kind: "wrong-chain" });
    const { csr } = await newCsr();
    const answer = await device.certificate(userId, csr);
    assert.equal(answer.status, 201);
    const bundle = CertificateAnswer.parse(await answer.json());
    const expected = {
      spki: parseCertificatePem(bundle.leaf).spki,
      deviceId: device.deviceId,
      userId,
      brand: server.context.authority.brand,
      now: server.context.now(),
    };
    await verifyBundle(bundle, { ...expected, pinned: bundle });
    const { root, intermediate } = server.context.authority;
    const pinned = { root: root.pem, intermediate: intermediate.pem };
    await assert.rejects(verifyBundle(bundle, { ...expected, pinned }), Problem);
    const { trustAnchors } = DesiredState.parse(await (await device.desired()).json());
    assert.notEqual(trustAnchors.root, root.pem);
    const list = await server.fetch(new Request(`${server.context.publicUrl}/v1/crl`));
    assert.equal(list.status, 200, "what holds no certificate stays as it is");
  });
});

Deno.test("latency holds the answer back", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    await ask(server, { kind: "latency", route: "desired-state", milliseconds: 50 });
    const started = performance.now();
    assert.equal((await device.desired()).status, 200);
    assert.ok(performance.now() - started >= 49);
  });
});
