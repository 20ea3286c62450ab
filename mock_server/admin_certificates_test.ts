import assert from "node:assert/strict";
import { assertProblem, withAdmin } from "./scratch_admin.ts";

Deno.test("a certificate is listed with its status and can be revoked, once", async () => {
  await withAdmin(async (call, { addManaged, issue, context, clock, woken }) => {
    const alice = addManaged("alice@example.com");
    const [old, current] = [await issue(alice), await issue(alice)];
    const list = async () =>
      (await call("GET", "certificates")).body.items
        .map((item: Record<string, unknown>) => [item["serial"], item["status"], item["reason"]]);
    assert.deepEqual(await list(), [
      [old.serial, "overlap", null],
      [current.serial, "current", null],
    ]);
    const revoked = await call("POST", `certificates/${current.serial}/revoke`);
    assert.equal(revoked.status, 200);
    assert.equal(revoked.body.reason, "privilegeWithdrawn");
    assert.equal(revoked.body.revokedAt, "2026-03-01T12:00:00.000Z");
    assert.deepEqual(woken(), [alice.deviceId]);
    clock.now += 1000;
    const again = await call("POST", `certificates/${current.serial}/revoke`, {
      reason: "keyCompromise",
    });
    assert.deepEqual(again.body, revoked.body);
    assert.deepEqual(await list(), [
      [old.serial, "current", null],
      [current.serial, "revoked", "privilegeWithdrawn"],
    ]);
    const second = await call("POST", `certificates/${old.serial}/revoke`, {
      reason: "keyCompromise",
    });
    assert.equal(second.body.reason, "keyCompromise");
    assert.equal(context.store.events.ofType("certificate.revoked", 0).length, 2);
    assertProblem(await call("POST", "certificates/00ff/revoke"), 404, "not-found");
    assertProblem(await call("POST", "certificates/xyz/revoke"), 404, "not-found");
    const bad = { reason: "because" };
    assertProblem(await call("POST", `certificates/${old.serial}/revoke`, bad), 422, "invalid");
    clock.now += 7_200_000;
    const third = await issue(alice);
    clock.now += 7_200_000;
    assert.deepEqual((await list()).at(-1), [third.serial, "expired", null]);
  });
});

Deno.test("an overlap that is over has ended when anybody looks", async () => {
  await withAdmin(async (call, { addManaged, issue, context, clock }) => {
    context.store.settings.update({ overlapSeconds: 60 }, clock.now);
    const alice = addManaged("alice@example.com");
    const [old, current] = [await issue(alice), await issue(alice)];
    const certificate = context.store.certificates.get(current.serial);
    assert.ok(certificate);
    context.store.certificates.installed(certificate, clock.now);
    clock.now += 60_000;
    const [first] = (await call("GET", "certificates")).body.items;
    assert.deepEqual([first.serial, first.status, first.reason], [
      old.serial,
      "revoked",
      "superseded",
    ]);
  });
});

Deno.test("an emergency renewal moves every window to now and tells its progress", async () => {
  await withAdmin(async (call, { addManaged, issue, context, clock, woken }) => {
    const none = await call("GET", "certificates/renew");
    assert.equal(none.body.startedAt, null);
    const [alice, bob] = [addManaged("alice@example.com"), addManaged("bob@example.com")];
    const [first] = [await issue(alice), await issue(bob)];
    clock.now += 1000;
    const started = await call("POST", "certificates/renew", { spreadSeconds: 600 });
    assert.equal(started.status, 200);
    assert.deepEqual(started.body, {
      startedAt: "2026-03-01T12:00:01.000Z",
      spreadSeconds: 600,
      certificates: 2,
      renewed: 0,
      pending: 2,
    });
    assert.deepEqual(woken(), ["*"]);
    const moved = context.store.certificates.get(first?.serial ?? "");
    assert.equal(moved?.renewalStart, clock.now);
    assert.equal(moved?.renewalEnd, clock.now + 600_000);
    clock.now += 1000;
    await issue(alice);
    const half = (await call("GET", "certificates/renew")).body;
    assert.deepEqual([half.renewed, half.pending], [1, 1]);
    await call("DELETE", `users/${bob.userId}`);
    const done = (await call("GET", "certificates/renew")).body;
    assert.deepEqual([done.renewed, done.pending], [2, 0]);
    const again = await call("POST", "certificates/renew", { spreadSeconds: 0 });
    assert.deepEqual([again.body.certificates, again.body.pending], [1, 1]);
    const [renewed] = context.store.certificates.live(alice.deviceId, alice.userId, clock.now);
    assert.ok(
      renewed && renewed.renewalStart < renewed.renewalEnd,
      "a window has to have a length",
    );
    for (const body of [{}, { spreadSeconds: -1 }, { spreadSeconds: 1.5 }, { spread: 1 }]) {
      assertProblem(await call("POST", "certificates/renew", body), 422, "invalid");
    }
  });
});
