/**
 * A portal's challenge, answered as a browser would: what is asked of a platform, and what comes of
 * it, on every system.
 */
import { Problem, type ProblemCode } from "./errors.ts";

/** A certificate that the browser would offer. */
export interface Candidate {
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
  /** What a selection filter's `ISSUER` `CN` is compared with. */
  issuerCommonName: string;
  /** Milliseconds since 1970. */
  notBefore: number;
  notAfter: number;
  /** Certificates of the store between the leaf and the authority that the server names. */
  intermediates: number;
}

/** Which challenge to answer, and how. */
export interface ChallengeOptions {
  /** Where the store is: the folder of an NSS database. */
  directory: string;
  /** DNS name or IP address, without brackets. */
  host: string;
  port: number;
  /** Where to connect instead of where the name leads: an IP address. */
  address?: string;
  /** Path and query of the GET that follows the handshake. */
  path: string;
  /** PEM of the authorities that count for the server. Absent: the system's and the database's. */
  serverCa?: string;
  /** With `serverCa`: whether the system's and the database's authorities count too. */
  systemRoots?: boolean;
  /** The selection filter: which of the offered certificates to present, best first. */
  choose: (candidates: readonly Candidate[]) => number | undefined;
  /** For everything together. */
  timeoutMs: number;
  /** Milliseconds since 1970; for tests. */
  now?: () => number;
}

/** What happened up to some point of a challenge. */
export interface ChallengeTrace {
  /** Whether the server asked for a certificate at all. */
  requested: boolean;
  /** The authorities that its request names, for people; none means any. */
  caNames: string[];
  /** What the browser would offer, best first. */
  candidates: Candidate[];
  /** Absent when none was presented. */
  presented?: { sha256: string };
  /** False only when no authority is known on this machine to judge the server by. */
  serverVerified: boolean;
}

/** A challenge that was answered. */
export interface AnsweredChallenge extends ChallengeTrace {
  /** `TLSv1.2` or `TLSv1.3`. */
  protocol: string;
  /** The HTTP status of the answer, and its body. */
  status: number;
  body: string;
}

/** How far a challenge came. */
export type ChallengeStage = "connect" | "server" | "handshake" | "answer";

/** A challenge that could not be answered. */
export class ChallengeFailed extends Problem {
  constructor(
    readonly stage: ChallengeStage,
    code: ProblemCode,
    message: string,
    readonly trace: ChallengeTrace,
    options?: { cause?: unknown },
  ) {
    super(code, message, options);
  }
}
