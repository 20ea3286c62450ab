import assert from "node:assert/strict";
import { assertProblem, type Call, NOWHERE, withAdmin } from "./scratch_admin.ts";
import { type Scratch, SCRATCH_START } from "./scratch_context.ts";

/** Alice (staff) and Bob on one device, Alice on another one too, each with a leaf but there. */
async function smallFleet({ addManaged, addUser, addDevice, issue, context }: Scratch) {
  const alice = addManaged("alice@example.com", ["staff"]);
  const bob = addUser("bob@example.com");
  const second = addDevice();
  context.store.bindings.put(alice.deviceId, bob, "bob", SCRATCH_START);
  context.store.bindings.put(second, alice.userId, "alice", SCRATCH_START);
  const leaf = await issue(alice);
  const bobs = await issue({ deviceId: alice.deviceId, userId: bob });
  return { alice, bob, second, leaf, bobs };
}

/** Policies by name, enabled unless it is `disabled`. */
async function addPolicies(call: Call, policies: Record<string, Record<string, unknown>>) {
  for (const [name, more] of Object.entries(policies)) {
    const body = { name, users: ["*"], resources: ["*"], action: "deny", ...more };
    assert.equal((await call("POST", "policies", body)).status, 201);
  }
}

async function preview(call: Call, path: string) {
  const { status, body } = await call("GET", `${path}/removal-preview`);
  assert.equal(status, 200, JSON.stringify(body));
  const { loses: { items, ...counts }, policies, summary } = body;
  const serials = items.flatMap((item: { serials: string[] }) => item.serials);
  const effects: Record<string, string> = Object.fromEntries(
    policies.map(({ name, effect }: { name: string; effect: string }) => [name, effect]),
  );
  return { counts, items, serials, effects, policies, summary: summary.join("\n") };
}

const MANAGED = { conditions: { device: "managed" } };
const UNMANAGED = { conditions: { device: "unmanaged" } };

Deno.test("the preview of a device's deletion names everybody on it and their certificates", async () => {
  await withAdmin(async (call, scratch) => {
    const { alice, leaf, bobs } = await smallFleet(scratch);
    await addPolicies(call, {
      managed: MANAGED,
      unmanaged: { ...UNMANAGED, users: ["group:staff"] },
      "no device condition": {},
      "somebody else": { ...MANAGED, users: ["group:sales"] },
      disabled: { ...MANAGED, enabled: false },
    });
    const { counts, serials, effects, summary } = await preview(call, `devices/${alice.deviceId}`);
    assert.deepEqual(counts, { devices: 1, users: 2, certificates: 2 });
    assert.deepEqual(serials.sort(), [leaf.serial, bobs.serial].sort());
    assert.deepEqual(effects, {
      managed: "No longer matches 2 users on 1 device: their requests count as unmanaged.",
      unmanaged: "Matches 1 user on 1 device, because their requests count as unmanaged.",
    });
    assert.match(summary, /'laptop' would be deleted with 2 managed users/);
    assert.match(summary, /2 users on 1 device would lose 2 certificates, revoked at once/);
  });
});

Deno.test("the preview of an unbinding is about that user on that device alone", async () => {
  await withAdmin(async (call, scratch) => {
    const { alice, bob, second, leaf } = await smallFleet(scratch);
    await addPolicies(call, { managed: MANAGED, bob: { ...MANAGED, users: [bob] } });
    const path = `devices/${alice.deviceId}/users/${alice.userId}`;
    const { counts, items, effects, summary } = await preview(call, path);
    assert.deepEqual(counts, { devices: 1, users: 1, certificates: 1 });
    assert.deepEqual(items, [{
      deviceId: alice.deviceId,
      hostname: "laptop",
      userId: alice.userId,
      email: "alice@example.com",
      username: "account",
      serials: [leaf.serial],
    }]);
    assert.deepEqual(Object.keys(effects), ["managed"]);
    assert.match(
      summary,
      /alice@example\.com would not be managed on 'laptop' \(account 'account'\)/,
    );

    const none = await preview(call, `devices/${second}/users/${alice.userId}`);
    assert.equal(none.counts.certificates, 0);
    assert.deepEqual(none.policies, [], "no certificate: the device is unmanaged already");
    assert.match(none.summary, /Nobody would lose a certificate/);
  });
});

Deno.test("the preview of a user's deletion spans devices, and names policies that mean the user", async () => {
  await withAdmin(async (call, scratch) => {
    const { alice, second, issue } = { ...scratch, ...await smallFleet(scratch) };
    await issue({ deviceId: second, userId: alice.userId });
    await addPolicies(call, {
      "everybody": {},
      "everybody managed": MANAGED,
      "by group": { users: ["group:staff"] },
      "by id": { ...UNMANAGED, users: [alice.userId] },
      "by group or everybody": { users: ["group:staff", "*"] },
      "another": { users: ["group:sales"] },
    });
    const { counts, effects, policies, summary } = await preview(call, `users/${alice.userId}`);
    assert.deepEqual(counts, { devices: 2, users: 1, certificates: 2 });
    assert.deepEqual(Object.keys(effects).sort(), ["by group", "by id", "everybody managed"]);
    assert.match(effects["by group"] ?? "", /No longer matches this user, who is unknown then/);
    assert.match(effects["everybody managed"] ?? "", /No longer matches 1 user on 2 devices/);
    const [group] = policies.filter(({ name }: { name: string }) => name === "by group");
    assert.equal(group.device, null);
    assert.match(summary, /alice@example\.com would be deleted and unbound from 2 devices/);
  });
});

Deno.test("what the preview of a removal says is what the removal then does", async () => {
  for (const which of ["device", "binding", "user"] as const) {
    await withAdmin(async (call, scratch) => {
      const { alice, bob } = await smallFleet(scratch);
      const { store } = scratch.context;
      await scratch.issue({ deviceId: alice.deviceId, userId: bob });
      const path = {
        device: `devices/${alice.deviceId}`,
        binding: `devices/${alice.deviceId}/users/${bob}`,
        user: `users/${bob}`,
      }[which];
      const events = store.events.list({ limit: 500 }).items.length;
      scratch.woken();
      const { serials } = await preview(call, path);
      assert.equal(store.events.list({ limit: 500 }).items.length, events);
      assert.deepEqual(scratch.woken(), []);
      assert.deepEqual(store.certificates.revoked(0), []);
      assert.equal((await call("DELETE", path)).status, 204);
      const revoked = store.certificates.revoked(0).map(({ serial }) => serial);
      assert.deepEqual(revoked.sort(), serials.sort(), which);
      assert.ok(revoked.length >= 2);
      assertProblem(await call("GET", `${path}/removal-preview`), 404, "not-found");
    });
  }
});

Deno.test("there is no preview of the removal of what is not there", async () => {
  await withAdmin(async (call, { addDevice, addUser }) => {
    const [device, user] = [addDevice(), addUser("a@example.com")];
    for (
      const path of [
        `devices/${NOWHERE}`,
        `users/${NOWHERE}`,
        `devices/${device}/users/${user}`,
        `devices/${NOWHERE}/users/${user}`,
        "users/x",
      ]
    ) {
      assertProblem(await call("GET", `${path}/removal-preview`), 404, "not-found");
    }
  });
});
