/** What is found on a machine by looking, changing nothing. */
import type { Problem } from "./errors.ts";

/** A browser's main process. */
export interface RunningBrowser {
  /** `chrome`, `chromium`, `edge`, `brave`, `vivaldi` or `opera`. */
  name: string;
  pid: number;
  /** Milliseconds since the epoch; up to a second early, never late. */
  startedAt: number;
}

/** A certificate as `doctor` sees it. */
export interface InspectedCertificate {
  der: Uint8Array<ArrayBuffer>;
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
  hasKey: boolean;
  /** Whether the database trusts it for anything: TLS, e-mail or code. */
  trusted: boolean;
}

/** One store, as far as it can be read. */
export interface InspectedStore {
  path: string;
  /** Whose it is, for people. */
  usedBy: string;
  exists: boolean;
  certificates: InspectedCertificate[];
  /** Why browsers or we cannot use it. */
  problem?: Problem;
}

/** A browser that this product does not serve. */
export interface UnservedBrowser {
  browser: string;
  /** What shows that it is there. */
  location: string;
  reason: string;
}

/** A file in a folder of managed policies. */
export interface PolicyFile {
  path: string;
  /** Its text, where it holds nothing but filters for our issuer; what others set is theirs. */
  filters?: string;
}

/** What a support bundle tells of the system. */
export interface SupportFacts {
  /** The system, and packages of browsers and of what they keep certificates with; a line each. */
  versions: string[];
  policies: (PolicyFile | { problem: string })[];
  /** The end of what the agent logged; "" where there is none. */
  log: string;
}
