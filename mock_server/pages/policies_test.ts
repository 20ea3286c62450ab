import assert from "node:assert/strict";
import { answerChallenge } from "../challenge.ts";
import { storedPolicy } from "../policy.ts";
import { byId, elements, type HtmlElement, textOf } from "../scratch_html.ts";
import type { Scratch } from "../scratch_context.ts";
import { type AdminBrowser, withPages } from "../scratch_pages.ts";

const PATH = "/admin/policies";
const NEW = `${PATH}/new`;

function stored({ context }: Pick<Scratch, "context">) {
  return context.store.policies.all().map(storedPolicy);
}

/** Adds a policy by its form. */
async function add(admin: AdminBrowser, typed: Record<string, string | string[]>) {
  return await admin.submitAndFollow(await admin.open(NEW), NEW, { intent: "save", ...typed });
}

function decisionOf(page: HtmlElement): string | undefined {
  return byId(page, "decided")?.attributes.get("data-decision");
}

Deno.test("a policy is added, shown in words, edited, disabled, enabled and deleted", async () => {
  await withPages(async (admin, scratch) => {
    const userId = scratch.addUser("alice@example.com", ["staff"]);
    const list = await add(admin, {
      name: "Payroll",
      users: "Alice@example.com\r\ngroup:staff\r\n",
      resources: "payroll\r\n\r\nwiki",
      "conditions.device": "unmanaged",
      "conditions.os": ["windows", "ios"],
      "conditions.ip": "192.0.2.0/24\r\n2001:db8::/32",
      action: "deny",
    });
    const [policy] = stored(scratch);
    assert.ok(policy);
    const { policyId } = policy;
    assert.deepEqual(policy, {
      policyId,
      name: "Payroll",
      enabled: true,
      users: [userId, "group:staff"],
      resources: ["payroll", "wiki"],
      conditions: {
        device: "unmanaged",
        os: ["windows", "ios"],
        ip: ["192.0.2.0/24", "2001:db8::/32"],
      },
      action: "deny",
    });
    const row = textOf(elements(list, "tr")[1]);
    assert.match(row, /Payroll alice@example.com, group staff payroll, wiki/);
    assert.match(row, /on an unmanaged device from Windows or iOS from 192\.0\.2\.0\/24 or 2001/);
    assert.match(row, /Deny Enabled/);

    const editor = await admin.open(`${PATH}/${policyId}`);
    assert.equal(textOf(byId(editor, "users")), "alice@example.com group:staff");
    await admin.submitAndFollow(editor, `${PATH}/${policyId}`, { intent: "save", name: "Wages" });
    assert.deepEqual(stored(scratch), [{ ...policy, name: "Wages" }], "all else is kept");

    const disabled = await admin.submitAndFollow(
      await admin.open(PATH),
      `${PATH}/${policyId}/enabled`,
    );
    assert.match(textOf(byId(disabled, "notice")), /'Wages' is disabled/);
    assert.equal(stored(scratch)[0]?.enabled, false);
    await admin.submitAndFollow(disabled, `${PATH}/${policyId}/enabled`);
    assert.equal(stored(scratch)[0]?.enabled, true);

    const question = await admin.open(`${PATH}/${policyId}/delete`);
    assert.equal(stored(scratch).length, 1);
    await admin.submitAndFollow(question, `${PATH}/${policyId}/delete`);
    assert.deepEqual(stored(scratch), []);
    assert.equal((await admin.get(`${PATH}/${policyId}`)).status, 404);
    const types = scratch.context.store.events.list({ limit: 9 }).items.map(({ type }) => type);
    assert.deepEqual(types.slice(0, 5), [
      "policy.deleted",
      ...["policy.changed", "policy.changed", "policy.changed", "policy.created"],
    ]);
  });
});

Deno.test("a policy that does not validate is shown again with what was typed", async () => {
  await withPages(async (admin, scratch) => {
    const { status, root } = await admin.submit(await admin.open(NEW), NEW, {
      intent: "save",
      name: "",
      users: "nobody@example.com",
      "conditions.ip": "192.0.2.1/99",
      "conditions.os": ["linux"],
      resources: "",
    });
    assert.equal(status, 422);
    for (const name of ["name", "users", "conditions.ip", "resources"]) {
      assert.ok(byId(root, `${name}-error`), name);
      assert.equal(byId(root, name)?.attributes.get("aria-invalid"), "true");
    }
    assert.match(textOf(byId(root, "users-error")), /nobody@example.com/);
    assert.equal(textOf(byId(root, "users")), "nobody@example.com");
    assert.equal(textOf(byId(root, "conditions.ip")), "192.0.2.1/99");
    const checked = elements(root, "input").filter(({ attributes }) => attributes.has("checked"));
    assert.deepEqual(checked.map(({ attributes }) => attributes.get("value")), ["linux"]);
    assert.deepEqual(stored(scratch), []);
  });
});

Deno.test("the first policy with a device condition offers to turn distribution ON, and no other", async () => {
  await withPages(async (admin, { context, addManaged }) => {
    const { settings } = context.store;
    settings.update({ globalCertificateDistribution: false }, 0);
    addManaged("alice@example.com");
    const title = (page: HtmlElement) => textOf(elements(page, "h1")[0]);
    assert.equal(title(await add(admin, { name: "no condition" })), "Conditional Policies");
    const offer = await add(admin, { name: "first", "conditions.device": "managed" });
    assert.equal(title(offer), "Turn on Global Certificate Distribution?");
    assert.match(textOf(offer), /ON: 1 user on 1 device would request 1 certificate/);
    assert.equal(settings.current.globalCertificateDistribution, false);
    const second = await add(admin, { name: "second", "conditions.device": "managed" });
    assert.equal(title(second), "Conditional Policies");
    assert.match(textOf(byId(second, "blind")), /every device counts as unmanaged/);
    await admin.submitAndFollow(offer, `${PATH}/settings`);
    assert.equal(settings.current.globalCertificateDistribution, true);
    assert.equal(byId(await admin.open(PATH), "blind"), undefined);
  });
});

Deno.test("the dry run says which policy in force decides a request, and why", async () => {
  await withPages(async (admin, { addUser, context }) => {
    addUser("alice@example.com");
    await add(admin, { name: "phones", "conditions.device": "unmanaged", action: "deny" });
    const page = await admin.open(`${PATH}/dry-run`);
    const before = context.store.events.list({ limit: 500 }).items.length;
    const typed = {
      user: "alice@example.com",
      resource: "wiki",
      device: "managed",
      os: "ios",
      ip: "192.0.2.7",
    };
    const denied = await admin.submit(page, `${PATH}/dry-run`, typed);
    assert.equal(denied.status, 200);
    assert.equal(decisionOf(denied.root), "deny");
    assert.match(textOf(byId(denied.root, "decided")), /Policy phones Why .*never counts as/);
    assert.equal(byId(denied.root, "ip")?.attributes.get("value"), "192.0.2.7");
    const allowed = await admin.submit(page, `${PATH}/dry-run`, { ...typed, os: "linux" });
    assert.equal(decisionOf(allowed.root), "allow");
    assert.match(textOf(byId(allowed.root, "decided")), /none, the default decision/);
    for (const wrong of [{ user: "x@example.com" }, { ip: "x" }, { os: "x" }, { resource: "" }]) {
      const refused = await admin.submit(page, `${PATH}/dry-run`, { ...typed, ...wrong });
      assert.equal(refused.status, 422);
      assert.equal(decisionOf(refused.root), undefined);
    }
    assert.equal(context.store.events.list({ limit: 500 }).items.length, before);
  });
});

Deno.test("a draft is tried on a request as if it were saved, and is not", async () => {
  await withPages(async (admin, scratch) => {
    scratch.addUser("alice@example.com");
    const request = {
      "try.user": "alice@example.com",
      "try.resource": "wiki",
      "try.device": "managed",
      "try.os": "linux",
      "try.ip": "192.0.2.7",
    };
    const draft = { name: "wiki closed", resources: "wiki", action: "deny" };
    const trial = await admin.submit(await admin.open(NEW), NEW, {
      intent: "try",
      ...draft,
      ...request,
    });
    assert.equal(trial.status, 200);
    assert.equal(decisionOf(trial.root), "deny");
    assert.match(textOf(byId(trial.root, "decided")), /wiki closed \(this draft\)/);
    assert.deepEqual(stored(scratch), []);

    await admin.submitAndFollow(trial.root, NEW, { intent: "save" });
    const [policy] = stored(scratch);
    assert.equal(policy?.name, "wiki closed", "the page still held the draft");
    const path = `${PATH}/${policy?.policyId}`;
    const weaker = await admin.submit(await admin.open(path), path, {
      intent: "try",
      action: "relax",
      ...request,
    });
    assert.equal(decisionOf(weaker.root), "allow", "the draft replaces what is stored");
    assert.equal(stored(scratch)[0]?.action, "deny");
    const incomplete = await admin.submit(await admin.open(path), path, { intent: "try" });
    assert.equal(incomplete.status, 422);
    assert.ok(byId(incomplete.root, "try.user-error"));
  });
});

Deno.test("a draft is replayed over the requests of the last 30 days, and nothing is changed", async () => {
  await withPages(async (admin, scratch) => {
    const { context, clock } = scratch;
    const alice = scratch.addManaged("alice@example.com", ["staff"]);
    const leaf = await scratch.issue(alice);
    const ask = (resource: string, certificate: boolean) =>
      answerChallenge(
        context,
        { user: alice.email, resource },
        certificate ? { kind: "der", der: leaf.der } : { kind: "none" },
        { ip: "192.0.2.7", os: "linux" },
      );
    await ask("long ago", false);
    clock.now += 31 * 86_400_000;
    await ask("wiki", false);
    await ask("mail", false);
    await admin.signIn();
    const { status, root } = await admin.submit(await admin.open(NEW), NEW, {
      intent: "replay",
      name: "wiki closed",
      resources: "wiki\nlong ago",
      "conditions.device": "unmanaged",
      action: "deny",
    });
    assert.equal(status, 200);
    const words = textOf(byId(root, "replay-result"));
    assert.match(words, /1 of 2 decisions would have been another/);
    assert.match(words, /alice@example.com wiki Unmanaged device Linux, 192.0.2.7 Allowed Denied/);
    assert.deepEqual(stored(scratch), []);
    const same = await admin.submit(root, NEW, { intent: "replay", resources: "nothing" });
    assert.match(textOf(byId(same.root, "replay-result")), /No decision would have been another/);
  });
});
