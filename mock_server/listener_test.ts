import assert from "node:assert/strict";
import { LIMITS } from "../agent/contract.ts";
import { keyThumbprint } from "./device_authentication.ts";
import { PATIENCE_MS, ScratchConnection, type Target } from "./scratch_connection.ts";
import { assertRefused, ScratchDevice } from "./scratch_device.ts";
import { type ScratchRunning, withRunning } from "./scratch_running.ts";

/** Runs `work` while somebody asks for health, each time over a new connection, and is answered. */
async function whileHealthy(server: ScratchRunning, work: () => Promise<void>): Promise<void> {
  const client = Deno.createHttpClient({
    caCerts: [server.caCertificate],
    poolMaxIdlePerHost: 0,
  });
  let over = false;
  let answered = 0;
  const watching = (async () => {
    while (!over || answered === 0) {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const response = await fetch(`${server.running.agentUrl}/healthz`, { client, signal });
      assert.deepEqual([response.status, await response.json()], [200, { status: "ok" }]);
      answered++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  try {
    await Promise.all([watching, work().finally(() => over = true)]);
  } finally {
    client.close();
  }
}

function head(line: string, ...fields: string[]): string {
  return [`${line} HTTP/1.1`, "Host: localhost", ...fields, "", ""].join("\r\n");
}

/** Sends bytes over TLS and asserts how that is refused, and that the connection ends. */
async function refused(target: Target, data: string | Uint8Array, status: number, type: string) {
  using connection = await ScratchConnection.open(target);
  await connection.send(data);
  const received = await connection.ended();
  assert.deepEqual([received.status, received.type], [status, type], received.text);
  assert.match(received.text, /content-type: application\/problem\+json/i);
}

/** Every request that takes a body, and how much of it. */
function requestsWithBody(device: ScratchDevice, userId: string): [string, number][] {
  return [
    ["POST /v1/devices", LIMITS.bodyBytes],
    [`POST ${device.path(`/users/${userId}/certificates`)}`, LIMITS.bodyBytes],
    [`POST ${device.path("/reports")}`, LIMITS.reportBytes],
    [`DELETE ${device.path("")}`, LIMITS.bodyBytes],
    ["PUT /admin/v1/settings", LIMITS.bodyBytes],
    ["POST /admin/v1/users", LIMITS.bodyBytes],
  ];
}

Deno.test("a body that is announced as too large is 413 before any of it was sent", async () => {
  await withRunning(async (server) => {
    const { device, userId } = await server.managed();
    for (const [line, bound] of requestsWithBody(device, userId)) {
      for (const length of [bound + 1, 10 ** 12]) {
        await refused(server, head(line, `Content-Length: ${length}`), 413, "body-too-large");
      }
    }
  });
});

Deno.test("a body that grows too large in chunks is 413 as soon as it does", async () => {
  await withRunning(async (server) => {
    const { device, userId } = await server.managed();
    const chunk = `2000\r\n${" ".repeat(0x2000)}\r\n`;
    for (const [line, bound] of requestsWithBody(device, userId)) {
      using connection = await ScratchConnection.open(server);
      await connection.send(head(line, "Transfer-Encoding: chunked"));
      const ended = connection.ended();
      for (let sent = 0; sent <= bound; sent += 0x2000) await connection.send(chunk);
      const { status, type, text } = await ended;
      assert.deepEqual([status, type], [413, "body-too-large"], `${line}: ${text}`);
    }
  });
});

Deno.test("what is not HTTP is told so and cut, and others are served", async () => {
  await withRunning(async (server) => {
    await whileHealthy(server, async () => {
      const random = () => crypto.getRandomValues(new Uint8Array(1024));
      for (
        const garbage of [
          ...Array.from({ length: 10 }, random),
          "\0\0\0\0\r\n\r\n",
          "EHLO localhost\r\n",
          "get /healthz http/1.1\r\n\r\n",
          "GET /healthz HTTP/9.9\r\n\r\n",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
          head("GET /healthz", "X: a\0b"),
          head("GET /healthz", "no colon"),
          head("POST /v1/devices", "Content-Length: -1"),
          head("POST /v1/devices", "Content-Length: ten"),
          head("POST /v1/devices", "Content-Length: 1", "Content-Length: 2"),
          head("POST /v1/devices", "Content-Length: 1", "Transfer-Encoding: chunked"),
          head("POST /v1/devices", "Transfer-Encoding: chunked") + "zz\r\n",
        ]
      ) await refused(server, garbage, 400, "malformed");
      for (const noTls of [head("GET /healthz"), random()]) {
        using connection = await ScratchConnection.openPlain(server);
        await connection.send(noTls);
        const { status, text } = await connection.ended();
        assert.equal(status, 0, text);
      }
    });
  });
});

Deno.test("a header of over 16 KiB, in one field or in many or in the URL, is 431", async () => {
  await withRunning(async (server) => {
    const long = "a".repeat(17 * 1024);
    const many = Array.from({ length: 1900 }, (_, index) => `X-${index}: ${index}`);
    for (
      const data of [
        head("GET /healthz", `X: ${long}`),
        head("GET /healthz", `${long}: 1`),
        head(`GET /healthz?${long}`),
        head("GET /healthz", ...many),
      ]
    ) await refused(server, data, 431, "headers-too-large");
    assert.equal((await server.fetch(health(server))).status, 200);
  });
});

function health({ running }: ScratchRunning): Request {
  return new Request(`${running.agentUrl}/healthz`, { headers: { connection: "close" } });
}

Deno.test("who sends slowly or not at all is cut in time, and 200 of them keep nobody out", async () => {
  await withRunning(async (server) => {
    const { device, userId } = await server.managed();
    await using connections = new AsyncDisposableStack();
    const open = async (plain = false) => {
      const opening = plain ? ScratchConnection.openPlain(server) : ScratchConnection.open(server);
      const connection = await opening;
      connections.defer(() => connection[Symbol.dispose]());
      return connection;
    };
    const slowBody = async (line: string, framing: string, piece: string) => {
      const connection = await open();
      await connection.send(head(line, framing) + piece);
      const [received] = await Promise.all([connection.ended(), connection.drip(piece, 500)]);
      assert.deepEqual([received.status, received.type], [408, "slow-request"], line);
      return received;
    };
    const slowHeader = async (first: string) => {
      const connection = await open();
      await connection.send(first);
      if (first !== "") await connection.answer();
      await connection.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
      const [received] = await Promise.all([connection.ended(), connection.drip("X: 1\r\n", 500)]);
      assert.deepEqual([received.status, received.type], [408, "slow-request"], received.text);
      return received;
    };
    const silent = async (plain: boolean, data: string) => {
      const connection = await open(plain);
      await connection.send(data);
      const received = await connection.ended();
      assert.ok(received.status === 0 || received.type === "slow-request", received.text);
      return received;
    };
    const half = "GET /healthz HTTP/1.1\r\nHost: loc";
    await whileHealthy(server, async () => {
      const all = await Promise.all([
        ...requestsWithBody(device, userId).flatMap(([line]) => [
          slowBody(line, "Content-Length: 1000", " "),
          slowBody(line, "Transfer-Encoding: chunked", "1\r\n \r\n"),
        ]),
        slowHeader(""),
        slowHeader(head("GET /healthz")),
        ...Array.from({ length: 100 }, () => silent(true, "")),
        ...Array.from({ length: 50 }, () => silent(false, "")),
        ...Array.from({ length: 50 }, () => silent(false, half)),
      ]);
      assert.equal(all.length, 214);
      const longest = Math.max(...all.map(({ milliseconds }) => milliseconds));
      assert.ok(longest < PATIENCE_MS, `one stayed ${longest} ms`);
    });
  });
});

Deno.test("a flood of wrong connect keys is 429 for its address, and enrolled devices go on", async () => {
  await withRunning(async (server) => {
    const { device } = await server.managed();
    const intruder = await ScratchDevice.create(server);
    const keyid = keyThumbprint(intruder.publicKey);
    const guess = (connectKey: string) =>
      intruder.request("POST", "/v1/devices", { body: intruder.enrollment(connectKey), keyid });
    await whileHealthy(server, async () => {
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, index) => guess(`guess-${index}`)),
      );
      const wrong = answers.filter(({ status }) => status === 401);
      const held = answers.filter(({ status }) => status === 429);
      assert.deepEqual([wrong.length, held.length], [20, 40], "however many come at once");
      for (const answer of wrong) await assertRefused(answer, 401, "bad-connect-key");
      for (const answer of held) {
        assert.match(answer.headers.get("retry-after") ?? "", /^[1-3]$/);
        await assertRefused(answer, 429, "too-many-requests");
      }
      const right = await guess("scratch-connect-key");
      await assertRefused(right, 429, "too-many-requests");
      assert.equal((await device.desired()).status, 200);
    });
    assert.equal(server.context.store.devices.count(), 1);
  });
});

Deno.test("a server that closes waits for nobody who says nothing", async () => {
  await withRunning(async (server) => {
    const silent = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const connection =
          await (index % 2 ? ScratchConnection.open(server) : ScratchConnection.openPlain(server));
        if (index % 4 === 1) await connection.send("GET /healthz HTTP/1.1\r\n");
        return connection;
      }),
    );
    const started = performance.now();
    await server.restart();
    const took = performance.now() - started;
    assert.ok(took < 9_000, `${took} ms, where a handshake has 10 s`);
    for (const connection of silent) {
      await connection.ended();
      connection[Symbol.dispose]();
    }
    assert.equal((await server.fetch(health(server))).status, 200);
  });
});
