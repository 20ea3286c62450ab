/** The client against a real TLS server that misbehaves in every way that a server can. */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openServerTls } from "../ca/server_tls.ts";
import { Problem } from "../platform/errors.ts";
import { answerJson, openServerClient, type ServerClient } from "./server_client.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Runs a test with a client whose server does what `handler` does. */
async function withServer(
  handler: Handler,
  test: (client: ServerClient, seen: IncomingMessage[], url: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const tls = await openServerTls(folder, { names: ["localhost"], ips: [], now: new Date() });
  const seen: IncomingMessage[] = [];
  const server = createServer({ key: tls.keyPem, cert: tls.certPem }, (request, response) => {
    seen.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `https://localhost:${port}`;
  const client = open(url, tls.caPem);
  try {
    await test(client, seen, url);
  } finally {
    client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await Deno.remove(folder, { recursive: true });
  }
}

function open(publicUrl: string, serverCa: string, clock = { offset: 0, known: false }) {
  return openServerClient({
    publicUrl,
    serverCa,
    clock,
    now: Date.now,
    signer: {
      label: "device",
      keyid: "k",
      alg: "ecdsa-p256-sha256",
      sign: () => Promise.resolve(new Uint8Array(64)),
    },
  });
}

function problem(code: string, words: RegExp) {
  return (error: unknown) =>
    error instanceof Problem && error.code === code && words.test(error.message);
}

const get = { method: "GET", path: "/x" } as const;

Deno.test("an answer out of a cache is not taken, and tells no time", () =>
  withServer(
    (_, response) => {
      response.writeHead(200, { age: "90", date: "Thu, 01 Jan 2026 00:00:00 GMT" }).end("{}");
    },
    async (client) => {
      await assert.rejects(client.request(get), problem("server-refused", /out of a cache, 90 s/));
      assert.equal(client.clock.known, false);
    },
  ));

Deno.test("a request is signed, with a digest when it has a body", () =>
  withServer((_, response) => response.end(), async (client, seen) => {
    await client.request({ method: "POST", path: "/x", body: new TextEncoder().encode("{}") });
    const headers = seen[0]?.headers ?? {};
    assert.match(String(headers["signature-input"]), /^device=\("@method" "@target-uri" "content-/);
    assert.equal(
      headers["content-digest"],
      "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    );
  }));

for (const status of [301, 302, 307, 308]) {
  Deno.test(`a ${status} is not followed`, () =>
    withServer((request, response) => {
      response.writeHead(status, { location: `https://${request.headers.host}/elsewhere` }).end();
    }, async (client, seen) => {
      await assert.rejects(client.request(get), problem("server-refused", /redirect/));
      assert.equal(seen.length, 1);
    }));
}

Deno.test("an answer over the bound is not read further", () =>
  withServer((_, response) => {
    response.writeHead(200);
    const chunk = new Uint8Array(16 * 1024);
    const write = () => {
      while (response.write(chunk));
      response.once("drain", write);
    };
    write();
  }, async (client) => {
    await assert.rejects(client.request(get), problem("server-refused", /larger than 65536/));
  }));

Deno.test("a server that does not answer in time is unreachable", () =>
  withServer(() => {}, async (client) => {
    await assert.rejects(
      client.request({ ...get, timeout: 50 }),
      problem("unreachable", /no answer in time/),
    );
  }));

Deno.test("a server that hangs up is unreachable", () =>
  withServer((request) => request.socket.destroy(), async (client) => {
    await assert.rejects(client.request(get), problem("unreachable", /Cannot reach/));
  }));

Deno.test("an answer that is cut short is no answer", () =>
  withServer((_, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("{");
    setTimeout(() => response.destroy(), 0);
  }, async (client) => {
    await assert.rejects(client.request(get), problem("unreachable", /Cannot reach/));
  }));

Deno.test("a page where JSON was to be is named as what it probably is", () =>
  withServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>");
  }, async (client) => {
    const answer = await client.request(get);
    assert.throws(() => answerJson(answer), problem("server-refused", /proxy or sign-in page/));
  }));

Deno.test("JSON that is none is refused", () =>
  withServer((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end('{"a":');
  }, async (client) => {
    const answer = await client.request(get);
    assert.throws(() => answerJson(answer), problem("server-refused", /not JSON/));
  }));

Deno.test("a clock that is wrong by years is corrected from the server's answer and tried again", () => {
  const years = 5 * 365 * 86_400_000;
  let count = 0;
  return withServer((_, response) => {
    response.setHeader("date", new Date(Date.now() + years).toUTCString());
    if (++count > 1) return response.writeHead(200).end();
    response.writeHead(401, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: "urn:device-trust:clock-skew", skewSeconds: 1 }));
  }, async (client, seen) => {
    assert.equal((await client.request(get)).status, 200);
    assert.equal(client.clock.known, true);
    assert.ok(Math.abs(client.clock.offset - years) < 2000);
    const created = /created=(\d+)/.exec(String(seen[1]?.headers["signature-input"]))?.[1];
    assert.ok(Math.abs(Number(created) * 1000 - Date.now() - years) < 3000);
  });
});

Deno.test("a server that calls every clock wrong is not asked in a loop", () =>
  withServer((_, response) => {
    response.writeHead(401, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: "urn:device-trust:clock-skew" }));
  }, async (client, seen) => {
    assert.equal((await client.request(get)).status, 401);
    assert.equal(seen.length, 2);
  }));

Deno.test("a server of another authority than the pinned one is not talked to", () =>
  withServer((_, response) => response.end(), async (_, seen, url) => {
    const folder = await Deno.makeTempDir();
    const other = await openServerTls(folder, { names: ["localhost"], ips: [], now: new Date() });
    const client = open(url, other.caPem);
    await assert.rejects(client.request(get), problem("unreachable", /certificate/));
    client.close();
    assert.equal(seen.length, 0);
    await Deno.remove(folder, { recursive: true });
  }));

Deno.test("a URL that is not https is refused before anything is sent", () => {
  assert.throws(() => open("http://localhost:1", ""), problem("server-refused", /https/));
});
