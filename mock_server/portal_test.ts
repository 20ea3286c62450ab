import assert from "node:assert/strict";
import fc from "fast-check";
import { changeSettings } from "./fleet_changes.ts";
import { evaluate } from "./policy.ts";
import { Browser, challenge, holder } from "./scratch_browser.ts";
import { SCRATCH_START, withScratch } from "./scratch_context.ts";
import { policyLists } from "./scratch_policies.ts";

const PROXY = "192.0.2.1";

Deno.test("/challenge calls a managed user's device managed and says whose it is", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const answer = await challenge(
      new Browser(scratch, holder([leaf.der])),
      "Alice@Example.com",
    );
    const { message: _, eventId, ...rest } = answer;
    assert.deepEqual(rest, {
      managed: true,
      reason: "ok",
      deviceId: alice.deviceId,
      userId: alice.userId,
      serial: leaf.serial,
      decision: "allow",
      policy: null,
    });
    const [event] = scratch.context.store.events.list({ limit: 1 }).items;
    assert.equal(event?.eventId, eventId);
    assert.equal(event?.type, "portal.challenge");
    assert.equal(event?.detail["resource"], "mail");
  });
});

Deno.test("/challenge gives each reason as soon as it is the case, on the same connection", async () => {
  await withScratch(async (scratch) => {
    const { context, clock } = scratch;
    const { store } = context;
    const alice = scratch.addManaged("alice@example.com");
    scratch.addUser("bob@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const reason = async (user = alice.email) => (await challenge(browser, user)).reason;

    assert.equal(await reason(), "ok");
    assert.equal(await reason("bob@example.com"), "user-mismatch");
    assert.equal(await reason("nobody@example.com"), "no-user");
    assert.equal(await reason(""), "no-user");
    clock.now = SCRATCH_START - 3_600_001;
    assert.equal(await reason(), "untrusted", "before the intermediate's own life");
    clock.now = SCRATCH_START + 3_600_000;
    assert.equal(await reason(), "expired");
    clock.now = SCRATCH_START;

    store.certificates.revoke(leaf.serial, "privilegeWithdrawn", clock.now);
    assert.equal(await reason(), "revoked");
    store.bindings.remove(alice.deviceId, alice.userId, clock.now);
    assert.equal(await reason(), "user-not-managed");
    store.devices.delete(alice.deviceId, clock.now);
    assert.equal(await reason(), "device-deleted");
    store.settings.update({ globalCertificateDistribution: false }, clock.now);
    assert.equal(await reason(), "distribution-off");
  });
});

Deno.test("/challenge without a certificate, and with somebody else's, says so", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    assert.equal((await challenge(new Browser(scratch), alice.email)).reason, "no-certificate");
    await withScratch(async (other) => {
      const foreign = await other.issue(other.addManaged(alice.email));
      const answer = await challenge(new Browser(scratch, holder([foreign.der])), alice.email);
      assert.equal(answer.reason, "untrusted");
      assert.equal(answer.deviceId, null);
      assert.equal(answer.userId, null);
      assert.equal(answer.serial, foreign.serial);
    });
  });
});

Deno.test("a superseded leaf is managed for the overlap and no longer", async () => {
  await withScratch(async (scratch) => {
    const { context, clock } = scratch;
    context.store.settings.update({ overlapSeconds: 600 }, clock.now);
    const alice = scratch.addManaged("alice@example.com");
    const [old, current] = [await scratch.issue(alice), await scratch.issue(alice)];
    const browser = new Browser(scratch, holder([old.der]));
    const certificate = context.store.certificates.get(current.serial);
    assert.ok(certificate);
    assert.equal((await challenge(browser, alice.email)).reason, "ok");
    context.store.certificates.installed(certificate, clock.now);
    clock.now += 599_999;
    assert.equal((await challenge(browser, alice.email)).reason, "ok");
    clock.now += 1;
    assert.equal((await challenge(browser, alice.email)).reason, "revoked");
    const fresh = new Browser(scratch, holder([current.der]));
    assert.equal((await challenge(fresh, alice.email)).reason, "ok");
  });
});

Deno.test("policies decide by the verdict, the user's groups, the address and the system", async () => {
  await withScratch(async (scratch) => {
    const { store } = scratch.context;
    const alice = scratch.addManaged("alice@example.com", ["staff"]);
    const leaf = await scratch.issue(alice);
    const policyId = "00000000-0000-4000-8000-000000000001";
    const policy = (conditions: Record<string, unknown>) => {
      const body = { name: "p", enabled: true, users: ["group:staff"], resources: ["mail"] };
      store.policies.put(policyId, { ...body, conditions, action: "deny" }, 0);
    };
    const browser = new Browser(scratch, holder([leaf.der], "::ffff:10.1.2.3"));
    const decision = async (headers?: Record<string, string>) =>
      (await challenge(browser, alice.email, headers)).decision;
    const iphone = { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)" };

    policy({ device: "managed" });
    assert.equal(await decision(), "deny");
    assert.equal(await decision(iphone), "allow", "a phone never satisfies 'managed'");
    policy({ device: "unmanaged" });
    assert.equal(await decision(), "allow");
    assert.equal(await decision(iphone), "deny");
    policy({ ip: ["10.0.0.0/8"] });
    assert.equal(await decision(), "deny");
    assert.equal(await decision({ "x-forwarded-for": "203.0.113.1" }), "deny", "nobody's proxy");
    policy({ os: ["linux"] });
    assert.equal(await decision(), "deny", "the device's record, where no field names the system");
    assert.equal(await decision({ "sec-ch-ua-platform": '"Windows"' }), "allow");
    store.settings.update({ globalCertificateDistribution: false }, 0);
    policy({ device: "unmanaged" });
    assert.equal(await decision(), "deny");
  });
});

Deno.test("OFF leaves policies as they are, and they see every device as unmanaged", async () => {
  await withScratch(async (scratch) => {
    const { context } = scratch;
    const { store } = context;
    const alice = scratch.addManaged("alice@example.com", ["staff"]);
    const lists = fc.sample(policyLists, { numRuns: 20, seed: 1 });
    let differing = 0;
    for (const list of lists) {
      const leaf = await scratch.issue(alice);
      const browser = new Browser(scratch, holder([leaf.der], "192.0.2.9"));
      for (const { policyId, ...body } of list) store.policies.put(policyId, body, 0);
      const before = store.policies.all();
      const request = {
        userId: alice.userId,
        groups: ["staff"],
        resource: "mail",
        os: "linux" as const,
        ip: "192.0.2.9",
      };
      const decides = async (device: "managed" | "unmanaged") => {
        const { managed, decision, policy } = await challenge(browser, alice.email);
        const { why: _, ...expected } = evaluate(list, { ...request, device }, "allow");
        assert.deepEqual({ decision, policy }, expected);
        assert.equal(managed, device === "managed");
        return decision;
      };
      const on = await decides("managed");
      changeSettings(context, { globalCertificateDistribution: false });
      assert.deepEqual(store.policies.all(), before);
      if (await decides("unmanaged") !== on) differing++;
      changeSettings(context, { globalCertificateDistribution: true });
      assert.deepEqual(store.policies.all(), before);
      await decides("unmanaged"); // The leaf of before OFF stays revoked.
      for (const { policyId } of list) store.policies.delete(policyId);
    }
    assert.ok(differing > 0, "some of them depend on the device");
  });
});

Deno.test("Client-Cert counts from the configured proxy and from nobody else", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const field = { "client-cert": `:${leaf.der.toBase64()}:` };
    const proxy = new Browser(scratch, holder([], PROXY));
    const stranger = new Browser(scratch, holder([], "192.0.2.99"));
    assert.equal((await challenge(proxy, alice.email, field)).reason, "ok");
    assert.equal((await challenge(stranger, alice.email, field)).reason, "no-certificate");
    assert.equal((await challenge(proxy, alice.email)).reason, "no-certificate");
    for (const bad of ["", "::", leaf.der.toBase64(), `:${leaf.der.toBase64()}:, :MAA=:`]) {
      const answer = await challenge(proxy, alice.email, { "client-cert": bad });
      assert.equal(answer.reason, "untrusted", bad.slice(0, 20));
    }
  }, { trustedProxies: [`${PROXY}/32`] });
});
