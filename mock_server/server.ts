/** The mock agent server: two TLS listeners over one data folder. */
import { getLogger, type Logger } from "@logtape/logtape";
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { openAuthority } from "../ca/authority.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { type ServerApps, serverApps } from "./agent_app.ts";
import { Changes } from "./changes.ts";
import type { RandomBytes, ServerContext } from "./context.ts";
import { FaultBoard } from "./faults.ts";
import { settleLeaves } from "./fleet_changes.ts";
import {
  bindHost,
  certificateNames,
  defaultPatterns,
  type ListenAddress,
  publicHost,
  publicUrl,
} from "./listen_address.ts";
import { listen, type ListenerOptions } from "./listener.ts";
import type { ServerFile } from "./server_file.ts";
import { keepSecrets, readServerFile, writeServerFile } from "./server_secrets.ts";
import { openStore } from "./store.ts";

/** How to run a server; what is absent has the default of the command line. */
export interface MockServerOptions {
  listen: ListenAddress;
  portal: ListenAddress;
  /** Made when it is missing, 0700; holds keys, database and `server.json`. */
  dataDir: string;
  /** Absent: that of the authority in `dataDir`, or the default brand for a new one. */
  brand?: string;
  leafTtlSeconds?: number;
  renewAfterSeconds?: number;
  /** In force until an administrator sets another. */
  overlapSeconds?: number;
  /** Networks (CIDR) whose `Client-Cert` field counts. */
  trustedProxies?: readonly string[];
  now?: () => Date;
  random?: RandomBytes;
  log?: Logger;
}

/** A server that accepts connections. */
export interface RunningServer extends ServerFile {
  context: ServerContext;
  /** Whether `server.json` was new, so that its secrets are. */
  newSecrets: boolean;
  /** Ends held requests and both listeners, then closes the store; a second at most. */
  close(): Promise<void>;
}

const DAY_SECONDS = 86_400;

/** How often leaves are looked at, by the server's clock, for overlaps and lives that ended. */
const SETTLE_MS = 250;

/**
 * Starts a server; it accepts on both listeners, and `server.json` is written, when the promise
 * resolves. Keys, secrets, settings and devices of an earlier start are kept, and with port 0 the
 * ports too where they are free, because devices know the server by its URL. Throws what opening
 * the authority, the store or a listener throws.
 */
export async function startMockServer(options: MockServerOptions): Promise<RunningServer> {
  const faults = new FaultBoard(Math.random);
  const clock = options.now ?? (() => new Date());
  const now = () => new Date(clock().getTime() + faults.current.clockSkewSeconds * 1000);
  const dataDir = resolve(options.dataDir);
  await Deno.mkdir(dataDir, { recursive: true, mode: 0o700 });
  const known = await readServerFile(dataDir);
  const agentHost = publicHost(options.listen, Deno.hostname());
  const portalHost = publicHost(options.portal, Deno.hostname());
  const authority = await openAuthority(join(dataDir, "ca"), { brand: options.brand, now: now() });
  const tls = await openServerTls(join(dataDir, "tls"), {
    ...certificateNames([agentHost, portalHost]),
    now: now(),
  });

  // Ports come first, because URLs are made of them and everything else of URLs: whoever connects
  // meanwhile waits.
  const apps = Promise.withResolvers<ServerApps>();
  const certificate = { certificate: tls.certPem, key: tls.keyPem };
  await using listeners = new AsyncDisposableStack();
  const agentPort = await listenAgain(listeners, options.listen, known?.agentUrl, {
    ...certificate,
    fetch: async (request, peer) => (await apps.promise).agentApp.fetch(request, { peer }),
  });
  const portalPort = await listenAgain(listeners, options.portal, known?.portalUrl, {
    ...certificate,
    clientRoots: [authority, ...authority.elders].map(({ root }) => root.pem),
    fetch: async (request, peer) => (await apps.promise).portalApp.fetch(request, { peer }),
  });
  const agentUrl = publicUrl(agentHost, agentPort);
  const portalUrl = publicUrl(portalHost, portalPort);

  const store = openStore(join(dataDir, "server.db"), {
    globalCertificateDistribution: false,
    selectionPatterns: defaultPatterns(portalUrl),
    keyAlgorithm: "P-256",
    overlapSeconds: options.overlapSeconds ?? 7 * DAY_SECONDS,
    macosApplications: [],
    defaultDecision: "allow",
  });
  const random = options.random ?? systemRandom;
  const secrets = keepSecrets(store, known, { now: now(), random });
  const context: ServerContext = {
    store,
    authority,
    now,
    random,
    publicUrl: agentUrl,
    portalUrl,
    changes: new Changes(),
    leafTtlSeconds: options.leafTtlSeconds ?? 30 * DAY_SECONDS,
    renewAfterSeconds: options.renewAfterSeconds ?? 14 * DAY_SECONDS,
    adminTokenHash: createHash("sha256").update(secrets.adminToken).digest("hex"),
    trustedProxies: options.trustedProxies ?? [],
    faults,
    log: options.log ?? getLogger(["device-trust", "mock-server"]),
  };
  apps.resolve(serverApps(context));
  const settling = setInterval(() => settleLeaves(context), SETTLE_MS);
  const file: ServerFile = { agentUrl, portalUrl, ...secrets, serverCa: resolve(tls.caPath) };
  await writeServerFile(dataDir, file);
  const open = listeners.move();
  return {
    ...file,
    context,
    newSecrets: known === undefined,
    close: async () => {
      clearInterval(settling);
      context.changes.close();
      await open.disposeAsync();
      store.close();
    },
  };
}

const systemRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/** Listens; where any port will do, on the one of an earlier start if it is free. */
async function listenAgain(
  listeners: AsyncDisposableStack,
  address: ListenAddress,
  earlierUrl: string | undefined,
  options: Omit<ListenerOptions, "host" | "port">,
): Promise<number> {
  const host = bindHost(address);
  const earlier = earlierUrl === undefined ? 0 : Number(new URL(earlierUrl).port);
  if (address.port === 0 && earlier !== 0) {
    try {
      return listeners.use(await listen({ ...options, host, port: earlier })).port;
    } catch (error) {
      if (!isAddressInUse(error)) throw error;
    }
  }
  return listeners.use(await listen({ ...options, host, port: address.port })).port;
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}
