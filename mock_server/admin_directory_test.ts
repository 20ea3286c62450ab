import assert from "node:assert/strict";
import { assertProblem, NOWHERE, withAdmin } from "./scratch_admin.ts";

Deno.test("users are added once per e-mail address, listed, and deleted", async () => {
  await withAdmin(async (call) => {
    const made = await call("POST", "users", {
      email: "alice@example.com",
      name: "Alice",
      groups: ["staff"],
    });
    assert.equal(made.status, 201);
    assert.equal(made.body.email, "alice@example.com");
    assert.deepEqual((await call("GET", "users")).body, { items: [made.body], nextCursor: null });
    assertProblem(await call("POST", "users", { email: "ALICE@example.com" }), 409, "conflict");
    for (const email of ["", "alice", "@", "a@", "a b@c", "a@b\n", `${"a".repeat(320)}@b`, 7]) {
      assertProblem(await call("POST", "users", { email }), 422, "invalid");
    }
    assertProblem(
      await call("POST", "users", { email: "b@example.com", group: ["x"] }),
      422,
      "invalid",
    );
    assert.equal((await call("DELETE", `users/${made.body.userId}`)).status, 204);
    assertProblem(await call("DELETE", `users/${made.body.userId}`), 404, "not-found");
    assertProblem(await call("DELETE", `users/${NOWHERE}`), 404, "not-found");
    assert.deepEqual((await call("GET", "users")).body.items, []);
    assert.equal((await call("POST", "users", { email: "alice@example.com" })).status, 201);
  });
});

Deno.test("deleting a user revokes their certificates at once and tells the devices", async () => {
  await withAdmin(async (call, { addManaged, issue, woken, context }) => {
    const alice = addManaged("alice@example.com");
    const leaf = await issue(alice);
    assert.equal((await call("DELETE", `users/${alice.userId}`)).status, 204);
    assert.deepEqual(woken(), [alice.deviceId]);
    assert.equal(context.store.certificates.get(leaf.serial)?.reason, "affiliationChanged");
    assert.deepEqual(context.store.bindings.managedOn(alice.deviceId), []);
  });
});

Deno.test("a binding gives one user one account; a second user of it is 409", async () => {
  await withAdmin(async (call, { addDevice, addUser, woken, issue, context }) => {
    const [device, alice, bob] = [addDevice(), addUser("a@example.com"), addUser("b@example.com")];
    const path = (userId: string) => `devices/${device}/users/${userId}`;
    const bound = await call("PUT", path(alice), { username: "alice" });
    assert.equal(bound.status, 200);
    assert.deepEqual(bound.body, { deviceId: device, userId: alice, username: "alice" });
    assert.deepEqual(woken(), [device]);
    assertProblem(await call("PUT", path(bob), { username: "alice" }), 409, "conflict");
    assert.equal((await call("PUT", path(alice), { username: "alice" })).status, 200);
    assert.equal((await call("PUT", path(bob), { username: "bob" })).status, 200);
    const users = (await call("GET", "devices")).body.items[0].users;
    assert.deepEqual(
      users.map((
        user: Record<string, unknown>,
      ) => [user["email"], user["username"], user["state"]]),
      [["a@example.com", "alice", null], ["b@example.com", "bob", null]],
    );

    const leaf = await issue({ deviceId: device, userId: alice });
    woken();
    assert.equal((await call("DELETE", path(alice))).status, 204);
    assert.deepEqual(woken(), [device]);
    assert.equal(context.store.certificates.get(leaf.serial)?.reason, "affiliationChanged");
    assertProblem(await call("DELETE", path(alice)), 404, "not-found");
    assertProblem(await call("PUT", path(NOWHERE), { username: "x" }), 404, "not-found");
    assertProblem(
      await call("PUT", `devices/${NOWHERE}/users/${bob}`, { username: "x" }),
      404,
      "not-found",
    );
    assertProblem(await call("PUT", `devices/x/users/${bob}`, { username: "x" }), 404, "not-found");
    for (const username of ["", "a/b", "a:b", "a\u0000", 5]) {
      assertProblem(await call("PUT", path(alice), { username }), 422, "invalid");
    }
    assertProblem(await call("PUT", path(alice), {}), 422, "invalid");
  });
});

Deno.test("deleting a device revokes its certificates, wakes its agent and hides it", async () => {
  await withAdmin(async (call, { addManaged, issue, woken, context }) => {
    const alice = addManaged("alice@example.com");
    const leaf = await issue(alice);
    assert.equal((await call("DELETE", `devices/${alice.deviceId}`)).status, 204);
    assert.deepEqual(woken(), [alice.deviceId]);
    assert.equal(context.store.certificates.get(leaf.serial)?.reason, "cessationOfOperation");
    assert.deepEqual((await call("GET", "devices")).body.items, []);
    assertProblem(await call("DELETE", `devices/${alice.deviceId}`), 404, "not-found");
  });
});

Deno.test("devices show each user's certificate, the last report, receipts, and filter by them", async () => {
  await withAdmin(async (call, { addManaged, issue, context, clock }) => {
    const { store } = context;
    const alice = addManaged("alice@example.com");
    const bob = addManaged("bob@example.com");
    const leaf = await issue(alice);
    const filters = [{ browser: "chrome", location: "/etc/opt/chrome", state: "ok" as const }];
    clock.now += 60_000;
    store.devices.seen(alice.deviceId, clock.now);
    store.reports.record(alice.deviceId, {
      userId: alice.userId,
      state: "installed",
      serial: leaf.serial,
      filters,
      removed: [{ kind: "leaf", id: "ab" }],
    }, clock.now);
    const only = async (query: string) => {
      const answer = await call("GET", `devices?${query}`);
      assert.equal(answer.status, 200);
      return answer.body.items.map((item: { deviceId: string }) => item.deviceId);
    };
    assert.deepEqual(await only("state=installed"), [alice.deviceId]);
    assert.deepEqual(await only("state=failed"), []);
    assert.deepEqual(await only("lastSeenBefore=2026-03-01T12:00:30Z"), [bob.deviceId]);
    for (const query of ["state=odd", "lastSeenBefore=yesterday"]) {
      assertProblem(await call("GET", `devices?${query}`), 422, "invalid");
    }
    const [device] = (await call("GET", "devices?state=installed")).body.items;
    assert.equal(device.lastSeen, "2026-03-01T12:01:00.000Z");
    assert.equal(device.lastReport, "2026-03-01T12:01:00.000Z");
    assert.equal(device.clean, null);
    const [user] = device.users;
    assert.equal(user.leaves[0].serial, leaf.serial);
    assert.equal(user.leaves[0].status, "current");
    assert.equal(user.state, "installed");
    assert.deepEqual(user.filters, filters);
    assert.deepEqual(user.removed, [{ kind: "leaf", id: "ab", at: "2026-03-01T12:01:00.000Z" }]);
  });
});

Deno.test("after OFF a device is clean once it has said so, and a device never certified always", async () => {
  await withAdmin(async (call, { addManaged, issue, context, clock }) => {
    const alice = addManaged("alice@example.com");
    addManaged("bob@example.com");
    await issue(alice);
    const report = (state: "installed" | "removed") => {
      clock.now += 1000;
      context.store.reports.record(
        alice.deviceId,
        { userId: alice.userId, state, filters: [] },
        clock.now,
      );
    };
    const clean = async () =>
      (await call("GET", "devices")).body.items.map((item: { clean: boolean }) => item.clean);
    report("removed");
    clock.now += 1000;
    await call("PUT", "settings", { globalCertificateDistribution: false });
    assert.deepEqual(await clean(), [false, true], "what was said before OFF does not count");
    report("installed");
    assert.deepEqual(await clean(), [false, true]);
    report("removed");
    assert.deepEqual(await clean(), [true, true]);
  });
});
