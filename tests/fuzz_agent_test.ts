/** What a hostile server, a hostile user and a broken file can tell an agent. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Config, ConfigError, readConfig } from "../agent/config.ts";
import { DesiredState, DeviceReport, EnrollmentAnswer, judge, LIMITS } from "../agent/contract.ts";
import { DeviceAccounts } from "../agent/device_accounts.ts";
import { DeviceDesired } from "../agent/device_desired.ts";
import { createDeviceKey } from "../agent/new_device_key.ts";
import { DeviceReports } from "../agent/device_report.ts";
import { controlChannel, userChannel } from "../agent/local_api.ts";
import { LocalBundle, UserSlice } from "../agent/local_contract.ts";
import { openLog } from "../agent/log.ts";
import {
  answerJson,
  openServerClient,
  refusal,
  sentState,
  type ServerClient,
} from "../agent/server_client.ts";
import { type DeviceRecord, State } from "../agent/state.ts";
import { UserRequests } from "../agent/user_requests.ts";
import { UserRows } from "../agent/user_rows.ts";
import { certificateDer, verifyBundle } from "../agent/verify.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { listen } from "../mock_server/listener.ts";
import { ServerFile } from "../mock_server/server_file.ts";
import { readServerFile } from "../mock_server/server_secrets.ts";
import { Problem } from "../platform/errors.ts";
import { inFolder } from "./ask.ts";
import { fuzz, type Json, mutatedJson, mutatedText } from "./fuzz.ts";
import { DEVICE, expected, good, NOW, USER } from "./made_chains.ts";

const OTHER = "33333333-3333-4333-8333-333333333333";
const trustAnchors = { root: good.root, intermediate: good.intermediate };
const window = { start: "2026-03-15T00:00:00Z", end: "2026-03-17T00:00:00Z" };
const STATE: { [member: string]: Json; users: { [member: string]: Json }[] } = {
  brand: "JumpCloud",
  distribution: { enabled: true },
  certificate: { keyAlgorithm: "P-256", overlapSeconds: 604_800 },
  selection: { patterns: ["https://localhost:8443", "https://[*.]challenge.example.com"] },
  macosApplications: ["/Applications/Browser.app"],
  trustAnchors,
  users: [
    {
      userId: USER,
      username: "alice",
      email: "alice@example.com",
      renewal: window,
      leaves: [{ serial: "aa", status: "current" }, { serial: "bb", status: "overlap" }],
    },
    { userId: OTHER, username: "bob", email: "bob@example.com", leaves: [] },
  ],
};

/** The parts of a real worker that take what others say. */
async function withWorker(
  test: (worker: {
    state: State;
    desired: DeviceDesired;
    requests: UserRequests;
    reports: DeviceReports;
    /** What the server answers next, and what it was last asked with. */
    server: { answer: string; asked: string };
  }) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const state = new State(`${folder}/state.db`, () => NOW.getTime());
    const device: DeviceRecord & { deviceId: string; publicUrl: string } = {
      deviceId: DEVICE,
      server: "https://agents.test",
      publicUrl: "https://agents.test",
      ...trustAnchors,
      leaving: false,
    };
    state.saveDevice(device);
    const server = { answer: "", asked: "" };
    const client: ServerClient = {
      clock: { offset: 0, known: true },
      request: ({ path, body = new Uint8Array() }) => {
        server.asked = new TextDecoder().decode(body);
        return Promise.resolve({
          status: path.endsWith("/reports") ? 204 : 201,
          headers: new Headers({ "content-type": "application/json" }),
          body: new TextEncoder().encode(server.answer),
        });
      },
      close: () => {},
    };
    const key = await createDeviceKey(`${folder}/device.key`);
    const log = openLog({ write: () => {}, text: false });
    const now = () => NOW.getTime();
    const world = { state, client, identity: { device, key }, log, now, random: () => 0.5 };
    const desired = new DeviceDesired({ ...world, platform: { os: "linux" } });
    const rows = new UserRows(world);
    const account = { name: "alice", uid: "1001", home: "/home/alice" };
    const accounts = new DeviceAccounts(() => Promise.resolve({ ...account, runAs: "self" }));
    await desired.take('"1"', JSON.stringify(STATE));
    rows.add(DesiredState.parse(STATE));
    await accounts.find(state.users().slice(0, 1), () => true);
    const sliceOf = (userId: string) => {
      const { current } = desired;
      const more = { renewNow: false, filterWrittenAt: undefined };
      return current && desired.slice(current, userId, more);
    };
    const requests = new UserRequests(world, {
      ...{ desired, accounts, rows, sliceOf },
      issued: () => {},
    });
    const platform = {
      system: () => Promise.resolve({ os: "linux", hostname: "laptop", osVersion: "1" } as const),
    };
    const pause = () => Promise.resolve();
    const { signal } = new AbortController();
    const reports = new DeviceReports({ ...world, platform, pause }, rows, () => [], signal);
    try {
      await test({ state, desired, requests, reports, server });
    } finally {
      state.close();
    }
  });
}

/** Whether it does what it was asked; false when it refuses that with a {@link Problem}. */
async function accepts(act: () => unknown): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    assert.ok(error instanceof Problem, error instanceof Error ? error.stack : String(error));
    return false;
  }
}

Deno.test("a desired state that is taken keeps schema and pins; another one changes nothing", async () => {
  await withWorker(async ({ state, desired }) => {
    const pinned = state.device();
    let taken = 0;
    await fuzz("desired states", mutatedJson(STATE), 1500, async (body) => {
      const before = state.desired();
      const isTaken = await accepts(() => desired.take('"2"', body));
      assert.deepEqual(state.device(), pinned);
      if (!isTaken) return assert.deepEqual(state.desired(), before);
      taken++;
      const { current } = desired;
      assert.ok(current);
      assert.deepEqual(DesiredState.parse(current), current);
      for (const role of ["root", "intermediate"] as const) {
        // Lines may be broken elsewhere.
        const taken = certificateDer(current.trustAnchors[role]);
        assert.equal(taken.toHex(), certificateDer(good[role]).toHex());
      }
      const ids = current.users.map(({ userId }) => userId);
      assert.equal(new Set(ids).size, ids.length);
      for (const pattern of current.selection.patterns) {
        const url = new URL(pattern.replace("[*.]", "wildcard."));
        assert.ok(url.protocol === "https:" && url.pathname === "/" && !url.username, pattern);
      }
      // What the agent takes, its user-agents can read.
      const more = { renewNow: false, filterWrittenAt: undefined };
      for (const id of [...ids, OTHER]) UserSlice.parse(desired.slice(current, id, more));
    });
    assert.ok(taken > 0);
    assert.equal(Object.hasOwn(Object.prototype, "enabled"), false);
  });
});

Deno.test("a certificate answer is passed on as it should be, or refused as what it is", async () => {
  const answer = {
    serial: "2f488f38a1118f1a2f4f6724c16b6a6d",
    leaf: good.leaf,
    ...trustAnchors,
    notAfter: "2026-03-31T12:00:00Z",
    renewal: window,
    overlapSeconds: 604_800,
  };
  await withWorker(async ({ requests, server, desired }) => {
    let passed = 0;
    await fuzz("certificate answers", mutatedJson(answer), 1500, async (body) => {
      server.answer = body;
      let bundle: LocalBundle | undefined;
      await accepts(async () => bundle = await requests.certificate("1001", { csr: "" }));
      assert.ok(desired.current, "the desired state can still be read");
      if (!bundle) return;
      LocalBundle.parse(JSON.parse(JSON.stringify(bundle)));
      const offered = bundle;
      if (!await accepts(() => verifyBundle(offered, expected))) return;
      passed++;
      assert.equal(offered.serial, answer.serial);
      assert.equal(Date.parse(offered.notAfter), Date.parse(answer.notAfter));
    });
    assert.ok(passed > 0);
  });
});

Deno.test("whatever a user says of themselves, the agent can tell it to the server", async () => {
  const report = {
    userId: USER,
    state: "installed",
    serial: "aa",
    leafName: "JumpCloud Device Trust Certificate - 00c0ffee",
    notAfter: "2026-03-31T12:00:00Z",
    renewAt: "2026-03-16T00:00:00Z",
    renewal: window,
    store: { kind: "nssdb", location: "/home/alice/.pki/nssdb" },
    held: ["aa", "bb"],
    error: { code: "store-locked", message: "Somebody holds it." },
    removed: [{ kind: "leaf", id: "cc" }, { kind: "key", id: "dd" }],
  };
  const request = {
    csr: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    leafSignature: { "signature-input": "leaf=()", signature: "leaf=:AAAA:" },
  };
  await withWorker(async ({ state, requests, reports, server }) => {
    let minute = 0;
    // Every request has a minute of its own.
    const { app } = userChannel(requests, "1001", () => minute++ * 60_000);
    const ofOther = () => ({ ...state.user(OTHER), unreported: false });
    const before = ofOther();
    let taken = 0;
    const inputs = fc.record({
      path: fc.constantFrom("/reports", "/reports", "/reports", "/certificates"),
      body: fc.oneof({ weight: 3, arbitrary: mutatedJson(report) }, mutatedJson(request)),
    });
    await fuzz("messages of user-agents", inputs, 1500, async ({ path, body }) => {
      server.answer = "{}";
      const { status } = await app.request(path, { method: "POST", body });
      assert.ok([204, 409, 413, 422].includes(status), `${path}: ${status}`);
      assert.deepEqual(ofOther(), before);
      if (status !== 204) return;
      taken++;
      const row = state.user(USER);
      assert.ok(row && JSON.stringify(row).length < 1_000_000);
      server.asked = "";
      await reports.now();
      if (server.asked) DeviceReport.parse(JSON.parse(server.asked));
      assert.doesNotMatch(row.error?.message ?? "", /[\p{Cc}\p{Cs}]/u);
    });
    assert.ok(taken > 0);
  });
});

Deno.test("any question on a user's channel is answered, and none is held for ever", async () => {
  await withWorker(async ({ requests }) => {
    let minute = 0;
    const { app } = userChannel(requests, "1001", () => minute++ * 60_000);
    const etag = (await app.request("/desired-state")).headers.get("etag") ?? "";
    const inputs = fc.record({
      method: fc.constantFrom("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"),
      path: mutatedText(["/desired-state", "/reports", "/certificates"], ["?", "#", "//", "%2f"]),
      prefer: headerText(["wait=0", "respond-async, wait=0"], ["wait=", "9".repeat(30), ";", ","]),
      known: headerText([etag, "*", `W/${etag}`], ["W/", '"']),
    });
    await fuzz("questions of user-agents", inputs, 1000, async (input) => {
      const { method, path, prefer, known } = input;
      const gone = new AbortController();
      const url = new URL("http://agent/");
      url.pathname = path;
      const headers = { prefer, "if-none-match": known };
      const asked = app.request(new Request(url, { method, headers, signal: gone.signal }));
      // Who waits for news goes away at once.
      gone.abort();
      const { status } = await asked;
      assert.ok([200, 204, 304, 404, 422].includes(status), `${method} ${path}: ${status}`);
    });
  });
});

/** What a header field may hold: no more than Latin-1 without controls gets through HTTP. */
function headerText(valid: string[], pieces: string[]): fc.Arbitrary<string> {
  return mutatedText(valid, pieces).map((text) => text.replace(/[^\t -~\u00a0-\u00ff]/g, ""));
}

Deno.test("whatever is asked of the administrator's channel renews by name or is refused", async () => {
  const names: (string | undefined)[] = [];
  const app = controlChannel({
    unenroll: () => Promise.reject(new Problem("internal", "Nobody asked for that.")),
    renew: (username) => {
      names.push(username);
      return Promise.resolve([]);
    },
  });
  await fuzz("messages to control.sock", mutatedJson({ username: "alice" }), 1000, async (body) => {
    const { status } = await app.request("/renew", { method: "POST", body });
    assert.ok(status === 200 || status === 422, String(status));
  });
  assert.ok(names.every((name) => name === undefined || name.length <= 256));
});

Deno.test("any answer over TLS is an answer or a Problem, and the clock stays a clock", async () => {
  await inFolder(async (folder) => {
    const tls = await openServerTls(folder, { names: ["localhost"], ips: [], now: new Date() });
    let answer = () => new Response();
    await using listener = await listen({
      ...{ host: "127.0.0.1", port: 0, certificate: tls.certPem, key: tls.keyPem },
      fetch: () => answer(),
    });
    const key = await createDeviceKey(`${folder}/device.key`);
    const clock = { offset: 0, known: false };
    const client = openServerClient({
      publicUrl: `https://localhost:${listener.port}`,
      serverCa: tls.caPem,
      signer: key.signer(DEVICE),
      clock,
      now: Date.now,
    });
    const problem = (type: string) => ({ type, title: "No", status: 410 });
    const problems = ["device-deleted", "\u001b[2J", "x".repeat(60_000)];
    const inputs = fc.record({
      status: fc.oneof(
        fc.constantFrom(200, 201, 304, 401, 410, 429),
        fc.integer({ min: 200, max: 599 }),
      ),
      date: fc.oneof(
        headerText(["Sun, 01 Mar 2026 12:00:00 GMT"], ["1970", "GMT", "+9999"]),
        // The last instant that a date can be, and before the first.
        fc.constantFrom("Sat, 13 Sep 275760 00:00:00 GMT", "-271821-04-20T00:00:00Z"),
      ),
      retryAfter: headerText(["60", "Sun, 01 Mar 2026 12:00:00 GMT"], ["1e9", "-", "0x10"]),
      type: headerText(["application/json", "application/problem+json; a=b"], ["text/html", ";"]),
      etag: headerText(['"1"'], ["W/"]),
      body: mutatedJson(STATE, ...problems.map((type) => problem(`urn:device-trust:${type}`))),
    });
    try {
      await fuzz("answers of servers", inputs, 250, async (input) => {
        const { status, date, retryAfter, type, etag, body } = input;
        const headers = { date, "retry-after": retryAfter, "content-type": type, etag };
        const bare = status === 204 || status === 205 || status === 304;
        answer = () => new Response(bare ? null : body, { status, headers });
        await accepts(async () => {
          const received = await client.request({ method: "GET", path: "/", timeout: 4000 });
          assert.match(received.problemType ?? "none", /^[!-~]{1,256}$/);
          await accepts(() => answerJson(received));
          await accepts(() => sentState(received));
          const { message } = refusal("read it", received);
          assert.ok(message.length < 1000 && !/[\p{Cc}\p{Cs}]/u.test(message));
        });
        new Date(Date.now() + clock.offset).toISOString();
      });
    } finally {
      client.close();
    }
  });
});

Deno.test("an enrolment answer that is taken has an id for a path and an https:// URL", async () => {
  const answer = { deviceId: DEVICE, publicUrl: "https://agents.test", trustAnchors };
  await fuzz("enrolment answers", mutatedJson(answer), 1500, (body) => {
    const parsed = judge(EnrollmentAnswer, jsonOf(body));
    if (!parsed.success) return;
    const { deviceId, publicUrl } = parsed.data;
    assert.match(deviceId, /^[0-9a-f-]{36}$/);
    assert.ok(publicUrl.startsWith("https://") && !publicUrl.endsWith("/"));
  });
});

Deno.test("a configuration is used whole or refused with the one error", async () => {
  const config = {
    server: "https://agents.test",
    serverCa: "/etc/ca.pem",
    connectKeyFile: "/etc/key",
    proxy: "http://proxy.test:3128",
    caStore: "system",
    logLevel: "info",
  };
  await inFolder(async (folder) => {
    const path = `${folder}/config.json`;
    await fuzz("config.json", mutatedJson(config), 1000, async (input) => {
      const text = input.toWellFormed();
      await Deno.writeTextFile(path, text);
      try {
        assert.deepEqual(readConfig(path), Config.parse(jsonOf(text)));
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
      }
    });
  });
});

Deno.test("a damaged server.json is refused, so that nobody's secrets are replaced", async () => {
  const file: Json = {
    agentUrl: "https://localhost:1",
    portalUrl: "https://localhost:2",
    adminToken: "a",
    connectKey: "b",
    serverCa: "/ca.pem",
  };
  await inFolder(async (folder) => {
    await fuzz("server.json", mutatedJson(file), 1000, async (input) => {
      const text = input.toWellFormed();
      await Deno.writeTextFile(`${folder}/server.json`, text);
      try {
        assert.deepEqual(await readServerFile(folder), ServerFile.parse(jsonOf(text)));
      } catch (error) {
        assert.match(String(error), /Cannot read .*server\.json: restore it/);
      }
    });
  });
});

/** Undefined for what is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

Deno.test("a desired state stays within the bounds of the contract", () => {
  const most = Array.from({ length: LIMITS.usersPerDevice + 1 }, (_, at) => ({
    ...STATE.users[1],
    userId: `33333333-3333-4333-8333-${String(at).padStart(12, "0")}`,
  }));
  assert.ok(DesiredState.safeParse({ ...STATE, users: most.slice(1) }).success);
  assert.ok(!DesiredState.safeParse({ ...STATE, users: most }).success);
});
