/**
 * Which client certificates Chromium on Linux offers to a TLS server, and in what order. Pure; the
 * database is asked through a function.
 */

/** Longest chain that is walked. */
const MAX_DEPTH = 20;

/** The names of a certificate, DER. */
export interface CertificateNames {
  issuer: Uint8Array;
  subject: Uint8Array;
}

/** What a certificate is ranked by. Times are milliseconds since 1970. */
export interface Ranked {
  notBefore: number;
  notAfter: number;
  /** Certificates of the database between the leaf and the named authority. */
  intermediates: number;
}

/**
 * How many certificates of the database lie between `leaf` and one of the authorities that the
 * server names; undefined when none of them is reached. A server that names nobody takes
 * everything. As Chromium does, names are compared byte by byte, and the walk is by name alone.
 */
export function intermediatesTo(
  leaf: CertificateNames,
  caNames: readonly Uint8Array[],
  findIssuer: (subject: Uint8Array) => CertificateNames | undefined,
): number | undefined {
  if (caNames.length === 0) return 0;
  let current: CertificateNames | undefined = leaf;
  for (let depth = 0; current !== undefined && depth < MAX_DEPTH; depth++) {
    const { issuer, subject }: CertificateNames = current;
    if (caNames.some((name) => equal(name, issuer))) return depth;
    if (equal(issuer, subject)) return undefined;
    current = findIssuer(issuer);
  }
  return undefined;
}

/** The certificates that are offered at `now`, the one that a filter takes first in front. */
export function offered<T extends Ranked>(certificates: readonly T[], now: number): T[] {
  return certificates
    .filter(({ notBefore, notAfter }) => notBefore <= now && now <= notAfter)
    .sort((a, b) =>
      b.notAfter - a.notAfter || b.notBefore - a.notBefore || a.intermediates - b.intermediates
    );
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
