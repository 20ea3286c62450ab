import assert from "node:assert/strict";
import { generationOf } from "../ca/authority.ts";
import { certificateUse, parseCertificatePem } from "../ca/certificate.ts";
import { beginGeneration } from "./admin_authority.ts";
import { withAdmin } from "./scratch_admin.ts";
import { Browser, challenge, holder } from "./scratch_browser.ts";
import { withScratch } from "./scratch_context.ts";
import { newCsr, withServer } from "./scratch_device.ts";

for (const what of ["intermediate", "root"] as const) {
  Deno.test(`a new ${what} is told to every device, and leaves of before stay good at the portal`, async () => {
    await withScratch(async (scratch) => {
      const { context } = scratch;
      const alice = scratch.addManaged("alice@example.com");
      const before = await scratch.issue(alice);
      await beginGeneration(context, what);
      assert.deepEqual(scratch.woken(), ["*"]);
      const after = await scratch.issue(alice);
      for (const leaf of [before, after]) {
        const browser = new Browser(scratch, holder([leaf.der]));
        const { reason, serial } = await challenge(browser, alice.email);
        assert.deepEqual({ reason, serial }, { reason: "ok", serial: leaf.serial });
      }
    });
  });
}

Deno.test("a key asked for again after the authority changed gets its leaf with the chain of then", async () => {
  await withServer(async (server) => {
    const { context } = server;
    const { device, userId } = await server.managed();
    const first = await device.newLeaf(userId);
    await beginGeneration(context, "root");
    const again = await (await device.certificate(userId, first.csr)).json();
    assert.deepEqual(again, first.answer);
    const { csr } = await newCsr();
    const next = await (await device.certificate(userId, csr, first.signer)).json();
    assert.equal(next.intermediate, context.authority.intermediate.pem);
    assert.equal(next.root, context.authority.root.pem);
    const { authorityKeyIdentifier } = certificateUse(parseCertificatePem(next.leaf));
    assert.equal(generationOf(context.authority, authorityKeyIdentifier ?? ""), context.authority);
    const desired = await (await device.desired()).json();
    assert.equal(desired.trustAnchors.crossSigned, context.authority.crossSigned);
  });
});

Deno.test("the administrator sees the generations, and how many leaves hang on each", async () => {
  await withAdmin(async (call, scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    await scratch.issue(alice);
    const { body: before } = await call("GET", "authority");
    assert.deepEqual(
      before.generations.map((each: Record<string, unknown>) => [
        each["generation"],
        each["status"],
        each["liveCertificates"],
      ]),
      [[1, "current", 1]],
    );
    const { status, body } = await call("POST", "authority/renew", { renew: "root" });
    assert.equal(status, 200);
    await scratch.issue(scratch.addManaged("bob@example.com"));
    const { body: after } = await call("GET", "authority");
    assert.deepEqual(
      after.generations.map((each: Record<string, unknown>) => [
        each["generation"],
        each["status"],
        each["liveCertificates"],
      ]),
      [[2, "current", 1], [1, "former", 1]],
    );
    assert.equal(body.generations[1].root.pem, before.generations[0].root.pem);
    const [event] = scratch.context.store.events.list({ limit: 1 }).items;
    assert.deepEqual([event?.type, event?.detail], [
      "authority.renewed",
      { renewed: "root", generation: 2 },
    ]);
    assert.equal((await call("POST", "authority/renew", { renew: "leaf" })).status, 422);
  });
});
