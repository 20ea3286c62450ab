/** The agent server of a simulated fleet: its real apps, called in process, on a clock of our own. */
import { getLogger } from "@logtape/logtape";
import { type Authority, openAuthority } from "../../ca/authority.ts";
import { parseCertificatePem } from "../../ca/certificate.ts";
import { issueLeaf } from "../../ca/issue.ts";
import { sha256Hex } from "../../ca/signature.ts";
import { type ServerApps, serverApps } from "../../mock_server/agent_app.ts";
import type { Certificate } from "../../mock_server/certificates.ts";
import { Changes } from "../../mock_server/changes.ts";
import type { ServerContext } from "../../mock_server/context.ts";
import { connectKeyHash } from "../../mock_server/enrollment.ts";
import { FaultBoard } from "../../mock_server/faults.ts";
import { settleLeaves } from "../../mock_server/fleet_changes.ts";
import { openStore } from "../../mock_server/store.ts";
import type { Random } from "./random.ts";
import type { Timeline } from "./timeline.ts";

const TOKEN = "simulated-admin-token";
const PEER = { address: "192.0.2.7", certificates: [] };

/** What every device of the fleet enrols with. */
export const CONNECT_KEY = "simulated-connect-key";

/** Life of a leaf, seconds. */
const LEAF_TTL = 30 * 86_400;

/** A server that keeps everything in memory. */
export class SimulatedServer {
  readonly #context: ServerContext;
  #apps: ServerApps;
  /** Where its own authority is, if it has one. */
  #folder: string | undefined;

  private constructor(
    context: ServerContext,
    private readonly beginning: Beginning,
    private readonly woken: (deviceId?: string) => void,
  ) {
    this.#context = context;
    this.#apps = serverApps(context);
  }

  /** @param woken called when held requests are to look again: of one device, or of all */
  static async open(
    random: Random,
    timeline: Timeline,
    woken: (deviceId?: string) => void,
  ): Promise<SimulatedServer> {
    const store = openStore(":memory:", {
      globalCertificateDistribution: false,
      selectionPatterns: ["https://[*.]challenge.localhost:8443"],
      keyAlgorithm: "P-256",
      overlapSeconds: 7 * 86_400,
      macosApplications: [],
      defaultDecision: "allow",
    });
    store.connectKeys.add({
      connectKeyId: "11111111-1111-4111-8111-111111111111",
      hash: connectKeyHash(CONNECT_KEY),
      createdAt: timeline.now,
      expiresAt: null,
      maxUses: null,
    });
    const begun = await beginning(timeline.now);
    const context: ServerContext = {
      store,
      authority: begun.authority,
      now: () => new Date(timeline.now),
      random: random.bytes,
      publicUrl: "https://agents.test",
      portalUrl: "https://portal.test",
      changes: new Waking(woken),
      leafTtlSeconds: LEAF_TTL,
      renewAfterSeconds: LEAF_TTL * 14 / 30,
      adminTokenHash: await sha256Hex(new TextEncoder().encode(TOKEN)),
      trustedProxies: [],
      faults: new FaultBoard(random.next),
      log: getLogger(["device-trust", "simulation"]),
    };
    return new SimulatedServer(context, begun, woken);
  }

  get context(): ServerContext {
    return this.#context;
  }

  /** Whether it is asked to misbehave. */
  get misbehaves(): boolean {
    return this.#context.faults.current.faults.length > 0;
  }

  /** Whether it may show another authority's chain now. */
  get showsWrongChain(): boolean {
    return this.#context.faults.current.faults.some(({ kind }) => kind === "wrong-chain");
  }

  /** What a device sends. */
  async fetch(request: Request): Promise<Response> {
    return await this.#apps.agentApp.fetch(request, { peer: PEER });
  }

  /** What an administrator does. Throws when it is refused. */
  // Whatever the server sent: who asked knows what that is.
  // deno-lint-ignore no-explicit-any
  async admin(method: string, path: string, body?: unknown): Promise<any> {
    const response = await this.#apps.agentApp.request(
      `${this.#context.publicUrl}/admin/v1/${path}`,
      {
        method,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      { peer: PEER },
    );
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** Begins anew over the same store; faults end and held requests break off. */
  restart(): void {
    this.#context.faults.current = { clockSkewSeconds: 0, faults: [] };
    this.#apps = serverApps(this.#context);
    this.woken();
  }

  /** Certificates that bear our names and are not ours. */
  get foreign(): readonly Uint8Array[] {
    return this.beginning.foreign;
  }

  /** Gives this life a copy of the authority that it may renew. */
  async ownAuthority(): Promise<void> {
    if (this.#folder !== undefined) return;
    this.#folder = await Deno.makeTempDir({ prefix: "device-trust-simulation-" });
    Deno.mkdirSync(`${this.#folder}/1`);
    for (const [path, bytes] of this.beginning.files) {
      Deno.writeFileSync(`${this.#folder}/${path}`, bytes);
    }
    this.#context.authority = await openAuthority(this.#folder, { now: this.#context.now() });
  }

  /** What its timer does. */
  settle(): void {
    settleLeaves(this.#context);
  }

  /** A user's leaves that count, newest first. */
  live(deviceId: string, userId: string): Certificate[] {
    const { store, now } = this.#context;
    return store.certificates.live(deviceId, userId, now().getTime());
  }

  close(): void {
    this.#context.store.close();
    if (this.#folder !== undefined) Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** Nobody's request is held here: who would have waited is told. */
class Waking extends Changes {
  constructor(private readonly woken: (deviceId?: string) => void) {
    super();
  }
  override wake(deviceId: string): void {
    this.woken(deviceId);
  }
  override wakeAll(): void {
    this.woken();
  }
}

/** What all lives of this process share: each begins at the same instant. */
interface Beginning {
  authority: Authority;
  /** The files of the authority, by their paths. */
  files: ReadonlyMap<string, Uint8Array>;
  /** Certificates of an authority of the same names. */
  foreign: readonly Uint8Array[];
}

let begun: Promise<Beginning> | undefined;

/** The beginning of every life. */
function beginning(now: number): Promise<Beginning> {
  return begun ??= begin(new Date(now));
}

async function begin(now: Date): Promise<Beginning> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-simulation-" });
  try {
    const authority = await openAuthority(`${folder}/ca`, { now });
    const stranger = await openAuthority(`${folder}/stranger`, { now });
    const leaf = await issueLeaf(stranger, {
      spki: parseCertificatePem(stranger.root.pem).spki,
      nameSuffix: "01234567",
      deviceId: "11111111-1111-4111-8111-111111111111",
      userId: "22222222-2222-4222-8222-222222222222",
      crlUrl: "https://strangers.test/crl",
      now,
      ttlSeconds: 10 * LEAF_TTL,
    });
    const files = new Map<string, Uint8Array>();
    for (const { name } of Deno.readDirSync(`${folder}/ca/1`)) {
      files.set(`1/${name}`, Deno.readFileSync(`${folder}/ca/1/${name}`));
    }
    return { authority, files, foreign: [leaf.der, stranger.root.der, stranger.intermediate.der] };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
