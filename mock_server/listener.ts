/**
 * A TLS listener with bounds on what a client can hold up: `node:https`, because it cuts slow
 * handshakes and headers, which the runtime's own server does not (seen: open after 45 s).
 */
import { getRequestListener } from "@hono/node-server";
import { STATUS_CODES } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Peer } from "./context.ts";
import { canonicalIp } from "./cidr.ts";
import { problemText, RequestProblem } from "./problems.ts";

/** Bounds of a listener, milliseconds and bytes. */
const BOUNDS = {
  handshakeTimeout: 10_000,
  headersTimeout: 10_000,
  /** For a whole request; bodies have bounds of their own, see limits.ts. */
  requestTimeout: 40_000,
  connectionsCheckingInterval: 1_000,
  /** Longer than the pause between an agent's requests, so that it need not shake hands again. */
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16 * 1024,
} as const;

/** How long requests in flight have to end when the listener closes. */
const CLOSE_MS = 500;

/** What to listen with. */
export interface ListenerOptions {
  host: string;
  /** 0 for any free one. */
  port: number;
  /** PEM. */
  certificate: string;
  key: string;
  /**
   * Ask for a client certificate, naming these roots (PEM); absent: do not ask. Any certificate,
   * or none, gets in: judging it is the handler's business.
   */
  clientRoots?: string[];
  fetch: (request: Request, peer: Peer) => Response | Promise<Response>;
}

/** A listener that accepts connections. */
export interface Listener extends AsyncDisposable {
  port: number;
  /** Stops accepting, lets requests in flight end for a moment, and cuts what is left. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Listens; throws what the system says, for instance that the port is taken. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const asks = options.clientRoots !== undefined;
  const settings: ServerOptions & { handshakeTimeout: number } = {
    ...BOUNDS,
    cert: options.certificate,
    key: options.key,
    minVersion: "TLSv1.2",
    ...(asks && { requestCert: true, rejectUnauthorized: false, ca: options.clientRoots }),
  };
  const handle = getRequestListener(
    (request, { incoming }) => options.fetch(request, peerOf(incoming.socket, asks)),
    { overrideGlobalObjects: false },
  );
  const server = createServer(settings, handle);
  server.on("clientError", refuse);
  // Before the handshake there is no way to answer, and an answer that waits for one never ends.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const sockets = new Set<Duplex>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  return { port: portOf(server), [Symbol.asyncDispose]: () => close(server, sockets) };
}

function peerOf(socket: Socket, asked: boolean): Peer {
  const address = canonicalIp(socket.remoteAddress ?? "") ?? "";
  const presented = asked && socket instanceof TLSSocket
    ? socket.getPeerCertificate()?.raw
    : undefined;
  return { address, certificates: presented ? [new Uint8Array(presented)] : [] };
}

/** Answers what is no request at all: there is nothing that an app could be asked. */
function refuse(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const { status, body } = problemText(unreadable(error.code));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function unreadable(code: string | undefined): RequestProblem {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new RequestProblem(
        "headers-too-large",
        `A request here has at most ${BOUNDS.maxHeaderSize} bytes of header`,
      );
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new RequestProblem("slow-request", "Send the request without pausing");
    default:
      return new RequestProblem("malformed", "This is not a request of HTTP/1.1");
  }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === "string") throw new Error("The listener has no port");
  return address.port;
}

/** `sockets` are all that there are: of a connection that shakes hands yet, the server knows none. */
function close(server: Server, sockets: ReadonlySet<Duplex>): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    }, CLOSE_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
