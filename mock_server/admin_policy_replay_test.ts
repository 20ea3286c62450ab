import assert from "node:assert/strict";
import { assertProblem, type Call, NOWHERE, withAdmin } from "./scratch_admin.ts";
import { Browser, challenge, holder } from "./scratch_browser.ts";
import type { Scratch } from "./scratch_context.ts";

const DAY_MS = 86_400_000;
const DRAFT = { name: "Managed only", users: ["*"], resources: ["mail"], action: "deny" };
const DENY_UNMANAGED = { ...DRAFT, conditions: { device: "unmanaged" } };

/** Alice with her leaf, and somebody without any, both in front of the portal. */
async function twoBrowsers(scratch: Scratch) {
  const alice = scratch.addManaged("alice@example.com", ["staff"]);
  scratch.addUser("bob@example.com");
  const leaf = await scratch.issue(alice);
  return {
    alice: new Browser(scratch, holder([leaf.der], "192.0.2.10")),
    bob: new Browser(scratch, holder([], "192.0.2.20")),
  };
}

async function replay(call: Call, body: unknown) {
  const answer = await call("POST", "policies/replay", body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

Deno.test("a replay names the challenges that a draft would have decided differently", async () => {
  await withAdmin(async (call, scratch) => {
    const { context, clock, woken } = scratch;
    const { alice, bob } = await twoBrowsers(scratch);
    await challenge(alice, "alice@example.com", { "sec-ch-ua-platform": '"Windows"' });
    clock.now += 1000;
    const { eventId } = await challenge(bob, "bob@example.com", { "user-agent": "X11; Linux" });
    await challenge(new Browser(scratch), "nobody@example.com");
    const events = context.store.events.list({ limit: 500 }).items.length;
    woken();

    const everybody = await replay(call, { policy: DENY_UNMANAGED });
    assert.deepEqual([everybody.challenges, everybody.changed], [3, 2]);
    const named = await replay(call, {
      policy: { ...DENY_UNMANAGED, conditions: { os: ["linux"] } },
    });
    assert.deepEqual([named.challenges, named.changed, named.changedAnyway], [3, 1, 0]);
    assert.equal(Date.parse(named.since), clock.now - 30 * DAY_MS);
    const [{ after: { why, ...after }, ...item }] = named.items;
    assert.deepEqual(item, {
      eventId,
      at: new Date(clock.now).toISOString(),
      user: "bob@example.com",
      resource: "mail",
      device: "unmanaged",
      os: "linux",
      ip: "192.0.2.20",
      before: { decision: "allow", policy: null },
      present: { decision: "allow", policy: null },
    });
    assert.deepEqual(after, { decision: "deny", policy: named.draftId });
    assert.match(why, /'Managed only' \(deny\) matches every user/);

    assert.equal(context.store.events.list({ limit: 500 }).items.length, events);
    assert.deepEqual((await call("GET", "policies")).body.items, []);
    assert.deepEqual(woken(), []);
  });
});

Deno.test("a draft replaces the policy whose id it bears, or does without it", async () => {
  await withAdmin(async (call, scratch) => {
    const { policyId } = (await call("POST", "policies", DENY_UNMANAGED)).body;
    const { alice, bob } = await twoBrowsers(scratch);
    await challenge(alice, "alice@example.com");
    await challenge(bob, "bob@example.com");
    const same = await replay(call, { policy: DENY_UNMANAGED, policyId });
    assert.deepEqual([same.changed, same.draftId], [0, policyId]);
    const milder = await replay(call, {
      policy: { ...DENY_UNMANAGED, action: "restrict" },
      policyId,
    });
    assert.deepEqual(milder.items[0].before, { decision: "deny", policy: policyId });
    assert.deepEqual(milder.items[0].after.decision, "mfa");
    const without = await replay(call, { policy: null, policyId });
    assert.deepEqual([without.changed, without.draftId], [1, null]);
    assert.equal(without.items[0].after.policy, null);
  });
});

Deno.test("each challenge is replayed with the groups and the verdict that it had", async () => {
  await withAdmin(async (call, scratch) => {
    const { alice } = await twoBrowsers(scratch);
    await challenge(alice, "alice@example.com");
    await call("PUT", "settings", { globalCertificateDistribution: false });
    await challenge(alice, "alice@example.com");
    const [{ userId }] = (await call("GET", "users")).body.items;
    await call("DELETE", `users/${userId}`);
    for (const users of [["group:staff"], [userId], ["*"]]) {
      const managed = await replay(call, {
        policy: { ...DRAFT, users, conditions: { device: "managed" } },
      });
      assert.deepEqual(managed.items.map(({ device }: { device: string }) => device), ["managed"]);
      const unmanaged = await replay(call, { policy: { ...DENY_UNMANAGED, users } });
      assert.equal(unmanaged.items[0].device, "unmanaged", "OFF then");
      assert.equal(unmanaged.changed, 1);
    }
  });
});

Deno.test("a change since is told from what the draft would do", async () => {
  await withAdmin(async (call, scratch) => {
    const { alice, bob } = await twoBrowsers(scratch);
    await challenge(alice, "alice@example.com");
    await challenge(bob, "bob@example.com");
    await call("POST", "policies", DENY_UNMANAGED);
    const draft = { ...DRAFT, users: ["group:staff"], action: "restrict" };
    const { changed, changedAnyway, items } = await replay(call, { policy: draft });
    assert.deepEqual([changed, changedAnyway], [2, 1]);
    assert.deepEqual(
      items.map((item: { user: string; present: { decision: string } }) => [
        item.user,
        item.present.decision,
      ]),
      [["bob@example.com", "deny"], ["alice@example.com", "allow"]],
    );
  });
});

Deno.test("30 days of challenges are read once each, whatever their number and instants", async () => {
  await withAdmin(async (call, scratch) => {
    const { context, clock } = scratch;
    const browser = new Browser(scratch);
    const ask = (user: string) => challenge(browser, user);
    await ask("too-old");
    clock.now += 30 * DAY_MS + 1;
    const { store } = context;
    const { events } = store;
    await ask("first");
    const [{ detail, type } = { detail: {}, type: "" }] = events.list({ limit: 1 }).items;
    store.transaction(() => {
      // Three pages, hundreds of one instant, and a clock that was set back in between.
      for (let index = 0; index < 1200; index++) {
        const eventId = crypto.randomUUID();
        const at = clock.now + (index % 3) * 1000 - (index > 600 ? 5000 : 0);
        events.append({ eventId, at, type, detail: { ...detail, user: `${index}` } });
      }
    });
    const { challenges, changed } = await replay(call, { policy: DRAFT });
    assert.deepEqual([challenges, changed], [1201, 1201]);
    const seen: string[] = [];
    let page = events.newestOfType(type, clock.now - 5000, 500);
    while (page.length > 0) {
      seen.push(...page.map(({ eventId }) => eventId));
      page = events.newestOfType(type, clock.now - 5000, 500, page.at(-1));
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.equal(seen.length, 1201);
  });
});

Deno.test("a draft that is no policy, or nothing of nothing, is refused", async () => {
  await withAdmin(async (call) => {
    const bad = [
      {},
      { policy: null },
      { policy: { ...DRAFT, action: "block" } },
      { policy: { ...DRAFT, conditions: { ip: ["10.0.0.0/33"] } } },
      { policy: DRAFT, policyId: "p" },
      { policy: DRAFT, days: 90 },
    ];
    for (const body of bad) {
      assertProblem(await call("POST", "policies/replay", body), 422, "invalid");
    }
    for (const policy of [DRAFT, null]) {
      const answer = await call("POST", "policies/replay", { policy, policyId: NOWHERE });
      assertProblem(answer, 404, "not-found");
    }
  });
});
