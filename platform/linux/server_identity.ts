/**
 * Whether a TLS server is who it should be: its chain, its dates, its name. Pure. What NSS or a
 * browser would look up elsewhere (revocation, certificate transparency) is not looked at.
 */
import { X509Certificate } from "node:crypto";
import { checkServerIdentity } from "node:tls";

/** Longest chain, the server's own certificate included. */
const MAX_CHAIN = 10;

/** What a server's certificate has to be. */
export interface ServerExpectation {
  /** The name or IP address that was asked for. */
  host: string;
  /** Authorities that count. */
  anchors: readonly X509Certificate[];
  /** Milliseconds since 1970. */
  now: number;
}

/**
 * Why the server is not to be trusted, for people; undefined when it is.
 *
 * @param chain DER, the server's own certificate first, the rest in any order
 */
export function serverDistrust(
  chain: readonly Uint8Array[],
  { host, anchors, now }: ServerExpectation,
): string | undefined {
  let certificates: X509Certificate[];
  try {
    certificates = chain.map((der) => new X509Certificate(der));
  } catch (error) {
    return `a certificate that it sent cannot be read (${String(error)})`;
  }
  const [own, ...others] = certificates;
  if (!own) return "it sent no certificate";
  if (!own.subjectAltName) return "its certificate names no host (no subjectAltName)";
  if (checkServerIdentity(host, own.toLegacyObject())) {
    return `its certificate is not for ${host} but for ${own.subjectAltName}`;
  }
  return chainDistrust(own, others, anchors, now);
}

/** The certificates of a PEM file; what is none is left out. */
export function readAnchors(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      // System bundles hold authorities with keys that this runtime does not know.
      return [];
    }
  });
}

function chainDistrust(
  own: X509Certificate,
  others: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: number,
): string | undefined {
  let current = own;
  for (let depth = 1; depth < MAX_CHAIN; depth++) {
    const dates = outsideItsDates(current, now);
    if (dates) return dates;
    if (anchors.some((anchor) => anchor.raw.equals(current.raw))) return undefined;
    const isIssuer = (other: X509Certificate) =>
      other.ca && current.checkIssued(other) && current.verify(other.publicKey);
    const anchor = anchors.find(isIssuer);
    if (anchor) return outsideItsDates(anchor, now);
    const next = others.find((other) => !other.raw.equals(current.raw) && isIssuer(other));
    if (!next) {
      return `its certificate's issuer (${oneLine(current.issuer)}) is no authority that counts`;
    }
    current = next;
  }
  return "its certificate chain is too long";
}

function outsideItsDates(certificate: X509Certificate, now: number): string | undefined {
  const { validFromDate, validToDate, subject } = certificate;
  if (validFromDate.getTime() <= now && now <= validToDate.getTime()) return undefined;
  return `the certificate of ${oneLine(subject)} is valid from ${validFromDate.toISOString()} to ` +
    `${validToDate.toISOString()}, which is not now`;
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}
