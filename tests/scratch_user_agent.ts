/** A user-agent whose world is scratch: a real CA and ledger, a store in memory, a clock that stands. */
import { X509Certificate } from "node:crypto";
import type {
  LocalBundle,
  LocalCertificateRequest,
  UserAgentReport,
  UserSlice,
} from "../agent/local_contract.ts";
import type { UserWorld } from "../agent/user_agent.ts";
import { type Authority, generationOf, openAuthority, renewAuthority } from "../ca/authority.ts";
import { certificateUse, parseCertificate } from "../ca/certificate.ts";
import { checkCsr } from "../ca/csr.ts";
import { type IssuedLeaf, issueLeaf } from "../ca/issue.ts";
import type { Problem } from "../platform/errors.ts";
import type { RunningBrowser } from "../platform/findings.ts";
import { emptyMemoryStore, openMemoryStore } from "../platform/memory_store.ts";

/** Milliseconds. */
export const HOUR = 3_600_000;

const NOW = Date.parse("2026-06-01T12:00:00Z");
const DEVICE = "11111111-1111-4111-8111-111111111111";
const USER = "22222222-2222-4222-8222-222222222222";
const crlUrl = "https://agents.test/v1/crl";

/** Everything a test may turn, and what came of it. */
export class ScratchUserAgent {
  slice: UserSlice;
  readonly store = emptyMemoryStore();
  readonly reports: UserAgentReport[] = [];
  readonly issued: IssuedLeaf[] = [];
  readonly slept: number[] = [];
  readonly asked: LocalCertificateRequest[] = [];
  requests = 0;
  browsers: RunningBrowser[] = [];
  /** Thrown when the store is opened. */
  fail: Problem | undefined;
  /** Replaces the server's answer. */
  answer: (() => never) | undefined;
  /** Changes the leaf's PEM; gets the leaf of another key too. */
  tamper: ((pem: string, other: string) => string) | undefined;
  signer: Authority;
  userId = USER;
  /** Milliseconds that the issuer's clock is ahead. */
  skew = 0;
  /** Called when time has passed. */
  afterSleep = () => {};
  #now = NOW;

  constructor(
    readonly home: string,
    public authority: Authority,
    readonly stranger: Authority,
  ) {
    this.signer = authority;
    this.world.stateDir = `${home}/.local/state/device-trust`;
    this.slice = {
      deviceId: DEVICE,
      userId: USER,
      publicUrl: "https://agents.test",
      brand: "JumpCloud",
      wanted: true,
      final: false,
      keyAlgorithm: "P-256",
      overlapSeconds: 604800,
      trustAnchors: { root: authority.root.pem, intermediate: authority.intermediate.pem },
      leaves: [],
      clock: { offset: 0, known: true },
    };
  }

  readonly world: UserWorld = {
    client: {
      slice: () => Promise.resolve({ etag: '"1"', slice: this.slice }),
      certificate: (request) => {
        this.asked.push(request);
        return this.#certificate(request.csr);
      },
      report: (report) => {
        this.reports.push(report);
        return Promise.resolve();
      },
      close: () => {},
    },
    stateDir: "",
    checkHome: () => Promise.resolve(),
    openStore: () => {
      if (this.fail) throw this.fail;
      return openMemoryStore(this.store);
    },
    removeCreated: () => Promise.resolve([]),
    runningBrowsers: () => Promise.resolve(this.browsers),
    now: () => this.#now,
    random: () => 0.5,
    sleep: (milliseconds) => {
      this.slept.push(milliseconds);
      this.#now += milliseconds;
      this.afterSleep();
      return Promise.resolve();
    },
  };

  lastReport(): UserAgentReport {
    const report = this.reports.at(-1);
    if (!report) throw new Error("Nothing was reported.");
    return report;
  }

  /** The server lists what it issued, as it would in the next desired state. */
  listIssued(): void {
    const [current, elder] = this.issued.toReversed();
    if (!current) return;
    const overlap = elder ? [{ serial: elder.serial, status: "overlap" as const }] : [];
    this.slice = {
      ...this.slice,
      renewal: this.window,
      leaves: [{ serial: current.serial, status: "current" }, ...overlap],
    };
  }

  /** The window of whatever is issued. */
  window = instants(0, 1);

  /** Time passes. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** The authority's next generation begins, and the agent has followed it. */
  async renewAuthority(what: "intermediate" | "root"): Promise<void> {
    this.authority = await renewAuthority(this.authority, what, new Date(this.#now));
    this.signer = this.authority;
    const { root, intermediate, elders } = this.authority;
    this.slice = {
      ...this.slice,
      trustAnchors: { root: root.pem, intermediate: intermediate.pem },
      formerAnchors: elders.map((elder) => ({
        root: elder.root.pem,
        intermediate: elder.intermediate.pem,
      })),
    };
  }

  /** The server is itself again. */
  behave(): void {
    this.tamper = undefined;
    this.signer = this.authority;
    this.userId = USER;
    this.skew = 0;
  }

  /** A leaf of our issuer for another device. */
  async issueFor(deviceId: string): Promise<IssuedLeaf> {
    const { publicKey } = await crypto.subtle.generateKey(
      { name: "ECDSA", namedCurve: "P-256" },
      true,
      ["sign", "verify"],
    );
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
    return await this.#issue(spki, deviceId);
  }

  async #certificate(csr: string): Promise<LocalBundle> {
    this.requests++;
    this.answer?.();
    const { spki } = await checkCsr(csr);
    const again = this.issued.find((leaf) => sameKey(leaf, spki));
    const leaf = again ?? await this.#issue(spki, DEVICE);
    const tampered = this.tamper?.(leaf.pem, (await this.issueFor(DEVICE)).pem);
    const misbehaves = tampered !== undefined || this.signer !== this.authority ||
      this.userId !== USER || this.skew !== 0;
    if (!again && !misbehaves) this.issued.push(leaf);
    const { authorityKeyIdentifier } = certificateUse(parseCertificate(leaf.der));
    const issuer = generationOf(this.signer, authorityKeyIdentifier ?? "") ?? this.signer;
    return {
      serial: leaf.serial,
      notAfter: leaf.notAfter.toISOString(),
      leaf: tampered ?? leaf.pem,
      intermediate: issuer.intermediate.pem,
      root: issuer.root.pem,
      renewal: this.window,
    };
  }

  async #issue(spki: Uint8Array, deviceId: string): Promise<IssuedLeaf> {
    this.window = instants(this.#now + 14 * 24 * HOUR, this.#now + 16 * 24 * HOUR);
    const random = crypto.getRandomValues(new Uint8Array(4));
    return await issueLeaf(this.signer, {
      spki,
      deviceId,
      userId: this.userId,
      nameSuffix: random.toHex(),
      crlUrl,
      now: new Date(this.#now + this.skew),
      ttlSeconds: 30 * 24 * 3600,
    });
  }
}

function sameKey(leaf: IssuedLeaf, spki: Uint8Array): boolean {
  const key = new X509Certificate(leaf.der).publicKey.export({ type: "spki", format: "der" });
  return Buffer.compare(key, spki) === 0;
}

function instants(start: number, end: number) {
  const instant = (time: number) => new Date(time).toISOString();
  return { start: instant(start), end: instant(end) };
}

/** Runs a test in a scratch world and removes it. */
export async function withUserAgent(
  test: (scratch: ScratchUserAgent) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const home = `${folder}/home`;
    await Deno.mkdir(home);
    const options = { brand: "JumpCloud", now: new Date(NOW - 24 * HOUR) };
    const authority = await openAuthority(`${folder}/ca`, options);
    const stranger = await openAuthority(`${folder}/stranger`, options);
    await test(new ScratchUserAgent(home, authority, stranger));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
