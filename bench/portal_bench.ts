/** How soon after OFF browsers that are connected already count as unmanaged. */
import { connect, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { TextLineStream } from "../agent/text_lines.ts";
import type { Bench } from "./measure.ts";

const SERVER = fileURLToPath(new URL("./portal_server.ts", import.meta.url));

const CONNECTIONS = 1000;

const Portal = z.object({
  agentUrl: z.string(),
  portalUrl: z.string(),
  adminToken: z.string(),
  serverCa: z.string(),
  pem: z.string(),
  key: z.string(),
});
type Portal = z.infer<typeof Portal>;

/** Connections that have presented the leaf and stay open; loopback. */
export const bench: Bench = {
  title: "The portal's verdict after OFF",
  async measure({ smoke, times, progress }) {
    const folder = await Deno.makeTempDir({ prefix: "bench-portal-" });
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", SERVER, folder],
      stdout: "piped",
    }).spawn();
    const sockets: TLSSocket[] = [];
    try {
      const portal = await described(child.stdout);
      const ca = await Deno.readTextFile(portal.serverCa);
      using client = Deno.createHttpClient({ caCerts: [ca] });
      const distribute = (on: boolean) => switchTo(portal, client, on);
      await distribute(true);
      const count = smoke ? 10 : CONNECTIONS;
      progress(`${count} connections, OFF ${times(20)} times`);
      for (let at = 0; at < count; at++) sockets.push(await open(portal, ca));
      const first: number[] = [];
      const last: number[] = [];
      for (let round = 0; round < times(20); round++) {
        await distribute(true);
        await Promise.all(sockets.map((socket) => managed(socket)));
        const started = performance.now();
        const off = distribute(false);
        first.push(await untilUnmanaged(sockets[0], started));
        await off;
        const verdicts = await Promise.all(sockets.map((socket) => managed(socket)));
        last.push(performance.now() - started);
        if (verdicts.includes(true)) throw new Error("A connection is managed after OFF.");
      }
      return [
        { what: `OFF -> first unmanaged answer, ${count} connections open`, samples: first },
        { what: "OFF -> each of them asked and answered unmanaged", samples: last },
      ].map((row) => ({ ...row, unit: "ms" }));
    } finally {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGTERM");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
};

async function described(output: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Portal> {
  const lines = output.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) return Portal.parse(JSON.parse(line));
  throw new Error("The server ended at its start.");
}

async function switchTo(portal: Portal, client: Deno.HttpClient, on: boolean): Promise<void> {
  const response = await fetch(`${portal.agentUrl}/admin/v1/settings`, {
    method: "PUT",
    client,
    headers: { authorization: `Bearer ${portal.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify({ globalCertificateDistribution: on }),
  });
  if (!response.ok) throw new Error(await response.text());
  await response.body?.cancel();
}

function open(portal: Portal, ca: string): Promise<TLSSocket> {
  const { hostname, port } = new URL(portal.portalUrl);
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: hostname, port: Number(port), ca, cert: portal.pem, key: portal.key },
      () => resolve(socket),
    );
    socket.once("error", reject);
  });
}

/** Asks for a verdict on a connection that is open. */
function managed(socket: TLSSocket): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  let text = "";
  const take = (data: Uint8Array) => {
    text += new TextDecoder().decode(data);
    const verdict = /"managed":(true|false)[^]*\}$/.exec(text)?.[1];
    if (verdict !== undefined) resolve(verdict === "true");
  };
  const end = () => reject(new Error(`The portal closed a connection: ${text}`));
  socket.on("data", take);
  socket.once("close", end);
  const path = "/challenge?user=alice@example.com&resource=mail";
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  return promise.finally(() => {
    socket.off("data", take);
    socket.off("close", end);
  });
}

async function untilUnmanaged(socket: TLSSocket | undefined, started: number): Promise<number> {
  if (!socket) throw new Error("There is no connection.");
  while (await managed(socket)) { /* Asked again at once. */ }
  return performance.now() - started;
}
