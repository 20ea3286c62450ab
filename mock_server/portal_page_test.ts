import assert from "node:assert/strict";
import { portal } from "./portal.tsx";
import { Browser, holder, PORTAL } from "./scratch_browser.ts";
import { withScratch } from "./scratch_context.ts";

function verdictOf(html: string): { managed?: string; reason?: string } {
  const [tag = ""] = /<section id="verdict"[^>]*>/.exec(html) ?? [];
  return {
    managed: /data-managed="([^"]*)"/.exec(tag)?.[1],
    reason: /data-reason="([^"]*)"/.exec(tag)?.[1],
  };
}

Deno.test("the page takes the certificate on a name never met before and shows the verdict", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const page = `${PORTAL}/?${new URLSearchParams({ user: alice.email, resource: "mail" })}`;
    const names = new Set<string>();
    for (let round = 0; round < 2; round++) {
      const { response, html, way } = await browser.visit(page);
      assert.equal(response.status, 200);
      assert.deepEqual(verdictOf(html), { managed: "true", reason: "ok" });
      assert.match(html, /This device is managed/);
      assert.match(html, new RegExp(leaf.serial));
      assert.equal(way.length, 3);
      const fresh = new URL(way[1] ?? "");
      assert.match(fresh.host, /^[0-9a-f]{32}\.challenge\.localhost:8443$/);
      names.add(fresh.host);
      assert.doesNotMatch(html, /<script/i);
    }
    assert.equal(names.size, 2);
  });
});

Deno.test("the page says why a device is not managed, and escapes what it was given", async () => {
  await withScratch(async (scratch) => {
    const user = `<script>alert("x")</script>@example.com`;
    const { html } = await new Browser(scratch)
      .visit(`${PORTAL}/?${new URLSearchParams({ user, resource: "'\"><b>" })}`);
    assert.deepEqual(verdictOf(html), { managed: "false", reason: "no-certificate" });
    assert.match(html, /device-trust doctor/);
    assert.match(html, /&lt;script&gt;/);
    assert.doesNotMatch(html, /<script|<b>/);
  });
});

Deno.test("a verdict that was got by relaying the challenge to another browser is worth nothing", async () => {
  await withScratch(async (scratch) => {
    const { context } = scratch;
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const app = portal(context);
    const thief = new Browser(scratch, undefined, app);
    const page = `${PORTAL}/?${new URLSearchParams({ user: alice.email, resource: "mail" })}`;
    for (const known of [false, true]) {
      const victim = new Browser(scratch, holder([leaf.der]), app);
      if (known) await victim.visit(page);
      const lure = (await thief.get(page)).headers.get("location") ?? "";
      const back = (await victim.get(lure)).headers.get("location") ?? "";
      const shown = await victim.visit(back);
      assert.equal(shown.response.status, 403);
      assert.match(shown.html, /id="refusal"/);
      // Even if the victim hands the whole address over, the code has been used up.
      assert.deepEqual(verdictOf((await thief.visit(back)).html), {
        managed: "false",
        reason: "no-certificate",
      });
    }
    const refused = context.store.events.ofType("portal.visit-refused", 0);
    assert.equal(refused.length, 2);
    assert.equal(refused[0]?.detail["redemption"], "other-session");
  });
});

Deno.test("a one-time code works once, and reloading the page checks anew", async () => {
  await withScratch(async (scratch) => {
    const { context, clock } = scratch;
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const { way } = await browser.visit(`${PORTAL}/?user=${alice.email}&resource=mail`);
    context.store.settings.update({ globalCertificateDistribution: false }, clock.now);
    const reloaded = await browser.visit(way.at(-1) ?? "");
    assert.deepEqual(verdictOf(reloaded.html), { managed: "false", reason: "distribution-off" });
    assert.equal(reloaded.way.length, 3);
  });
});

Deno.test("OFF counts even between the challenge and the way back", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const first = await browser.get(`${PORTAL}/?user=${alice.email}&resource=mail`);
    const second = await browser.get(first.headers.get("location") ?? "");
    scratch.context.store.settings.update({ globalCertificateDistribution: false }, 0);
    const { html } = await browser.visit(second.headers.get("location") ?? "");
    assert.equal(verdictOf(html).reason, "distribution-off");
  });
});

Deno.test("a visit and its code are only good for a while", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const location = async (url: string) => (await browser.get(url)).headers.get("location") ?? "";
    const page = `${PORTAL}/?user=${encodeURIComponent(alice.email)}&resource=mail`;
    const fresh = await location(page);
    scratch.clock.now += 300_000;
    assert.equal(new URL(await location(fresh)).searchParams.has("code"), false);
    const back = await location(await location(page));
    scratch.clock.now += 60_000;
    assert.match(new URL(await location(back)).host, /challenge/, "begins again");
  });
});

Deno.test("a browser that keeps no cookie is told so, without a loop", async () => {
  await withScratch(async (scratch) => {
    const browser = new Browser(scratch);
    const way = [`${PORTAL}/?user=a@example.com&resource=mail`];
    for (let hop = 0; hop < 5; hop++) {
      browser.cookie = undefined;
      const response = await browser.get(way.at(-1) ?? "");
      const next = response.headers.get("location");
      if (next !== null) way.push(next);
      else {
        assert.equal(response.status, 403);
        assert.match(await response.text(), /Allow cookies for this site/);
      }
    }
    assert.equal(way.length, 3);
  });
});

Deno.test("a browser that came by address is sent to the portal's own name first", async () => {
  await withScratch(async (scratch) => {
    const browser = new Browser(scratch);
    const response = await browser.get("https://127.0.0.1:8443/?user=a%40example.com&resource=x");
    assert.equal(response.headers.get("location"), `${PORTAL}/?user=a%40example.com&resource=x`);
    assert.equal(response.headers.get("set-cookie"), null);
  });
});

Deno.test("pages and answers allow no script, no frame, no cache and no referrer", async () => {
  await withScratch(async (scratch) => {
    const browser = new Browser(scratch);
    const first = await browser.get(`${PORTAL}/?user=a@example.com&resource=mail`);
    assert.match(
      first.headers.get("set-cookie") ?? "",
      /^__Host-device-trust-portal=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const { response } = await browser.visit(first.headers.get("location") ?? "");
    const json = await browser.get(`${PORTAL}/challenge?user=a@example.com&resource=mail`);
    const missing = await browser.get(`${PORTAL}/nothing`);
    assert.equal(missing.status, 404);
    for (const { headers } of [first, response, json, missing]) {
      const policy = headers.get("content-security-policy") ?? "";
      assert.match(policy, /default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe/);
      assert.equal(headers.get("cache-control"), "no-store");
      assert.equal(headers.get("referrer-policy"), "no-referrer");
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.equal(
        headers.get("strict-transport-security"),
        null,
        "it would bind all of localhost",
      );
    }
  });
});

Deno.test("an overlong user or resource is refused", async () => {
  await withScratch(async (scratch) => {
    const browser = new Browser(scratch);
    for (const path of ["", "challenge", "present"]) {
      const query = new URLSearchParams({ user: "a".repeat(321), resource: "mail" });
      assert.equal((await browser.get(`${PORTAL}/${path}?${query}`)).status, 422, path);
    }
  });
});
