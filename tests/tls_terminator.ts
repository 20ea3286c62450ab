/**
 * What ends TLS before a portal (docs/proxy.md), for clients that present a leaf only to who names its
 * very issuer, as Wine's do: it asks for certificates of the intermediate, and passes on what it got.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import type { RunningServer } from "../mock_server/server.ts";

/** Where a portal trusts `Client-Cert` to come from, when this is before it (CIDR). */
export const TERMINATOR = "127.0.0.1/32";

/** Ends TLS for this server's portal. Disposing of it ends it. */
export async function startTerminator(
  server: RunningServer,
  folder: string,
): Promise<{ port: number } & AsyncDisposable> {
  const own = readFileSync(`${folder}/tls/server.pem`);
  const client = Deno.createHttpClient({ caCerts: [readFileSync(server.serverCa, "utf8")] });
  const listener = createServer({
    key: own,
    cert: own,
    ca: server.context.authority.intermediate.pem,
    requestCert: true,
    rejectUnauthorized: false,
  }, async (request, response) => {
    const leaf = request.socket instanceof TLSSocket && request.socket.getPeerCertificate()?.raw;
    const headers: Record<string, string> = leaf
      ? { "client-cert": `:${new Uint8Array(leaf).toBase64()}:` }
      : {};
    const answer = await fetch(`${server.portalUrl}${request.url}`, { client, headers });
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(await answer.text());
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address: AddressInfo | string | null = listener.address();
  if (address === null || typeof address === "string") throw new Error("It listens at no port.");
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
      client.close();
    },
  };
}
