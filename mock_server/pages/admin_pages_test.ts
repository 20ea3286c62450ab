import assert from "node:assert/strict";
import { serverApps } from "../agent_app.ts";
import { addPolicy } from "../admin_policies.ts";
import { answerChallenge } from "../challenge.ts";
import { startRenewal } from "../admin_certificates.ts";
import type { ServerContext } from "../context.ts";
import { PolicyBody } from "../policy.ts";
import { type Scratch, SCRATCH_TOKEN, withScratch } from "../scratch_context.ts";
import { barriers, elements, textOf } from "../scratch_html.ts";
import { type AdminBrowser, PAGES, withPages } from "../scratch_pages.ts";
import { isPagePath } from "./admin_pages.tsx";

/** Markup that would do something wherever it is not escaped. */
const MARKUP = `<img/src=x/onerror=alert(1)>"'&amp;`;

/** A fleet in which every text that people or devices can choose is markup. */
async function fillWithMarkup({ context, addDevice, issue }: Scratch): Promise<void> {
  const { store } = context;
  const now = context.now().getTime();
  const userId = "99999999-9999-4999-8999-999999999999";
  const email = `${MARKUP}@example.com`;
  store.users.add({ userId, email, name: MARKUP, groups: [MARKUP], createdAt: now });
  const deviceId = addDevice();
  store.devices.describe({
    deviceId,
    hostname: MARKUP,
    osVersion: MARKUP,
    agentVersion: MARKUP,
  });
  store.bindings.put(deviceId, userId, MARKUP, now);
  store.reports.record(deviceId, {
    userId,
    state: "failed",
    filters: [{ browser: MARKUP, location: MARKUP, state: "shadowed" }],
    error: { code: MARKUP, message: MARKUP },
    removed: [{ kind: "filter", id: MARKUP }],
  }, now);
  const leaf = await issue({ deviceId, userId });
  await issue({ deviceId, userId });
  addPolicy(
    context,
    PolicyBody.parse({
      name: MARKUP,
      users: ["*", `group:${MARKUP}`, userId],
      resources: [MARKUP],
      conditions: { device: "managed", os: ["linux"], ip: ["192.0.2.0/24"] },
      action: "deny",
    }),
  );
  const asked = { user: email, resource: MARKUP };
  await answerChallenge(context, asked, { kind: "der", der: leaf.der }, {
    ip: "192.0.2.7",
    os: "linux",
  });
  startRenewal(context, { spreadSeconds: 60 });
}

/** Opens every page that links lead to; answers their paths. */
async function crawl(
  admin: AdminBrowser,
  look: (path: string, html: string) => void | Promise<void>,
): Promise<string[]> {
  const seen = ["/admin"];
  for (const path of seen) {
    const { status, root, html } = await admin.get(path);
    assert.equal(status, 200, path);
    assert.deepEqual(barriers(root), [], path);
    await look(path, html);
    for (const { attributes } of elements(root, "a")) {
      const to = attributes.get("href") ?? "";
      if (to.startsWith("/admin") && !seen.includes(to)) seen.push(to);
    }
  }
  return seen;
}

Deno.test("every page that a link leads to is well-formed, labelled and free of others' markup", async () => {
  await withPages(async (admin, scratch) => {
    await fillWithMarkup(scratch);
    scratch.addManaged("bob@example.com");
    const seen = await crawl(admin, (path, html) => {
      assert.doesNotMatch(html, /<img|<script/, path);
    });
    for (const name of ["events", "policies/new", "policies/settings", "devices", "users"]) {
      assert.ok(seen.includes(`/admin/${name}`), name);
    }
    for (const shape of [/\/devices\/[^/]+$/, /unbind$/, /\/users\/[^/]+\/delete$/, /revoke$/]) {
      assert.ok(seen.some((path) => shape.test(path)), `${shape}`);
    }
    const users = await admin.open("/admin/users");
    assert.ok(textOf(users).includes(`${MARKUP}@example.com`), "it is shown as it was given");
    assert.ok(seen.length > 20, `${seen.length} pages`);
  });
});

Deno.test("every page is well-formed in an empty organization, and while distribution is OFF", async () => {
  await withPages(async (admin, { context }) => {
    context.store.settings.update({ globalCertificateDistribution: false }, 0);
    await crawl(admin, () => {});
  });
});

Deno.test("every page allows no script, no frame, no cache, no guessing, and its own forms alone", async () => {
  await withPages(async (admin, { newBrowser }) => {
    const stranger = newBrowser();
    const answers = [
      await admin.get("/admin"),
      await admin.get("/admin/nothing"),
      await admin.get("/admin/devices/nothing"),
      await admin.post("/admin/users", {}),
      await stranger.get("/admin"),
      await stranger.get("/admin/sign-in"),
      await stranger.post("/admin/sign-in", { token: "wrong" }),
    ];
    for (const { headers } of answers) {
      assert.match(
        headers.get("content-security-policy") ?? "",
        /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
      );
      assert.equal(headers.get("cache-control"), "no-store");
      assert.equal(headers.get("referrer-policy"), "same-origin");
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.equal(headers.get("x-frame-options"), "DENY");
    }
  });
});

Deno.test("an unknown page, device, user, policy, key, certificate and cursor are pages that say so", async () => {
  await withPages(async (admin) => {
    const id = "00000000-0000-4000-8000-000000000000";
    for (
      const path of [
        ...["nothing", `devices/${id}`, `devices/${id}/delete`, `users/${id}/delete`],
        ...[`policies/${id}`, `policies/${id}/delete`, `connect-keys/${id}/revoke`],
        ...["certificates/00/revoke", "events?cursor=none", "users?state=none"],
        `devices/${id}/users/${id}/unbind`,
      ]
    ) {
      const { status, root } = await admin.get(`/admin/${path}`);
      assert.equal(status, 404, path);
      assert.deepEqual(barriers(root), [], path);
    }
  });
});

Deno.test("a form that is too large is refused in words, and nothing is changed", async () => {
  await withPages(async (admin, { context }) => {
    const { status, root } = await admin.post("/admin/users", {
      token: "x".repeat(70_000),
      email: "a@example.com",
    });
    assert.equal(status, 413);
    assert.deepEqual(barriers(root), []);
    assert.equal(context.store.users.list({ limit: 1 }).items.length, 0);
  });
});

Deno.test("what fails unforeseen is a page without a word of the failure", async () => {
  await withPages(async (admin, { context }) => {
    const events = context.store.events;
    context.store.events = new Proxy(events, {
      get() {
        throw new Error("secret of the store");
      },
    });
    const { status, html } = await admin.get("/admin/events");
    context.store.events = events;
    assert.equal(status, 500);
    assert.doesNotMatch(html, /secret of the store/);
  });
});

Deno.test("the pages leave the admin API beside them alone", async () => {
  await withScratch(async ({ context }: { context: ServerContext }) => {
    const { agentApp } = serverApps(context);
    const peer = { address: "192.0.2.1", certificates: [] };
    const ask = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
      const response = await agentApp.request(`${PAGES}${path}`, { headers, method }, { peer });
      await response.body?.cancel();
      return [response.status, response.headers.get("content-type")];
    };
    const problem = "application/problem+json";
    const authorization = `Bearer ${SCRATCH_TOKEN}`;
    assert.deepEqual(await ask("/admin/v1/settings"), [401, problem]);
    assert.deepEqual(await ask("/admin/v1"), [401, problem]);
    assert.deepEqual(await ask("/admin/v1/settings", { authorization }), [200, "application/json"]);
    assert.deepEqual(await ask("/admin/v1/nothing", { authorization }), [404, problem]);
    assert.deepEqual(await ask("/admin/v1/settings", { authorization }, "DELETE"), [405, problem]);
    // Its token opens no page: a page is opened by a session alone.
    assert.equal((await ask("/admin", { authorization }))[0], 303);
  });
  for (const path of ["/admin", "/admin/", "/admin/v10", "/admin/users"]) {
    assert.ok(isPagePath(path), path);
  }
  for (const path of ["/admin/v1", "/admin/v1/", "/admin/v1/users", "/administrator", "/v1"]) {
    assert.ok(!isPagePath(path), path);
  }
});
