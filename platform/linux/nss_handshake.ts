/**
 * Answers a real TLS challenge as a browser would: with NSS's own TLS library and the key inside
 * the user's NSS database, in which nothing is changed. Calls block, so this belongs in a
 * short-lived process with the user's rights.
 */
import { createHash } from "node:crypto";
import { lookup } from "node:dns/promises";
import {
  type AnsweredChallenge,
  type Candidate,
  ChallengeFailed,
  type ChallengeOptions,
  type ChallengeStage,
  type ChallengeTrace,
} from "../challenge.ts";
import { intermediatesTo, offered } from "./client_certificate_choice.ts";
import { getRequest, type HttpAnswer, readAnswer } from "./http_answer.ts";
import { NssError } from "./nss_errors.ts";
import type { Handle } from "./nss_memory.ts";
import { type DatabaseEntry, openReadOnly, type ReadOnlyDatabase } from "./nss_reader.ts";
import { NssTls, PR_IO_TIMEOUT_ERROR, type TlsConnection } from "./nss_tls_ffi.ts";
import { readAnchorDer, readAnchors, serverDistrust } from "./server_identity.ts";

/** Most bytes of an answer that are read. */
const MAX_ANSWER = 64 * 1024;

/**
 * Connects, answers the challenge with the first certificate that `choose` takes, asks `path`.
 *
 * @throws ChallengeFailed; Problem `store-locked`, `store-password` or `internal` for the database
 */
export async function challengeFromNss(options: ChallengeOptions): Promise<AnsweredChallenge> {
  const deadline = performance.now() + options.timeoutMs;
  const left = () => Math.max(1, Math.ceil(deadline - performance.now()));
  const trace: ChallengeTrace = {
    requested: false,
    caNames: [],
    candidates: [],
    serverVerified: false,
  };
  const addresses = options.address ? [options.address] : await resolve(options.host, left);
  if (addresses.length === 0) {
    const message = `Cannot reach ${options.host}: its name leads to no address.`;
    throw new ChallengeFailed("connect", "unreachable", message, trace);
  }
  using database = openReadOnly(options.directory, left());
  return new Challenge(options, database, trace, left).answer(addresses);
}

class Challenge {
  readonly #tls = NssTls.load();
  readonly #where: string;

  constructor(
    readonly options: ChallengeOptions,
    readonly database: ReadOnlyDatabase,
    readonly trace: ChallengeTrace,
    readonly left: () => number,
  ) {
    this.#where = authority(options.host, options.port);
  }

  answer(addresses: readonly string[]): AnsweredChallenge {
    const entries = this.database.clientCertificates();
    const connection = this.#connect(addresses, entries);
    try {
      this.#stage("handshake", () => this.#tls.handshake(connection, this.left()));
      const protocol = this.#tls.protocol(connection);
      const answer = this.#stage("answer", () => this.#ask(connection));
      return { ...this.trace, ...answer, protocol };
    } finally {
      this.#tls.closeConnection(connection);
      this.#tls.clearSessions();
    }
  }

  #connect(addresses: readonly string[], entries: readonly DatabaseEntry[]): TlsConnection {
    const { host, port } = this.options;
    const questions = {
      verifyServer: (chain: Uint8Array[]) => this.#verify(chain),
      chooseCertificate: (caNames: Uint8Array[]) => this.#choose(caNames, entries),
    };
    const errors: unknown[] = [];
    for (const ip of addresses) {
      try {
        return this.#tls.connect({ ip, port, host }, questions, this.left());
      } catch (error) {
        errors.push(error);
      }
    }
    throw this.#failed("connect", errors[0]);
  }

  #verify(chain: Uint8Array[]): void {
    const { serverCa, systemRoots = serverCa === undefined, host, now = Date.now } = this.options;
    const anchors = readAnchors(serverCa ?? "");
    if (systemRoots) {
      anchors.push(...readAnchors(systemRootsPem() ?? ""));
      anchors.push(...this.database.serverAuthorities().flatMap(readAnchorDer));
    }
    if (anchors.length === 0 && serverCa === undefined) return;
    const why = serverDistrust(chain, { host, anchors, now: now() });
    if (why) throw this.#failed("server", new Error(why));
    this.trace.serverVerified = true;
  }

  #choose(caNames: Uint8Array[], entries: readonly DatabaseEntry[]): Handle | undefined {
    const { choose, now = Date.now } = this.options;
    const findIssuer = (subject: Uint8Array) => this.database.findByName(subject);
    const handles = new Map<Candidate, Handle>();
    for (const entry of entries) {
      const intermediates = intermediatesTo(entry, caNames, findIssuer);
      if (intermediates === undefined) continue;
      handles.set(this.#candidate(entry, intermediates), entry.handle);
    }
    const candidates = offered([...handles.keys()], now());
    this.trace.requested = true;
    this.trace.candidates = candidates;
    this.trace.caNames = caNames.map((name) => this.database.nameText(name));
    const index = choose(candidates);
    const chosen = index === undefined ? undefined : candidates[index];
    if (!chosen) return undefined;
    this.trace.presented = { sha256: chosen.sha256 };
    return handles.get(chosen);
  }

  #candidate(entry: DatabaseEntry, intermediates: number): Candidate {
    return {
      sha256: createHash("sha256").update(entry.der).digest("hex"),
      issuerCommonName: this.database.issuerCommonName(entry),
      ...this.database.validity(entry),
      intermediates,
    };
  }

  #ask(connection: TlsConnection): HttpAnswer {
    this.#tls.send(connection, getRequest(this.#where, this.options.path), this.left());
    let bytes = new Uint8Array();
    for (;;) {
      const more = this.#tls.receive(connection, this.left());
      bytes = new Uint8Array([...bytes, ...more]);
      const answer = readAnswer(bytes, more.length === 0 || bytes.length >= MAX_ANSWER);
      if (answer) return answer;
    }
  }

  #stage<T>(stage: ChallengeStage, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof ChallengeFailed ? error : this.#failed(stage, error);
    }
  }

  #failed(stage: ChallengeStage, cause: unknown): ChallengeFailed {
    const late = cause instanceof NssError && cause.code === PR_IO_TIMEOUT_ERROR;
    const why = late ? "no answer in time" : cause instanceof Error ? cause.message : String(cause);
    const action = ACTIONS[stage];
    const code = stage === "connect" || late ? "unreachable" : "server-refused";
    const message = `Cannot ${action} ${this.#where}: ${why}.`;
    return new ChallengeFailed(stage, code, message, this.trace, { cause });
  }
}

const ACTIONS: Readonly<Record<ChallengeStage, string>> = {
  connect: "reach",
  server: "trust",
  handshake: "finish the TLS handshake with",
  answer: "get an answer from",
};

function authority(host: string, port: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === 443 ? name : `${name}:${port}`;
}

/** As browsers resolve: every `localhost` name is this machine. */
async function resolve(host: string, left: () => number): Promise<string[]> {
  if (/(^|\.)localhost$/i.test(host)) return ["127.0.0.1", "::1"];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<[]>((resolve) => timer = setTimeout(() => resolve([]), left()));
  try {
    return await Promise.race([
      lookup(host, { all: true }).then((found) => found.map(({ address }) => address)),
      late,
    ]);
  } catch {
    // The resolver knows no such name, or does not answer: the same to the caller.
    return [];
  } finally {
    clearTimeout(timer);
  }
}

/** Where distributions keep the authorities that the system trusts, PEM. */
const SYSTEM_ROOTS = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

function systemRootsPem(): string | undefined {
  for (const path of SYSTEM_ROOTS) {
    try {
      return Deno.readTextFileSync(path);
    } catch {
      // Another distribution's place.
    }
  }
  return undefined;
}
