import assert from "node:assert/strict";
import { serverApps } from "../agent_app.ts";
import { SCRATCH_TOKEN, withScratch } from "../scratch_context.ts";
import { barriers, byId, elements, textOf } from "../scratch_html.ts";
import { AdminBrowser, withPages } from "../scratch_pages.ts";
import { AdminSessions, MOST_SESSIONS, SESSION_MS } from "./sessions.ts";

Deno.test("who is not signed in sees the sign-in page alone, and comes back to where they were", async () => {
  await withPages(async (_admin, { newBrowser }) => {
    const browser = newBrowser();
    for (const path of ["/admin", "/admin/devices?state=failed", "/admin/nothing"]) {
      const { status, headers, html } = await browser.get(path);
      assert.equal(status, 303);
      assert.match(headers.get("location") ?? "", /^\/admin\/sign-in/);
      assert.equal(html, "");
    }
    const sent = (await browser.get("/admin/devices?state=failed")).headers.get("location") ?? "";
    const page = await browser.open(sent);
    assert.deepEqual(barriers(page), []);
    const { status, headers } = await browser.submit(page, "/admin/sign-in", {
      token: SCRATCH_TOKEN,
    });
    assert.equal(status, 303);
    assert.equal(headers.get("location"), "/admin/devices?state=failed");
    await browser.open("/admin/devices?state=failed");
  });
});

Deno.test("the sign-in leads to no other site", async () => {
  await withPages(async (_admin, { newBrowser }) => {
    for (
      const next of [
        ...[
          "//evil.example",
          "https://evil.example/admin",
          "/\\evil.example",
          "/admin/../..//evil",
        ],
        ...[
          "/adminevil",
          "/admin/%0d%0aset-cookie:x",
          "javascript:alert(1)",
          "/admin//evil.example",
        ],
      ]
    ) {
      const { headers } = await newBrowser().post("/admin/sign-in", { token: SCRATCH_TOKEN, next });
      const to = new URL(headers.get("location") ?? "", "https://localhost:8442/admin/sign-in");
      assert.equal(to.origin, "https://localhost:8442", next);
    }
  });
});

Deno.test("the session's cookie is bound to this host, to TLS and to this site, and hidden from scripts", async () => {
  await withPages(async (_admin, { newBrowser, context }) => {
    const { headers, status } = await newBrowser().post("/admin/sign-in", { token: SCRATCH_TOKEN });
    assert.equal(status, 303);
    assert.match(
      headers.get("set-cookie") ?? "",
      /^__Host-device-trust-admin=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    );
    const [event] = context.store.events.list({ limit: 1 }).items;
    assert.equal(event?.type, "administrator.signed-in");
  });
});

Deno.test("a wrong token gets no session, and what was typed is not sent back", async () => {
  await withPages(async (_admin, { newBrowser, context }) => {
    const wrong = ["", "wrong-token", `${SCRATCH_TOKEN}x`, SCRATCH_TOKEN.slice(1)];
    for (const token of [...wrong, context.adminTokenHash]) {
      const browser = newBrowser();
      const { status, headers, root, html } = await browser.post("/admin/sign-in", { token });
      assert.equal(status, 401);
      assert.equal(headers.get("set-cookie"), null);
      assert.match(textOf(byId(root, "token-error")), /not the admin token/);
      assert.deepEqual(barriers(root), []);
      if (token !== "") assert.ok(!html.includes(token));
      assert.equal((await browser.get("/admin")).status, 303);
    }
  });
});

Deno.test("20 wrong tokens from an address are enough for a while; others are not kept out", async () => {
  await withPages(async (_admin, { newBrowser, clock }) => {
    const browser = newBrowser();
    const send = (token: string, address: string) =>
      browser.post("/admin/sign-in", { token }, { address });
    for (let guess = 0; guess < 20; guess++) {
      assert.equal((await send("wrong", "198.51.100.1")).status, 401);
    }
    const refused = await send(SCRATCH_TOKEN, "198.51.100.1");
    assert.equal(refused.status, 429);
    const wait = Number(refused.headers.get("retry-after"));
    assert.ok(wait >= 1 && wait <= 3, `${wait}`);
    assert.match(textOf(refused.root), new RegExp(`Try again in ${wait} seconds`));
    assert.equal((await send(SCRATCH_TOKEN, "198.51.100.2")).status, 303);
    clock.now += wait * 1000;
    assert.equal((await send(SCRATCH_TOKEN, "198.51.100.1")).status, 303);
  });
});

Deno.test("a session ends after its time, at the sign-out and with the server", async () => {
  await withPages(async (admin, { context, clock, newBrowser }) => {
    clock.now += SESSION_MS - 1;
    await admin.open("/admin");
    clock.now += 1;
    assert.equal((await admin.get("/admin")).status, 303);

    await admin.signIn();
    const other = newBrowser();
    await other.signIn();
    const { cookie } = admin;
    const { status, headers } = await admin.submit(await admin.open("/admin"), "/admin/sign-out");
    assert.equal(status, 303);
    assert.match(headers.get("set-cookie") ?? "", /^__Host-device-trust-admin=;.*Max-Age=0/);
    admin.cookie = cookie;
    assert.equal((await admin.get("/admin")).status, 303, "the cookie is worth nothing now");
    await other.open("/admin");

    const { agentApp } = serverApps(context);
    const restarted = new AdminBrowser(async (request, address) =>
      await agentApp.fetch(request, { peer: { address, certificates: [] } })
    );
    restarted.cookie = other.cookie;
    assert.equal((await restarted.get("/admin")).status, 303);
  });
});

Deno.test("a signed-in administrator is not asked again", async () => {
  await withPages(async (admin) => {
    assert.equal((await admin.get("/admin/sign-in")).headers.get("location"), "/admin");
  });
});

Deno.test("there are at most so many sessions, and the oldest goes first; ended ones go before", async () => {
  await withScratch(({ context, clock }) => {
    const sessions = new AdminSessions(context.random, context.now);
    const secrets = Array.from({ length: MOST_SESSIONS }, () => sessions.begin());
    assert.ok(secrets.every((secret) => sessions.find(secret)));
    sessions.begin();
    assert.equal(sessions.find(secrets[0] ?? ""), undefined);
    assert.ok(sessions.find(secrets[1] ?? ""));
    clock.now += SESSION_MS;
    const fresh = sessions.begin();
    assert.ok(sessions.find(fresh));
    assert.equal(sessions.find(secrets[1] ?? ""), undefined);
    return Promise.resolve();
  });
});

Deno.test("a form of another session, another site or nobody changes nothing", async () => {
  await withPages(async (admin, { newBrowser, context }) => {
    const other = newBrowser();
    await other.signIn();
    const tokenOf = async (browser: AdminBrowser) => {
      const [form] = elements(await browser.open("/admin/users"), "form")
        .filter(({ attributes }) => attributes.get("method") === "post");
      assert.ok(form);
      const [token] = elements(form, "input");
      return token?.attributes.get("value") ?? "";
    };
    const token = await tokenOf(admin);
    assert.match(token, /^[\w-]{43}$/);
    assert.notEqual(token, await tokenOf(other));
    assert.ok(!admin.cookie?.includes(token), "the page does not tell the cookie's secret");
    const fields = { email: "alice@example.com", groups: "" };
    const send = (typed: Record<string, string>, headers: Record<string, string> = {}) =>
      admin.post("/admin/users", { ...fields, ...typed }, { headers });
    const forged = [
      await send({}),
      await send({ token: "" }),
      await send({ token: await tokenOf(other) }),
      await send({ token: `${token}x` }),
      await send({ token }, { origin: "https://evil.example", "sec-fetch-site": "" }),
      await send({ token }, { origin: "https://localhost:8443", "sec-fetch-site": "same-site" }),
      await send({ token }, { origin: "null", "sec-fetch-site": "" }),
      await send({ token }, { origin: "", "sec-fetch-site": "cross-site" }),
      await send({ token }, { origin: "", "sec-fetch-site": "none" }),
      await send({ token }, { origin: "", "sec-fetch-site": "" }),
    ];
    for (const { status, root } of forged) {
      assert.equal(status, 403);
      assert.match(textOf(root), /Nothing was changed/);
    }
    assert.equal((await send({ token }, { "content-type": "text/plain" })).status, 422);
    assert.equal(context.store.users.list({ limit: 9 }).items.length, 0);
    assert.equal((await send({ token }, { "sec-fetch-site": "" })).status, 303);
    assert.equal((await send({ token, email: "bob@example.com" }, { origin: "" })).status, 303);
  });
});

Deno.test("no page changes anything when it is opened, and every form needs its token", async () => {
  await withPages(async (admin, { addManaged, issue, context }) => {
    const alice = addManaged("alice@example.com");
    const { serial } = await issue(alice);
    const id = alice.deviceId;
    const before = JSON.stringify(context.store.events.list({ limit: 500 }).items);
    for (
      const path of [
        ...["users", "connect-keys", "certificates/renew", "policies/new", "policies/settings"],
        ...[`devices/${id}/bind`, `devices/${id}/users/${alice.userId}/unbind`, "sign-out"],
        ...[
          `devices/${id}/delete`,
          `users/${alice.userId}/delete`,
          `certificates/${serial}/revoke`,
        ],
      ]
    ) {
      await admin.get(`/admin/${path}`);
      assert.equal((await admin.post(`/admin/${path}`, { confirmed: "yes" })).status, 403, path);
    }
    assert.equal(JSON.stringify(context.store.events.list({ limit: 500 }).items), before);
  });
});
