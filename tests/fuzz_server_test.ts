/** What strangers, devices and confused administrators can send to the agent server. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { DesiredState, LIMITS, ProblemDetails } from "../agent/contract.ts";
import { Faults } from "../mock_server/faults.ts";
import { serverApps } from "../mock_server/agent_app.ts";
import type { Peer } from "../mock_server/context.ts";
import { parseDuration } from "../mock_server/commands.ts";
import { keyThumbprint } from "../mock_server/device_authentication.ts";
import { parseListenAddress, publicUrl } from "../mock_server/listen_address.ts";
import { preferredWait } from "../mock_server/desired_state_request.ts";
import { clientAddress, decodeClientCert } from "../mock_server/client_cert.ts";
import { canonicalIp, cidrContains, cidrProblem } from "../mock_server/cidr.ts";
import { pageOf, PageQuery } from "../mock_server/paging.ts";
import { SCRATCH_TOKEN } from "../mock_server/scratch_context.ts";
import {
  newCsr,
  type ScratchDevice,
  type ScratchServer,
  withServer,
} from "../mock_server/scratch_device.ts";
import { fuzz, type Json, mutatedBytes, mutatedJson, mutatedText } from "./fuzz.ts";

const NOBODY: Peer = { address: "192.0.2.7", certificates: [] };

/** Asserts that an answer is one of the contract's: success, or a problem of the sender's. */
async function answered(response: Response, what: string): Promise<string> {
  const text = await response.text();
  assert.ok(response.status < 500, `${what}: ${response.status} ${text}`);
  if (response.status >= 400) {
    const problem = ProblemDetails.parse(JSON.parse(text));
    assert.equal(problem.status, response.status);
  }
  return text;
}

/** Asserts that every device's desired state is one that agents take. */
async function isObeyable(device: ScratchDevice): Promise<void> {
  const response = await device.desired();
  const text = await answered(response, "desired-state");
  if (response.status !== 200) return;
  assert.ok(text.length <= LIMITS.desiredStateBytes);
  DesiredState.parse(JSON.parse(text));
}

interface AdminRequest {
  method: string;
  path: string;
  body: Json;
}

async function adminRequests({ context, addUser }: ScratchServer, device: ScratchDevice) {
  const userId = addUser("bob@example.com");
  const { store } = context;
  store.bindings.put(device.deviceId, userId, "bob", context.now().getTime());
  const { answer } = await device.newLeaf(userId);
  const policy = {
    name: "Finance",
    enabled: true,
    users: ["*", "group:finance", userId],
    resources: ["mail", "*"],
    conditions: { device: "unmanaged", ip: ["10.0.0.0/8", "2001:db8::/32"], os: ["linux", "ios"] },
    action: "deny",
  };
  const policyId = crypto.randomUUID();
  store.policies.put(policyId, policy, context.now().getTime());
  const settings = {
    globalCertificateDistribution: true,
    brand: "JumpCloud",
    selectionPatterns: ["https://localhost:8443", "https://[*.]challenge.example.com"],
    keyAlgorithm: "RSA-2048",
    overlapSeconds: 3600,
    macosApplications: ["/Applications/Browser.app"],
    defaultDecision: "mfa",
  };
  const requests: AdminRequest[] = [
    { method: "PUT", path: "settings", body: settings },
    { method: "POST", path: "settings/preview", body: settings },
    {
      method: "POST",
      path: "connect-keys",
      body: { expiresAt: "2027-01-01T00:00:00Z", maxUses: 3 },
    },
    {
      method: "POST",
      path: "users",
      body: { email: "carol@example.com", name: "Carol", groups: ["finance"] },
    },
    {
      method: "PUT",
      path: `devices/${device.deviceId}/users/${userId}`,
      body: { username: "bob" },
    },
    { method: "POST", path: "policies", body: policy },
    { method: "PUT", path: `policies/${policyId}`, body: { ...policy, policyId } },
    {
      method: "POST",
      path: "policies/evaluate",
      body: {
        user: "bob@example.com",
        resource: "mail",
        device: "managed",
        os: "ios",
        ip: "10.1.2.3",
      },
    },
    {
      method: "POST",
      path: `certificates/${answer.serial}/revoke`,
      body: { reason: "keyCompromise" },
    },
    { method: "POST", path: "certificates/renew", body: { spreadSeconds: 60 } },
  ];
  return requests;
}

Deno.test("whatever an administrator's request says, it is done or refused, and agents can obey", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const requests = await adminRequests(server, device);
    for (const { method, path, body } of requests) {
      let done = 0;
      const what = `${method} ${path.replace(/[0-9a-f-]{32,}/g, "ID")}`;
      await fuzz(what, mutatedJson(body, body, body), 250, async (text) => {
        const response = await admin(server, method, path, text);
        await answered(response, what);
        if (response.ok) done++;
        if (response.ok && method !== "POST") await isObeyable(device);
      });
      assert.ok(done > 0, `${what} was never done`);
      // What was stored by then can be listed.
      for (const list of ["settings", "policies", "users", "devices", "events", "connect-keys"]) {
        await answered(await admin(server, "GET", list), list);
      }
      await isObeyable(device);
      assert.deepEqual(Object.keys(Object.prototype), []);
    }
  });
});

Deno.test("whatever faults are asked for, they can be taken back", async () => {
  await withServer(async (server) => {
    const all: Json = {
      clockSkewSeconds: 5,
      faults: [
        { kind: "latency", route: "reports", rate: 0.5, milliseconds: 20 },
        { kind: "error", route: "enroll", rate: 1, status: 503 },
        { kind: "too-many", route: "crl", rate: 1, retryAfterSeconds: 60 },
        { kind: "cut", route: "desired-state" },
        { kind: "garbage" },
        { kind: "wrong-chain", route: "certificates" },
      ],
    };
    await fuzz("PUT faults", mutatedJson(all), 500, async (text) => {
      await answered(await admin(server, "PUT", "faults", text), "PUT faults");
      Faults.parse(JSON.parse(await answered(await admin(server, "GET", "faults"), "GET faults")));
      assert.equal((await admin(server, "PUT", "faults", "{}")).status, 200);
    });
    assert.deepEqual(server.context.faults.current, { clockSkewSeconds: 0, faults: [] });
  });
});

async function admin(server: ScratchServer, method: string, path: string, body?: string) {
  const url = `${server.context.publicUrl}/admin/v1/${path}`;
  const headers = {
    authorization: `Bearer ${SCRATCH_TOKEN}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  return await server.fetch(
    new Request(url, { method, headers, ...(body === undefined ? {} : { body }) }),
  );
}

Deno.test("whatever a device signs is done or refused, and its desired state stays sound", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    const { csr } = await newCsr();
    const report: Json = {
      agentVersion: "0.1.0",
      osVersion: "12",
      hostname: "laptop",
      users: [{
        userId,
        state: "installed",
        serial: "aa",
        filters: [{ browser: "chrome", location: "/etc/opt/chrome", state: "ok" }],
        error: { code: "store-locked", message: "Somebody holds it." },
        removed: [{ kind: "leaf", id: "aa" }],
      }],
    };
    const keyid = keyThumbprint(device.publicKey);
    const routes: [string, string, Json][] = [
      ["POST", device.path("/reports"), report],
      ["POST", device.path(`/users/${userId}/certificates`), { csr }],
      ["POST", "/v1/devices", device.enrollment()],
    ];
    for (const [method, path, body] of routes) {
      const own = path === "/v1/devices" ? { keyid } : {};
      const what = `${method} ${path.replace(/[0-9a-f-]{32,}/g, "ID")}`;
      await fuzz(what, mutatedJson(body), 300, async (text) => {
        const response = await device.request(method, path, { ...own, body: text.toWellFormed() });
        await answered(response, what);
        await isObeyable(device);
      });
    }
    await answered(await admin(server, "GET", "devices"), "devices");
  });
});

Deno.test("a request whose signed parts were touched is never that device's", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const body = { agentVersion: "0.1.0", osVersion: "12", hostname: "laptop", users: [] };
    const fields = ["signature-input", "signature", "content-digest"] as const;
    const pieces = ['"@method"', "device=", "leaf=", ":AAAA:", ";created=1", "sha-256=", "(", ")"];
    const valid = await device.sign("POST", device.path("/reports"), { body });
    const values = fields.map((name) => valid.headers.get(name) ?? "");
    const inputs = fc.record({
      field: fc.constantFrom(...fields),
      changes: fc.tuple(...values.map((value) => mutatedText([value], pieces))),
      also: fc.constantFrom("", "method", "path", "body"),
    });
    await fuzz("signature headers", inputs, 600, async ({ field, changes, also }) => {
      const request = await device.sign("POST", device.path("/reports"), { body });
      const at = fields.indexOf(field);
      const original = request.headers.get(field) ?? "";
      // The mutation of another request's field, or of this one's.
      const change = latin1(changes[at] ?? "");
      if (change.trim() === original.trim()) return;
      const headers = new Headers(request.headers);
      headers.set(field, change);
      const text = also === "body" ? JSON.stringify({ ...body, users: [1] }) : await request.text();
      const response = await server.fetch(
        new Request(also === "path" ? `${request.url}?a` : request.url, {
          method: also === "method" ? "PUT" : "POST",
          headers,
          body: text,
        }),
      );
      await answered(response, field);
      assert.ok(response.status >= 400, `${field}: ${change} got ${response.status}`);
    });
  });
});

Deno.test("any question for the desired state is answered at once, or held until its end", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const etag = (await device.desired()).headers.get("etag") ?? "";
    const inputs = fc.record({
      prefer: mutatedText(["wait=0", 'wait="0"', "respond-async, wait=0"], [
        "wait=",
        "9",
        ";",
        ",",
      ]),
      known: mutatedText([etag, `W/${etag}`, "*", `"a", ${etag}`], ["W/", '"', ","]),
    });
    await fuzz("Prefer and If-None-Match", inputs, 600, async (input) => {
      const [prefer, known] = [latin1(input.prefer), latin1(input.known)];
      const seconds = preferredWait(prefer);
      assert.ok(seconds === undefined || (seconds >= 0 && seconds <= LIMITS.waitSeconds));
      const request = await device.sign("GET", device.path("/desired-state"), {
        headers: { prefer, "if-none-match": known },
      });
      const gone = new AbortController();
      const asked = server.fetch(new Request(request, { signal: gone.signal }));
      // Who waits for news goes away.
      gone.abort();
      const { status } = await asked;
      assert.ok(status === 200 || status === 304, String(status));
    });
  });
});

Deno.test("no Authorization but the token's own gets anything", async () => {
  await withServer(async (server) => {
    const url = `${server.context.publicUrl}/admin/v1/settings`;
    const inputs = mutatedText([`Bearer ${SCRATCH_TOKEN}`], ["Bearer ", "Basic ", ",", "=", "\t"]);
    await fuzz("Authorization", inputs, 1500, async (text) => {
      const authorization = latin1(text);
      const response = await server.fetch(new Request(url, { headers: { authorization } }));
      const isToken = new RegExp(`^Bearer +${SCRATCH_TOKEN} *$`, "i").test(authorization.trim());
      assert.equal(response.status, isToken ? 200 : 401, authorization);
      await answered(response, "settings");
    });
  });
});

Deno.test("any page that is asked for is a page, or refused", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    await device.desired();
    const inputs = fc.record({
      list: fc.constantFrom("users", "devices", "policies", "certificates", "events"),
      limit: mutatedText(["1", "500", "100"]),
      cursor: mutatedText(["c1", "czz", "c0"]),
      state: mutatedText(["installed"]),
      lastSeenBefore: mutatedText(["2026-03-01T12:00:00Z"]),
    });
    await fuzz("queries of lists", inputs, 800, async ({ list, ...query }) => {
      const text = new URLSearchParams(query).toString();
      const response = await admin(server, "GET", `${list}?${text}`);
      await answered(response, `${list}?${text}`);
      const parsed = PageQuery.safeParse(query);
      if (!parsed.success) return assert.equal(response.status, 422);
      const { limit, after = 0 } = pageOf(parsed.data);
      assert.ok(limit >= 1 && limit <= 500 && Number.isSafeInteger(after) && after >= 0);
    });
  });
});

Deno.test("any request for the portal is answered, and no forged certificate is managed", async () => {
  await withServer(async (server) => {
    const { device, userId } = await server.managed();
    await device.newLeaf(userId);
    const context = { ...server.context, trustedProxies: ["192.0.2.0/24"] };
    const { portalApp } = serverApps(context);
    const [{ pem = "" } = {}] = server.context.store.certificates.live(
      device.deviceId,
      userId,
      server.clock.now,
    );
    const leaf = Uint8Array.fromBase64(pem.replace(/-----[^-]+-----/g, ""));
    const field = (bytes: Uint8Array) => `:${bytes.toBase64()}:`;
    const challenge = "/challenge?user=alice%40example.com&resource=mail";
    const ask = (path: string, clientCert: string, forwardedFor: string) => {
      const headers = { "client-cert": clientCert, "x-forwarded-for": forwardedFor };
      const url = new URL(path, context.portalUrl);
      return portalApp.fetch(new Request(url, { headers }), { peer: NOBODY });
    };
    const good = await ask(challenge, field(leaf), "10.0.0.1");
    assert.equal((await good.json()).managed, true, "the leaf itself is managed");
    const inputs = fc.record({
      path: fc.oneof(
        fc.constant(challenge),
        mutatedText([challenge, "/?user=alice%40example.com&resource=mail&code=abc"], ["%", "&"]),
      ),
      cert: fc.oneof(
        mutatedBytes(leaf).map(field),
        mutatedText([field(leaf)], [":", "=", ";a", ", "]),
      ),
      forwardedFor: mutatedText(["10.0.0.1, 192.0.2.9"], ["::1", "%eth0", ",", "[::1]:1", "/8"]),
    });
    await fuzz("Client-Cert at the portal", inputs, 800, async ({ path, cert, forwardedFor }) => {
      if (!URL.canParse(path, context.portalUrl)) return;
      const url = new URL(path, context.portalUrl);
      if (url.origin !== context.portalUrl) return;
      const text = latin1(cert);
      const response = await ask(url.href, text, latin1(forwardedFor));
      const body = await response.text();
      assert.ok(response.status < 500, `${url}: ${response.status} ${body}`);
      const decoded = decodeClientCert(text);
      const isLeaf = decoded.kind === "der" && decoded.der.toHex() === leaf.toHex();
      if (url.pathname !== "/challenge" || response.status !== 200 || isLeaf) return;
      assert.equal(JSON.parse(body).managed, false, text);
    });
  });
});

Deno.test("addresses, ranges, durations and hops are what they seem, or nothing", async () => {
  const inputs = fc.record({
    cidr: mutatedText(["10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.1/128"], ["/", "::", "."]),
    ip: mutatedText(["10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1%eth0"], ["::", "%"]),
    listen: mutatedText(["localhost:8443", "[::1]:0", "127.0.0.1:65535"], ["[", "]", ":", "::"]),
    duration: mutatedText(["30s", "5m", "12h", "14d"], ["s", "e9", "."]),
    hops: mutatedText(["10.0.0.1, 192.0.2.9", "::1"], [",", "%", "[", "]"]),
  });
  await fuzz("addresses and durations", inputs, 4000, ({ cidr, ip, listen, duration, hops }) => {
    if (cidrProblem(cidr) === undefined) assert.equal(typeof cidrContains(cidr, ip), "boolean");
    const canonical = canonicalIp(ip);
    if (canonical !== undefined) assert.equal(canonicalIp(canonical), canonical);
    const address = parseListenAddress(listen);
    if (address) {
      assert.ok(address.port >= 0 && address.port <= 65535 && !/[\s/]/.test(address.host));
      publicUrl(address.host, address.port);
    }
    const seconds = parseDuration(duration);
    assert.ok(seconds === undefined || (seconds >= 0 && seconds <= 3650 * 86_400));
    const client = clientAddress(NOBODY, { forwardedFor: hops }, ["192.0.2.0/24"]);
    assert.equal(canonicalIp(client), client);
  });
});

/** What gets through HTTP as a field's value. */
function latin1(text: string): string {
  return text.replace(/[^\t -~\u00a0-\u00ff]/g, "");
}
