import assert from "node:assert/strict";
import { byId, elements, type HtmlElement, textOf } from "../scratch_html.ts";
import { withPages } from "../scratch_pages.ts";

const DEVICES = "/admin/devices";
const USERS = "/admin/users";
const KEYS = "/admin/connect-keys";
const CERTIFICATES = "/admin/certificates";

function notice(page: HtmlElement): string {
  return textOf(byId(page, "notice"));
}

Deno.test("devices and users are listed with each certificate's state, expiry and last report", async () => {
  await withPages(async (admin, { context, addManaged, issue, clock }) => {
    const { store } = context;
    const [alice, bob] = [addManaged("alice@example.com"), addManaged("bob@example.com")];
    await issue(alice);
    const error = { code: "store-locked", message: "Another program holds it" };
    store.reports.record(alice.deviceId, {
      userId: alice.userId,
      state: "installed",
      filters: [],
    }, clock.now);
    const { userId } = bob;
    store.reports.record(bob.deviceId, { userId, state: "failed", filters: [], error }, clock.now);
    clock.now += 120_000;
    for (const path of [DEVICES, USERS]) {
      const rows = elements(await admin.open(path), "tr").slice(1).map(textOf);
      assert.equal(rows.length, 2);
      assert.match(rows[0] ?? "", /alice@example.com.*Installed.*1 Mar 2026, 13:00 UTC in 58 min/);
      assert.match(rows[0] ?? "", /1 Mar 2026, 12:00 UTC 2 minutes ago/);
      assert.match(rows[1] ?? "", /bob@example.com.*Failed/);
      const failed = await admin.submit(await admin.open(path), path, { state: "failed" });
      const narrowed = elements(failed.root, "tr").slice(1).map(textOf);
      assert.equal(narrowed.length, 1);
      assert.match(narrowed[0] ?? "", /bob/);
      const none = await admin.submit(await admin.open(path), path, { state: "removing" });
      assert.match(textOf(none.root), /is like that/);
    }
    store.devices.seen(bob.deviceId, clock.now + 86_400_000);
    const page = await admin.open(DEVICES);
    const { root } = await admin.submit(page, DEVICES, { lastSeenBefore: "2026-03-02" });
    assert.match(textOf(elements(root, "table")[0]), /alice/);
    assert.doesNotMatch(textOf(elements(root, "table")[0]), /bob/);
    assert.equal((await admin.get(`${DEVICES}?lastSeenBefore=soon`)).status, 422);
    const device = textOf(await admin.open(`${DEVICES}/${bob.deviceId}`));
    assert.match(device, /store-locked Another program holds it/);
  });
});

Deno.test("a user is added, bound after a preview, unbound after a preview, and deleted after one", async () => {
  await withPages(async (admin, { context, addDevice, issue, woken }) => {
    const { store } = context;
    const deviceId = addDevice();
    const added = await admin.submitAndFollow(await admin.open(USERS), USERS, {
      email: " alice@example.com ",
      name: "Alice",
      groups: "staff\nadmins",
    });
    assert.match(notice(added), /alice@example.com was added/);
    const user = store.users.byEmail("alice@example.com");
    assert.deepEqual([user?.name, user?.groups], ["Alice", ["staff", "admins"]]);
    const userId = user?.userId ?? "";

    const bind = `${DEVICES}/${deviceId}/bind`;
    const device = await admin.open(`${DEVICES}/${deviceId}`);
    const preview = await admin.submit(device, bind, {
      email: "ALICE@example.com",
      username: "al",
    });
    assert.equal(preview.status, 200);
    assert.match(textOf(byId(preview.root, "consequences")), /managed on 'laptop' as account 'al'/);
    assert.equal(store.bindings.count(), 0);
    const bound = await admin.submitAndFollow(preview.root, bind);
    assert.match(notice(bound), /managed here as account 'al'/);
    assert.equal(store.bindings.byAccount(deviceId, "al")?.userId, userId);
    assert.deepEqual(woken(), [deviceId]);

    await issue({ deviceId, userId });
    const unbind = `${DEVICES}/${deviceId}/users/${userId}/unbind`;
    const question = await admin.open(unbind);
    assert.match(textOf(byId(question, "consequences")), /lose 1 certificate/);
    assert.equal(store.bindings.count(), 1);
    await admin.submitAndFollow(question, unbind);
    assert.equal(store.bindings.count(), 0);
    assert.equal(store.certificates.countLive(context.now().getTime()), 0);

    const remove = `${USERS}/${userId}/delete`;
    const deleted = await admin.submitAndFollow(await admin.open(remove), remove);
    assert.match(notice(deleted), /alice@example.com was deleted/);
    assert.equal(store.users.byEmail("alice@example.com"), undefined);
  });
});

Deno.test("what a change refuses is shown beside the form, with what was typed", async () => {
  await withPages(async (admin, { context, addManaged, addUser }) => {
    const alice = addManaged("alice@example.com");
    addUser("bob@example.com");
    const bind = `${DEVICES}/${alice.deviceId}/bind`;
    const device = await admin.open(`${DEVICES}/${alice.deviceId}`);
    const unknown = await admin.submit(device, bind, { email: "x@example.com", username: "x" });
    assert.equal(unknown.status, 422);
    assert.match(textOf(unknown.root), /No user has the e-mail address 'x@example.com'/);
    assert.equal(byId(unknown.root, "email")?.attributes.get("value"), "x@example.com");
    const preview = await admin.submit(device, bind, {
      email: "bob@example.com",
      username: "account",
    });
    const taken = await admin.submit(preview.root, bind);
    assert.equal(taken.status, 422);
    assert.match(textOf(taken.root), /Account 'account' of this device belongs to user/);
    assert.equal(byId(taken.root, "username")?.attributes.get("value"), "account");
    const odd = await admin.submit(device, bind, { email: "bob@example.com", username: "a/b" });
    assert.match(textOf(byId(odd.root, "username-error")), /account name/);

    for (const email of ["alice@example.com", "not an address", ""]) {
      const before = context.store.users.list({ limit: 9 }).items.length;
      const refused = await admin.submit(await admin.open(USERS), USERS, { email, groups: "a\nb" });
      assert.equal(refused.status, 422);
      assert.equal(byId(refused.root, "email")?.attributes.get("value"), email);
      assert.equal(textOf(byId(refused.root, "groups")), "a b");
      assert.equal(context.store.users.list({ limit: 9 }).items.length, before);
    }
  });
});

Deno.test("a device is deleted after a preview of who loses what", async () => {
  await withPages(async (admin, { context, addManaged, issue }) => {
    const alice = addManaged("alice@example.com");
    await issue(alice);
    const path = `${DEVICES}/${alice.deviceId}/delete`;
    const question = await admin.open(path);
    assert.match(textOf(question), /'laptop' would be deleted with 1 managed user/);
    await admin.submitAndFollow(question, path);
    assert.equal(context.store.devices.count(), 0);
    assert.equal((await admin.get(`${DEVICES}/${alice.deviceId}`)).status, 404);
  });
});

Deno.test("a connect key is shown once, after it was made, and can be revoked", async () => {
  await withPages(async (admin, { context, clock }) => {
    const made = await admin.submitAndFollow(await admin.open(KEYS), KEYS, {
      days: "30",
      maxUses: "5",
    });
    const key = textOf(byId(made, "secret"));
    assert.match(key, /^[\w-]{43}$/);
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
    const [stored] = context.store.connectKeys.hashes();
    assert.equal(stored?.hash, new Uint8Array(hash).toHex());
    const row = context.store.connectKeys.get(stored?.connectKeyId ?? "");
    assert.equal(row?.expiresAt, clock.now + 30 * 86_400_000);
    assert.equal(row?.maxUses, 5);
    const again = await admin.get(KEYS);
    assert.ok(!again.html.includes(key), "it is shown once");
    assert.match(textOf(again.root), /Usable.*in 30 days.*0 of 5/);
    for (const maxUses of ["0", "1.5", "many"]) {
      const refused = await admin.submit(await admin.open(KEYS), KEYS, { maxUses });
      assert.equal(refused.status, 422);
      assert.ok(byId(refused.root, "maxUses-error"));
    }
    const revoke = `${KEYS}/${row?.connectKeyId}/revoke`;
    await admin.submitAndFollow(await admin.open(revoke), revoke);
    assert.deepEqual(context.store.connectKeys.hashes(), []);
    assert.match(textOf(await admin.open(KEYS)), /no device can enroll/);
  });
});

Deno.test("the emergency renewal of all is asked first, moves every window, and shows its progress", async () => {
  await withPages(async (admin, { context, clock, addManaged, issue, woken }) => {
    const [alice, bob] = [addManaged("alice@example.com"), addManaged("bob@example.com")];
    const { serial } = await issue(alice);
    await issue(bob);
    const page = await admin.open(`${CERTIFICATES}/renew`);
    assert.match(textOf(page), /2 current certificates will be replaced/);
    const wrong = await admin.post(`${CERTIFICATES}/renew`, {
      token: elements(page, "input").at(-1)?.attributes.get("value") ?? "",
      spreadSeconds: "x",
    });
    assert.equal(wrong.status, 422);
    const begun = await admin.submitAndFollow(page, `${CERTIFICATES}/renew`, {
      spreadSeconds: "900",
    });
    assert.match(notice(begun), /The renewal has begun/);
    assert.deepEqual(woken(), ["*"]);
    const { renewalStart, renewalEnd } = context.store.certificates.get(serial) ?? {};
    assert.deepEqual([renewalStart, renewalEnd], [clock.now, clock.now + 900_000]);
    assert.match(textOf(byId(begun, "renewal-progress")), /0 of 2 certificates renewed, 2 to go/);
    clock.now += 1000;
    await issue(alice);
    const later = await admin.open("/admin");
    assert.match(textOf(byId(later, "renewal-progress")), /1 of 2 certificates renewed, 1 to go/);
    const progress = elements(later, "progress")[0];
    assert.deepEqual(
      [progress?.attributes.get("value"), progress?.attributes.get("max")],
      ["1", "2"],
    );
  });
});

Deno.test("a certificate is revoked for a reason that is chosen", async () => {
  await withPages(async (admin, { context, addManaged, issue }) => {
    const { serial } = await issue(addManaged("alice@example.com"));
    const path = `${CERTIFICATES}/${serial}/revoke`;
    await admin.submitAndFollow(await admin.open(path), path, { reason: "keyCompromise" });
    assert.equal(context.store.certificates.get(serial)?.reason, "keyCompromise");
    assert.match(textOf(await admin.open(CERTIFICATES)), /Revoked keyCompromise/);
  });
});

Deno.test("the expiry chart counts each user's current certificate on the day in which it ends", async () => {
  await withPages(async (admin, { context, addManaged, issue, clock }) => {
    for (const name of ["a", "b", "c"]) await issue(addManaged(`${name}@example.com`));
    const alice = addManaged("alice@example.com");
    await issue(alice);
    await issue(alice);
    const chart = textOf(await admin.open("/admin"));
    assert.match(chart, /4 current certificates; 4 of them end within 3 days/);
    assert.match(chart, /within a day 4/);
    assert.deepEqual(context.store.figures.expiries(clock.now), [{ day: 0, certificates: 4 }]);
    assert.deepEqual(
      context.store.figures.expiries(clock.now - 30 * 86_400_000),
      [{ day: 30, certificates: 4 }],
    );
  });
});

Deno.test("events are shown newest first, in pages that miss and repeat none", async () => {
  await withPages(async (admin, { context, clock }) => {
    for (let number = 0; number < 120; number++) {
      context.store.events.append({
        eventId: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
        at: clock.now,
        type: "test.numbered",
        detail: { number },
      });
    }
    const numbers: number[] = [];
    let path: string | undefined = "/admin/events";
    let pages = 0;
    while (path !== undefined) {
      const page: HtmlElement = await admin.open(path);
      const rows = elements(page, "summary").map(textOf);
      numbers.push(...rows.flatMap((row) => /number: (\d+)/.exec(row)?.[1] ?? []).map(Number));
      path = elements(page, "a").find((link) => textOf(link) === "Next page")
        ?.attributes.get("href");
      pages++;
    }
    assert.deepEqual(numbers, Array.from({ length: 120 }, (_, index) => 119 - index));
    assert.equal(pages, 3);
  });
});
