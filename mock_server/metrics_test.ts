import assert from "node:assert/strict";
import { changeSettings, revokeCertificate } from "./fleet_changes.ts";
import { SCRATCH_TOKEN } from "./scratch_context.ts";
import {
  assertRefused,
  SCRATCH_CONNECT_KEY,
  type ScratchServer,
  withServer,
} from "./scratch_device.ts";
import { withRunning } from "./scratch_running.ts";

const PREFIX = "device_trust_server_";
const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\n"])*"`;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`);

/** What a scrape says, read as strictly as exposition format 0.0.4 is written. */
interface Scrape {
  types: Map<string, string>;
  /** By name and labels as they are written. */
  values: Map<string, number>;
}

function parse(text: string): Scrape {
  assert.ok(text.endsWith("\n"), "the last line ends, too");
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  const helped = new Set<string>();
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const [, help] = new RegExp(`^# HELP (${NAME}) \\S.*$`).exec(line) ?? [];
    const [, typed, type] = new RegExp(`^# TYPE (${NAME}) (counter|gauge)$`).exec(line) ?? [];
    const [, name, labels = "", value = ""] = SAMPLE.exec(line) ?? [];
    if (help !== undefined) {
      assert.ok(!helped.has(help), `${help} has one HELP`);
      helped.add(help);
    } else if (typed !== undefined && type !== undefined) {
      assert.ok(helped.has(typed) && !types.has(typed), line);
      types.set(typed, type);
      current = typed;
    } else {
      assert.equal(name, current, `a sample below its TYPE: ${line}`);
      const key = labels === "" ? current : `${current}{${labels}}`;
      assert.ok(!values.has(key), `${key} has one value`);
      assert.match(value, /^\d+(\.\d+)?(e[+-]?\d+)?$/);
      values.set(key, Number(value));
    }
  }
  for (const [name, type] of types) {
    assert.ok(name.startsWith(PREFIX), name);
    assert.equal(name.endsWith("_total"), type === "counter", name);
  }
  return { types, values };
}

function ask(
  { context, fetch }: ScratchServer,
  address: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const request = new Request(`${context.publicUrl}/metrics`, { headers });
  return fetch(request, { address, certificates: [] });
}

async function scrape(server: ScratchServer): Promise<Scrape> {
  const response = await ask(server, "127.0.0.1");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4");
  return parse(await response.text());
}

/** Figures without labels, without the prefix. */
function gauges({ types, values }: Scrape): Record<string, number | undefined> {
  const names = [...types].filter(([, type]) => type === "gauge").map(([name]) => name);
  return Object.fromEntries(names.map((name) => [name.slice(PREFIX.length), values.get(name)]));
}

Deno.test("the figures are Prometheus text, and tell of the fleet as it is", async () => {
  await withServer(async (server) => {
    const nothing = { held_requests: 0, devices: 0, managed_users: 0, live_leaves: 0 };
    assert.deepEqual(gauges(await scrape(server)), { ...nothing, distribution_enabled: 1 });
    const { device, userId } = await server.managed();
    const bob = server.addUser("bob@example.com");
    server.context.store.bindings.put(device.deviceId, bob, "bob", server.clock.now);
    const first = await device.newLeaf(userId);
    const second = await device.newLeaf(userId, first.signer);
    const fleet = { ...nothing, devices: 1, managed_users: 2 };
    const figures = async () => gauges(await scrape(server));
    assert.deepEqual(await figures(), { ...fleet, live_leaves: 2, distribution_enabled: 1 });
    revokeCertificate(server.context, second.answer.serial ?? "", "keyCompromise");
    assert.equal((await figures())["live_leaves"], 1);
    server.clock.now += 31 * 86_400_000;
    assert.equal((await figures())["live_leaves"], 0);
    changeSettings(server.context, { globalCertificateDistribution: false });
    assert.deepEqual(await figures(), { ...fleet, live_leaves: 0, distribution_enabled: 0 });
    await device.request("DELETE", device.path(""));
    assert.deepEqual(await figures(), { ...nothing, distribution_enabled: 0 });
  });
});

Deno.test("a held request counts while it is held", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    const etag = (await device.desired()).headers.get("etag") ?? "";
    const answer = device.desired({ "if-none-match": etag, prefer: "wait=300" });
    for (let turn = 0; server.context.changes.size === 0; turn++) {
      assert.ok(turn < 10_000, "the server holds the request");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(gauges(await scrape(server))["held_requests"], 1);
    changeSettings(server.context, { overlapSeconds: 1 });
    assert.equal((await answer).status, 200);
    assert.equal(gauges(await scrape(server))["held_requests"], 0);
  });
});

Deno.test("answered requests are counted by method, route and status, refused ones too", async () => {
  await withServer(async (server) => {
    const count = async (method: string, route: string, status: number) => {
      const labels = `method="${method}",route="${route}",status="${status}"`;
      return (await scrape(server)).values.get(`${PREFIX}http_requests_total{${labels}}`) ?? 0;
    };
    const { device, userId } = await server.managed();
    const [one, two] = [
      await server.managed("b@example.com"),
      await server.managed("c@example.com"),
    ];
    const desired = "/v1/devices/:deviceId/desired-state";
    assert.equal(await count("GET", desired, 200), 0);
    for (const who of [device, one.device, two.device, device]) await who.desired();
    assert.equal(await count("GET", desired, 200), 4, "whichever device asks");
    await device.request("GET", two.device.path("/desired-state"));
    assert.equal(await count("GET", desired, 403), 1);
    await device.newLeaf(userId);
    await device.newLeaf(userId);
    const certificates = "/v1/devices/:deviceId/users/:userId/certificates";
    assert.equal(await count("POST", certificates, 201), 2);
    assert.equal(await count("POST", "/v1/devices", 201), 3);
    const before = await count("GET", "/metrics", 200);
    assert.equal(await count("GET", "/metrics", 200), before + 1);
    await server.fetch(new Request(`${server.context.publicUrl}/admin/v1/settings`));
    assert.equal(await count("GET", "/admin/v1/settings", 401), 1);
  });
});

Deno.test("no stranger makes figures grow without bound, or finds anything secret in them", async () => {
  await withServer(async (server) => {
    const { device } = await server.managed();
    await device.desired();
    const { publicUrl } = server.context;
    const samples = async () => (await scrape(server)).values.size;
    await server.fetch(new Request(`${publicUrl}/nothing`));
    await server.fetch(new Request(`${publicUrl}/v1/devices/x/desired-state`));
    await samples();
    const before = await samples();
    for (let index = 0; index < 50; index++) {
      const odd = `${publicUrl}/${index}"}\\%0A{/${crypto.randomUUID()}?x="`;
      await server.fetch(new Request(odd));
      await server.fetch(new Request(`${publicUrl}/v1/devices/${index}/desired-state`));
    }
    assert.equal(await samples(), before);
    const text = await (await ask(server, "::1")).text();
    for (const secret of [SCRATCH_TOKEN, SCRATCH_CONNECT_KEY, device.deviceId, "alice"]) {
      assert.ok(!text.includes(secret), secret);
    }
  });
});

Deno.test("figures are for this machine, and for the admin token from elsewhere", async () => {
  await withServer(async (server) => {
    for (const address of ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]) {
      assert.equal((await ask(server, address)).status, 200, address);
    }
    const elsewhere = ["192.0.2.7", "10.0.0.1", "128.0.0.1", "::2", "::ffff:192.0.2.7", ""];
    const wrong: Record<string, string>[] = [
      {},
      { authorization: "Bearer wrong" },
      { authorization: `Basic ${SCRATCH_TOKEN}` },
      { authorization: `Bearer ${server.context.adminTokenHash}` },
      { "x-forwarded-for": "127.0.0.1" },
    ];
    for (const address of elsewhere) {
      for (const headers of wrong) {
        const answer = await ask(server, address, headers);
        assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer /);
        await assertRefused(answer, 401, "unauthorized");
      }
      const authorization = `Bearer ${SCRATCH_TOKEN}`;
      assert.equal((await ask(server, address, { authorization })).status, 200, address);
    }
  });
});

Deno.test("a proxy on this machine opens the figures to nobody without the token", async () => {
  await withServer(async (server) => {
    for (const name of ["x-forwarded-for", "forwarded"]) {
      const headers = { [name]: "for=192.0.2.7" };
      await assertRefused(await ask(server, "127.0.0.1", headers), 401, "unauthorized");
      const authorization = `Bearer ${SCRATCH_TOKEN}`;
      assert.equal((await ask(server, "127.0.0.1", { ...headers, authorization })).status, 200);
    }
  });
});

Deno.test("over a real connection from this machine the figures need no token", async () => {
  await withRunning(async (server) => {
    await server.managed();
    const url = `${server.running.agentUrl}/metrics`;
    const response = await server.fetch(new Request(url));
    assert.equal(response.status, 200);
    assert.equal(gauges(parse(await response.text()))["devices"], 1);
    const proxied = new Request(url, { headers: { "x-forwarded-for": "127.0.0.1" } });
    await assertRefused(await server.fetch(proxied), 401, "unauthorized");
  });
});
