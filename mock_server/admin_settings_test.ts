import assert from "node:assert/strict";
import { PolicyBody } from "./policy.ts";
import { assertProblem, NOWHERE, withAdmin } from "./scratch_admin.ts";
import { SCRATCH_START } from "./scratch_context.ts";
import { previewSettings } from "./settings_preview.ts";

Deno.test("settings: PUT takes any subset, answers all of it, and tells every device", async () => {
  await withAdmin(async (call, { context, woken }) => {
    const before = await call("GET", "settings");
    assert.deepEqual(before.body, {
      globalCertificateDistribution: true,
      brand: "JumpCloud",
      selectionPatterns: ["https://[*.]challenge.localhost:8443"],
      keyAlgorithm: "P-256",
      overlapSeconds: 604_800,
      macosApplications: [],
      defaultDecision: "allow",
    });
    const change = { keyAlgorithm: "RSA-2048", overlapSeconds: 60, brand: "JumpCloud" };
    const after = await call("PUT", "settings", change);
    assert.equal(after.status, 200);
    assert.deepEqual(after.body, { ...before.body, ...change });
    assert.deepEqual((await call("GET", "settings")).body, after.body);
    assert.deepEqual(woken(), ["*"]);
    assert.equal((await call("PUT", "settings", change)).status, 200);
    assert.deepEqual(woken(), [], "what changes nothing wakes nobody");
    assert.equal(context.store.events.ofType("settings.changed", 0).length, 1);
  });
});

Deno.test("settings: another brand is 409, and what is misspelt or out of bounds is 422", async () => {
  await withAdmin(async (call) => {
    const before = (await call("GET", "settings")).body;
    assertProblem(
      await call("PUT", "settings", { brand: "Acme", overlapSeconds: 1 }),
      409,
      "conflict",
    );
    const bad = [
      { globalCertificateDistributon: false },
      { globalCertificateDistribution: "off" },
      { selectionPatterns: ["http://a.example"] },
      { selectionPatterns: ["https://a.example/path"] },
      { selectionPatterns: ["https://[*.]com"] },
      { selectionPatterns: ["https://[*.]co.uk"] },
      { selectionPatterns: ["https://*.example.com"] },
      { selectionPatterns: [`https://${"a".repeat(60)}.${"b".repeat(60)}.example`.repeat(3)] },
      { selectionPatterns: Array(101).fill("https://a.example") },
      { keyAlgorithm: "P-384" },
      { overlapSeconds: -1 },
      { overlapSeconds: 1.5 },
      { macosApplications: "Safari" },
      { defaultDecision: "relax" },
      [],
      null,
    ];
    for (const body of bad) {
      for (const [method, path] of [["PUT", "settings"], ["POST", "settings/preview"]] as const) {
        assertProblem(await call(method, path, body), 422, "invalid");
      }
    }
    assert.deepEqual((await call("GET", "settings")).body, before);
  });
});

Deno.test("turning distribution OFF revokes every leaf and leaves policies as they are", async () => {
  await withAdmin(async (call, { addManaged, issue, woken }) => {
    for (const name of ["alice", "bob"]) await issue(addManaged(`${name}@example.com`));
    const body = { name: "p", users: ["*"], resources: ["*"], conditions: { device: "managed" } };
    const policy = (await call("POST", "policies", { ...body, action: "relax" })).body;
    assert.equal(
      (await call("PUT", "settings", { globalCertificateDistribution: false })).status,
      200,
    );
    assert.deepEqual(woken(), ["*"]);
    const { items } = (await call("GET", "certificates")).body;
    assert.deepEqual(
      items.map((item: Record<string, unknown>) => [item["status"], item["reason"]]),
      [["revoked", "cessationOfOperation"], ["revoked", "cessationOfOperation"]],
    );
    assert.deepEqual((await call("GET", "policies")).body.items, [policy]);
  });
});

Deno.test("the preview of OFF counts who loses a certificate, names the policies, changes nothing", async () => {
  await withAdmin(async (call, { context, addManaged, addUser, issue, woken }) => {
    const alice = addManaged("alice@example.com");
    const leaf = await issue(alice);
    const bob = addUser("bob@example.com");
    context.store.bindings.put(alice.deviceId, bob, "bob", SCRATCH_START);
    await issue({ deviceId: alice.deviceId, userId: bob });
    addManaged("carol@example.com");
    const common = { users: ["*"], resources: ["*"], action: "deny" };
    const add = async (name: string, more: Record<string, unknown>) =>
      (await call("POST", "policies", { ...common, name, ...more })).body.policyId;
    const managed = await add("managed only", { conditions: { device: "managed" } });
    const unmanaged = await add("unmanaged", { conditions: { device: "unmanaged" } });
    await add("no device condition", { conditions: { os: ["linux"] } });
    await add("disabled", { enabled: false, conditions: { device: "managed" } });
    const before = context.store.events.list({ limit: 500 }).items.length;
    woken();

    const off = await call("POST", "settings/preview", { globalCertificateDistribution: false });
    assert.equal(off.status, 200);
    const { loses, gains, policies, changes, summary } = off.body;
    assert.deepEqual(changes, [{
      setting: "globalCertificateDistribution",
      from: true,
      to: false,
    }]);
    const counts = { devices: loses.devices, users: loses.users, certificates: loses.certificates };
    assert.deepEqual(counts, { devices: 1, users: 2, certificates: 2 });
    assert.deepEqual(loses.items[0], {
      deviceId: alice.deviceId,
      hostname: "laptop",
      userId: alice.userId,
      email: "alice@example.com",
      username: "account",
      serials: [leaf.serial],
    });
    assert.equal(gains.certificates, 0);
    assert.deepEqual(
      policies.map((policy: { policyId: string; name: string }) => [policy.policyId, policy.name]),
      [[managed, "managed only"], [unmanaged, "unmanaged"]],
    );
    assert.match(summary[0], /^OFF: 2 users on 1 device would lose 2 certificates/);

    assert.equal(context.store.settings.current.globalCertificateDistribution, true);
    assert.equal(context.store.events.list({ limit: 500 }).items.length, before);
    assert.deepEqual(woken(), []);
    const nothing = await call("POST", "settings/preview", { globalCertificateDistribution: true });
    assert.equal(nothing.body.loses.certificates, 0);
    assert.deepEqual(nothing.body.policies, []);
    assert.match(nothing.body.summary[0], /Nothing would change/);
  });
});

Deno.test("the preview of ON says who would get a certificate", async () => {
  await withAdmin(async (call, { addManaged }) => {
    addManaged("alice@example.com");
    await call("PUT", "settings", { globalCertificateDistribution: false });
    const { gains, loses } =
      (await call("POST", "settings/preview", { globalCertificateDistribution: true })).body;
    assert.deepEqual([gains.devices, gains.users, gains.certificates], [1, 1, 1]);
    assert.equal(loses.certificates, 0);
  });
});

Deno.test("the preview of other settings says in words what they would do", async () => {
  await withAdmin(async (call, { addManaged, issue, context }) => {
    const alice = addManaged("alice@example.com");
    const [old, current] = [await issue(alice), await issue(alice)];
    const certificate = context.store.certificates.get(current.serial);
    assert.ok(certificate && old);
    context.store.certificates.installed(certificate, SCRATCH_START);
    const { summary, loses } = (await call("POST", "settings/preview", {
      selectionPatterns: ["https://portal.example.com"],
      keyAlgorithm: "RSA-2048",
      overlapSeconds: 0,
      defaultDecision: "deny",
    })).body;
    assert.equal(loses.certificates, 0, "everybody keeps their current certificate");
    const words = summary.join("\n");
    assert.match(
      words,
      /challenge\.localhost:8443: browsers of 1 user on 1 device would stop pres/,
    );
    assert.match(words, /portal\.example\.com: browsers of 1 user on 1 device would present/);
    assert.match(words, /1 superseded certificate would end at once/);
    assert.match(words, /RSA-2048/);
    assert.match(words, /'deny'/);
  });
});

Deno.test("the preview of patterns says whose browsers change, and what becomes of the portal", async () => {
  await withAdmin(async (call, { addManaged, issue }) => {
    const alice = addManaged("alice@example.com");
    const leaf = await issue(alice);
    addManaged("bob@example.com");
    const common = { users: ["*"], resources: ["*"], action: "deny" };
    for (const device of ["managed", "unmanaged"]) {
      await call("POST", "policies", { ...common, name: device, conditions: { device } });
    }
    await call("POST", "policies", { ...common, name: "neither" });
    const preview = async (change: Record<string, unknown>) =>
      (await call("POST", "settings/preview", change)).body;
    const own = "https://[*.]challenge.localhost:8443";
    const other = "https://intranet.example.com";

    const more = await preview({ selectionPatterns: [own, other] });
    assert.deepEqual([more.patterns.added, more.patterns.removed], [[other], []]);
    const { items, ...counts } = more.patterns.affected;
    assert.deepEqual(counts, { devices: 1, users: 1, certificates: 1 });
    assert.deepEqual(items[0].serials, [leaf.serial]);
    assert.deepEqual(more.policies, [], "the portal sees what it saw");
    const gone = await preview({ selectionPatterns: [other] });
    assert.deepEqual([gone.patterns.added, gone.patterns.removed], [[other], [own]]);
    assert.equal(gone.loses.certificates, 0, "certificates stay where they are");
    assert.match(gone.summary.join("\n"), /No pattern would cover the portal/);
    assert.deepEqual(
      gone.policies.map((policy: { name: string; effect: string }) => [policy.name, policy.effect]),
      [
        ["managed", "Matches only where a person chooses the certificate by hand."],
        ["unmanaged", "Matches wherever a person does not choose the certificate by hand."],
      ],
    );
    const nothing = await preview({ selectionPatterns: [own] });
    assert.deepEqual(nothing.patterns.affected.users, 0);
    const off = await preview({ globalCertificateDistribution: false, selectionPatterns: [other] });
    assert.equal(off.patterns.affected.users, 0, "nobody presents anything then");
    assert.match(off.policies[0].effect, /every device counts as unmanaged/);
  });
});

Deno.test("a pattern covers the portal by its name or one above it, and its port or any", async () => {
  const cases: [string, string, boolean][] = [
    ["https://[*.]challenge.portal.example.com", "https://portal.example.com", true],
    ["https://[*.]challenge.portal.example.com:443", "https://portal.example.com", true],
    ["https://[*.]example.com", "https://portal.example.com:8443", true],
    ["https://[*.]Example.COM:8443", "https://portal.example.com:8443", true],
    ["https://[*.]example.com:8444", "https://portal.example.com:8443", false],
    ["https://[*.]example.com:443", "https://portal.example.com:8443", false],
    ["https://portal.example.com", "https://portal.example.com", false],
    ["https://challenge.portal.example.com", "https://portal.example.com", false],
    ["https://[*.]l.example.com", "https://portal.example.com", false],
    ["https://192.0.2.1:8443", "https://192.0.2.1:8443", true],
    ["https://192.0.2.2:8443", "https://192.0.2.1:8443", false],
  ];
  await withAdmin((_call, { context }) => {
    const settings = { ...context.store.settings.current, selectionPatterns: [] };
    const all = { name: "managed", users: ["*"], resources: ["*"], action: "deny" };
    const body = PolicyBody.parse({ ...all, conditions: { device: "managed" } });
    for (const [pattern, portalUrl, covers] of cases) {
      const { policies } = previewSettings(settings, { selectionPatterns: [pattern] }, {
        fleet: [],
        policies: [{ ...body, policyId: NOWHERE }],
        portalUrl,
        now: SCRATCH_START,
      });
      const effects = covers ? ["Matches again where a device presents its certificate."] : [];
      assert.deepEqual(policies.map(({ effect }) => effect), effects, pattern);
    }
    return Promise.resolve();
  });
});
