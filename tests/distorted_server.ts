/**
 * The mock agent server behind a real TLS listener whose answers a test may replace or distort.
 * Nothing distorted, it is the mock agent server.
 */
import { certificateNames, publicUrl } from "../mock_server/listen_address.ts";
import { listen, type Listener } from "../mock_server/listener.ts";
import type { ServerContext } from "../mock_server/context.ts";
import { serverApps } from "../mock_server/agent_app.ts";
import { type RunningServer, startMockServer } from "../mock_server/server.ts";
import { openServerTls, type ServerTls } from "../ca/server_tls.ts";
import { inPassableFolder } from "./device_root.ts";
import { administer, type Administration } from "./product.ts";

/** Gives the answer that a device gets; `usual` is what the agent server answers. */
export type Distortion = (
  usual: () => Promise<Response>,
  request: Request,
) => Response | Promise<Response>;

/** What devices ask for. */
export type Endpoint = "enrollment" | "desired-state" | "certificates" | "reports" | "other";

/** An agent server that may be made to answer badly. Its data and `server.json` are in `folder`. */
export class DistortedServer implements AsyncDisposable {
  /** Where devices find it, as `enroll` takes it. */
  readonly agentUrl: string;
  readonly #asked: { endpoint: Endpoint; at: number }[] = [];
  readonly #distortions = new Map<Endpoint, Distortion>();
  #listener: Listener | undefined;

  private constructor(
    readonly server: RunningServer,
    readonly administrator: Administration,
    readonly tls: ServerTls,
    listener: Listener,
  ) {
    this.#listener = listener;
    this.agentUrl = publicUrl("localhost", listener.port);
  }

  /** Starts one, with its data in `folder`. */
  static async start(folder: string): Promise<DistortedServer> {
    const loopback = { host: "localhost", port: 0 };
    const server = await startMockServer({ listen: loopback, portal: loopback, dataDir: folder });
    const names = certificateNames(["localhost"]);
    const tls = await openServerTls(`${folder}/tls`, { ...names, now: new Date() });
    // Devices know it by the port that is not known before it listens.
    const ready = Promise.withResolvers<DistortedServer>();
    const listener = await listenWith(tls, 0, async (request) => {
      return await (await ready.promise).#answer(request);
    });
    const administrator = await administer(server);
    const distorted = new DistortedServer(server, administrator, tls, listener);
    ready.resolve(distorted);
    return distorted;
  }

  /** PEM file of the authority of its TLS certificate. */
  get serverCa(): string {
    return this.server.serverCa;
  }

  /** The agent server's own, with the URL that devices know. */
  get context(): ServerContext {
    return { ...this.server.context, publicUrl: this.agentUrl };
  }

  get connectKey(): string {
    return this.server.connectKey;
  }

  /** Distorts what an endpoint answers until the returned value is disposed. */
  distort(endpoint: Endpoint, distortion: Distortion): Disposable {
    this.#distortions.set(endpoint, distortion);
    return { [Symbol.dispose]: () => void this.#distortions.delete(endpoint) };
  }

  /** When an endpoint was asked, milliseconds of the steady clock. */
  asked(endpoint: Endpoint): number[] {
    return this.#asked.filter((asked) => asked.endpoint === endpoint).map(({ at }) => at);
  }

  /** Stops listening: connections are refused until it listens again. */
  async vanish(): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
    this.#listener = undefined;
  }

  /** Listens again, on the same port. */
  async comeBack(): Promise<void> {
    const answer = (request: Request) => this.#answer(request);
    this.#listener = await listenWith(this.tls, this.#port, answer);
  }

  /** Another server takes the place of one that has vanished, with other TLS; dispose of it. */
  async impersonate(tls: ServerTls, answer: () => Response): Promise<Listener> {
    return await listenWith(tls, this.#port, answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.administrator[Symbol.dispose]();
    await this.vanish();
    await this.server.close();
  }

  get #port(): number {
    return Number(new URL(this.agentUrl).port);
  }

  async #answer(request: Request): Promise<Response> {
    const endpoint = endpointOf(request);
    this.#asked.push({ endpoint, at: performance.now() });
    const usual = async () => await this.#apps().fetch(request, { peer: PEER });
    return await (this.#distortions.get(endpoint) ?? ((usual) => usual()))(usual, request);
  }

  /** The mock's own app, which judges signatures by the URL that devices know. */
  #apps = lazily(() => serverApps({ ...this.server.context, publicUrl: this.agentUrl }).agentApp);
}

/** Runs a test with one, distribution ON, and with a folder that goes after it. */
export async function withDistortedServer(
  test: (server: DistortedServer, folder: string) => Promise<void>,
): Promise<void> {
  await inPassableFolder(async (folder) => {
    await using server = await DistortedServer.start(`${folder}/server`);
    await server.administrator.distribute(true);
    await test(server, folder);
  });
}

/** Another host, which the device would trust; it counts who comes. */
export async function startElsewhere(
  tls: Pick<ServerTls, "certPem" | "keyPem">,
): Promise<Listener & { url: string; visits: () => number }> {
  let visits = 0;
  const listener = await listenWith(tls, 0, () => {
    visits++;
    return new Response("You are elsewhere.");
  });
  return { ...listener, url: publicUrl("localhost", listener.port), visits: () => visits };
}

const PEER = { address: "127.0.0.1", certificates: [] };

async function listenWith(
  { certPem, keyPem }: Pick<ServerTls, "certPem" | "keyPem">,
  port: number,
  fetch: (request: Request) => Response | Promise<Response>,
): Promise<Listener> {
  return await listen({ host: "127.0.0.1", port, certificate: certPem, key: keyPem, fetch });
}

function endpointOf({ method, url }: Request): Endpoint {
  const { pathname } = new URL(url);
  if (method === "POST" && pathname === "/v1/devices") return "enrollment";
  const last = pathname.split("/").at(-1);
  switch (last) {
    case "desired-state":
    case "certificates":
    case "reports":
      return last;
    default:
      return "other";
  }
}

function lazily<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
