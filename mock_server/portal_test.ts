import assert from "node:assert/strict";
import { ChallengeAnswer } from "./challenge.ts";
import type { Peer } from "./context.ts";
import { portal } from "./portal.tsx";
import { type Scratch, SCRATCH_START, withScratch } from "./scratch_context.ts";

const PORTAL = "https://localhost:8443";
const PROXY = "192.0.2.1";

/** A browser as far as the portal sees it: cookies of `localhost`, and a certificate. */
class Browser {
  cookie: string | undefined;
  readonly #app;

  constructor(
    scratch: Scratch,
    readonly peer: Peer = { address: "127.0.0.1", certificates: [] },
    app = portal(scratch.context),
  ) {
    this.#app = app;
  }

  async get(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const home = new URL(url).host === "localhost:8443";
    const response = await this.#app.request(url, {
      headers: { ...headers, ...(home && this.cookie ? { cookie: this.cookie } : {}) },
    }, { peer: this.peer });
    const set = response.headers.get("set-cookie");
    if (set && home) this.cookie = set.split(";")[0];
    return response;
  }

  /** Follows redirects; answers the last page and every address on the way. */
  async visit(url: string): Promise<{ response: Response; html: string; way: string[] }> {
    const way = [url];
    for (;;) {
      const response = await this.get(way.at(-1) ?? url);
      const next = response.headers.get("location");
      if (next === null) return { response, html: await response.text(), way };
      way.push(next);
      assert.ok(way.length < 10, "a loop of redirects");
    }
  }
}

function holder(certificates: Uint8Array<ArrayBuffer>[], address = "127.0.0.1"): Peer {
  return { address, certificates };
}

async function challenge(
  browser: Browser,
  user: string,
  headers?: Record<string, string>,
): Promise<ChallengeAnswer> {
  const query = new URLSearchParams({ user, resource: "mail" });
  const response = await browser.get(`${PORTAL}/challenge?${query}`, headers);
  assert.equal(response.status, 200);
  return ChallengeAnswer.parse(await response.json());
}

function verdictOf(html: string): { managed?: string; reason?: string } {
  const [tag = ""] = /<section id="verdict"[^>]*>/.exec(html) ?? [];
  return {
    managed: /data-managed="([^"]*)"/.exec(tag)?.[1],
    reason: /data-reason="([^"]*)"/.exec(tag)?.[1],
  };
}

Deno.test("/challenge calls a managed user's device managed and says whose it is", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const answer = await challenge(
      new Browser(scratch, holder([leaf.der])),
      "Alice@Example.com",
    );
    const { message: _, eventId, ...rest } = answer;
    assert.deepEqual(rest, {
      managed: true,
      reason: "ok",
      deviceId: alice.deviceId,
      userId: alice.userId,
      serial: leaf.serial,
      decision: "allow",
      policy: null,
    });
    const [event] = scratch.context.store.events.list({ limit: 1 }).items;
    assert.equal(event?.eventId, eventId);
    assert.equal(event?.type, "portal.challenge");
    assert.equal(event?.detail["resource"], "mail");
  });
});

Deno.test("/challenge gives each reason as soon as it is the case, on the same connection", async () => {
  await withScratch(async (scratch) => {
    const { context, clock } = scratch;
    const { store } = context;
    const alice = scratch.addManaged("alice@example.com");
    scratch.addUser("bob@example.com");
    const leaf = await scratch.issue(alice);
    const browser = new Browser(scratch, holder([leaf.der]));
    const reason = async (user = alice.email) => (await challenge(browser, user)).reason;

    assert.equal(await reason(), "ok");
    assert.equal(await reason("bob@example.com"), "user-mismatch");
    assert.equal(await reason("nobody@example.com"), "no-user");
    assert.equal(await reason(""), "no-user");
    clock.now = SCRATCH_START - 3_600_001;
    assert.equal(await reason(), "untrusted", "before the intermediate's own life");
    clock.now = SCRATCH_START + 3_600_000;
    assert.equal(await reason(), "expired");
    clock.now = SCRATCH_START;

    store.certificates.revoke(leaf.serial, "privilegeWithdrawn", clock.now);
    assert.equal(await reason(), "revoked");
    store.bindings.remove(alice.deviceId, alice.userId, clock.now);
    assert.equal(await reason(), "user-not-managed");
    store.devices.delete(alice.deviceId, clock.now);
    assert.equal(await reason(), "device-deleted");
    store.settings.update({ globalCertificateDistribution: false }, clock.now);
    assert.equal(await reason(), "distribution-off");
  });
});

Deno.test("/challenge without a certificate, and with somebody else's, says so", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    assert.equal((await challenge(new Browser(scratch), alice.email)).reason, "no-certificate");
    await withScratch(async (other) => {
      const foreign = await other.issue(other.addManaged(alice.email));
      const answer = await challenge(new Browser(scratch, holder([foreign.der])), alice.email);
      assert.equal(answer.reason, "untrusted");
      assert.equal(answer.deviceId, null);
      assert.equal(answer.userId, null);
      assert.equal(answer.serial, foreign.serial);
    });
  });
});

Deno.test("a superseded leaf is managed for the overlap and no longer", async () => {
  await withScratch(async (scratch) => {
    const { context, clock } = scratch;
    context.store.settings.update({ overlapSeconds: 600 }, clock.now);
    const alice = scratch.addManaged("alice@example.com");
    const [old, current] = [await scratch.issue(alice), await scratch.issue(alice)];
    const browser = new Browser(scratch, holder([old.der]));
    const certificate = context.store.certificates.get(current.serial);
    assert.ok(certificate);
    assert.equal((await challenge(browser, alice.email)).reason, "ok");
    context.store.certificates.installed(certificate, clock.now);
    clock.now += 599_999;
    assert.equal((await challenge(browser, alice.email)).reason, "ok");
    clock.now += 1;
    assert.equal((await challenge(browser, alice.email)).reason, "revoked");
    const fresh = new Browser(scratch, holder([current.der]));
    assert.equal((await challenge(fresh, alice.email)).reason, "ok");
  });
});

Deno.test("policies decide by the verdict, the user's groups, the address and the system", async () => {
  await withScratch(async (scratch) => {
    const { store } = scratch.context;
    const alice = scratch.addManaged("alice@example.com", ["staff"]);
    const leaf = await scratch.issue(alice);
    const policyId = "00000000-0000-4000-8000-000000000001";
    const policy = (conditions: Record<string, unknown>) => {
      const body = { name: "p", enabled: true, users: ["group:staff"], resources: ["mail"] };
      store.policies.put(policyId, { ...body, conditions, action: "deny" }, 0);
    };
    const browser = new Browser(scratch, holder([leaf.der], "::ffff:10.1.2.3"));
    const decision = async (headers?: Record<string, string>) =>
      (await challenge(browser, alice.email, headers)).decision;
    const iphone = { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)" };

    policy({ device: "managed" });
    assert.equal(await decision(), "deny");
    assert.equal(await decision(iphone), "allow", "a phone never satisfies 'managed'");
    policy({ device: "unmanaged" });
    assert.equal(await decision(), "allow");
    assert.equal(await decision(iphone), "deny");
    policy({ ip: ["10.0.0.0/8"] });
    assert.equal(await decision(), "deny");
    assert.equal(await decision({ "x-forwarded-for": "203.0.113.1" }), "deny", "nobody's proxy");
    policy({ os: ["linux"] });
    assert.equal(await decision(), "deny", "the device's record, where no field names the system");
    assert.equal(await decision({ "sec-ch-ua-platform": '"Windows"' }), "allow");
    store.settings.update({ globalCertificateDistribution: false }, 0);
    policy({ device: "unmanaged" });
    assert.equal(await decision(), "deny");
  });
});

Deno.test("Client-Cert counts from the configured proxy and from nobody else", async () => {
  await withScratch(async (scratch) => {
    const alice = scratch.addManaged("alice@example.com");
    const leaf = await scratch.issue(alice);
    const field = { "client-cert": `:${leaf.der.toBase64()}:` };
    const proxy = new Browser(scratch, holder([], PROXY));
    const stranger = new Browser(scratch, holder([], "192.0.2.99"));
    assert.equal((await challenge(proxy, alice.email, field)).reason, "ok");
    assert.equal((await challenge(stranger, alice.email, field)).reason, "no-certificate");
    assert.equal((await challenge(proxy, alice.email)).reason, "no-certificate");
    for (const bad of ["", "::", leaf.der.toBase64(), `:${leaf.der.toBase64()}:, :MAA=:`]) {
      const answer = await challenge(proxy, alice.email, { "client-cert": bad });
      assert.equal(answer.reason, "untrusted", bad.slice(0, 20));
    }
  }, { trustedProxies: [`${PROXY}/32`] });
});

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
