/**
 * Whether a TLS server is who it should be (RFC 5280, RFC 6125): its chain, dates, usages and name.
 * Pure, and at once, because NSS asks in the middle of a handshake. What a browser would look up
 * elsewhere (revocation, certificate transparency) is not looked at.
 */
import { Buffer } from "node:buffer";
import { verify } from "node:crypto";
import {
  type Certificate,
  type CertificateUse,
  certificateUse,
  EXTENSION,
  KEY_USAGE,
  parseCertificate,
  parseCertificatePem,
} from "../../ca/certificate.ts";
import { contextTag, DerError, DerReader, sameBytes, TAG } from "../../ca/der.ts";

/** What a server's certificate has to be. */
export interface ServerExpectation {
  /** The name or IP address that was asked for. */
  host: string;
  /** Authorities that count. */
  anchors: readonly Certificate[];
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
  expectation: ServerExpectation,
): string | undefined {
  try {
    const [own, ...others] = chain.map((der) => parseCertificate(der));
    if (!own) return "it sent no certificate";
    return nameDistrust(own, expectation.host) ?? chainDistrust(own, others, expectation);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return `a certificate that it sent cannot be read (${error.message})`;
  }
}

/** The certificates of a PEM file. One that this strict reader cannot read vouches for nobody. */
export function readAnchors(pem: string): Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => readAnchor(() => parseCertificatePem(block)));
}

/** {@link readAnchors} for one certificate in DER. */
export function readAnchorDer(der: Uint8Array): Certificate[] {
  return readAnchor(() => parseCertificate(der));
}

/** Longest chain, the server's own certificate and the anchor included. */
const MAX_CHAIN = 10;

/** Extended key usages (RFC 5280, 4.2.1.12). */
const SERVER_USES = ["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"];

/** Critical extensions that are understood; policies are nobody's concern here. */
const UNDERSTOOD: ReadonlySet<string> = new Set([...Object.values(EXTENSION), "2.5.29.32"]);

/** Signature algorithms (RFC 4055, RFC 5758) and their hash. */
const HASHES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};

function readAnchor(read: () => Certificate): Certificate[] {
  try {
    return [read()];
  } catch (error) {
    if (error instanceof DerError) return [];
    throw error;
  }
}

function chainDistrust(
  own: Certificate,
  others: readonly Certificate[],
  { anchors, now }: ServerExpectation,
): string | undefined {
  let current = own;
  for (let below = 0; below < MAX_CHAIN; below++) {
    const wrong = outsideItsDates(current, now) ?? misused(current);
    if (wrong) return wrong;
    if (anchors.some((anchor) => sameBytes(anchor.der, current.der))) return undefined;
    const isIssuer = (other: Certificate) =>
      sameBytes(current.issuer, other.subject) && mayIssue(other, below) &&
      hasSigned(other, current);
    const anchor = anchors.find(isIssuer);
    if (anchor) return outsideItsDates(anchor, now);
    const next = others.find((other) => !sameBytes(other.der, current.der) && isIssuer(other));
    if (!next) {
      const issuer = current.issuerCommonName ?? "without a common name";
      return `its certificate's issuer (${issuer}) is no authority that counts`;
    }
    current = next;
  }
  return "its certificate chain is too long";
}

function outsideItsDates(certificate: Certificate, now: number): string | undefined {
  const { notBefore, notAfter, commonName = "the server" } = certificate;
  if (notBefore.getTime() <= now && now <= notAfter.getTime()) return undefined;
  return `the certificate of ${commonName} is valid from ${notBefore.toISOString()} to ` +
    `${notAfter.toISOString()}, which is not now`;
}

function misused(certificate: Certificate): string | undefined {
  const { extendedKeyUsage } = certificateUse(certificate);
  if (extendedKeyUsage && !extendedKeyUsage.some((use) => SERVER_USES.includes(use))) {
    return `the certificate of ${certificate.commonName ?? "the server"} is not for TLS servers`;
  }
  const unknown = [...certificate.extensions].find(([oid, { critical }]) =>
    critical && !UNDERSTOOD.has(oid)
  );
  return unknown &&
    `a certificate has the critical extension ${unknown[0]}, which is not understood`;
}

/** @param below how many certificates stand between it and the server's own */
function mayIssue(certificate: Certificate, below: number): boolean {
  // Before version 3 there was no way to say it; only an anchor can be so old.
  if (certificate.extensions.size === 0) {
    return sameBytes(certificate.issuer, certificate.subject);
  }
  const { basicConstraints, keyUsage }: CertificateUse = certificateUse(certificate);
  return basicConstraints?.ca === true && (basicConstraints.pathLength ?? below) >= below &&
    keyUsage?.has(KEY_USAGE.keyCertSign) !== false;
}

function hasSigned(issuer: Certificate, { signed }: Certificate): boolean {
  const algorithm = new DerReader(signed.algorithm, "signature algorithm").enter(TAG.sequence)
    .oid();
  const hash = HASHES[algorithm];
  if (hash === undefined) return false;
  const key = { key: Buffer.from(issuer.spki), format: "der", type: "spki" } as const;
  try {
    return verify(hash, signed.body, key, signed.signature);
  } catch {
    // A key or signature that makes no sense to the runtime has signed nothing.
    return false;
  }
}

function nameDistrust(own: Certificate, host: string): string | undefined {
  const names = alternativeNames(own);
  if (names.length === 0) return "its certificate names no host (no subjectAltName)";
  const wanted = isAddress(host) ? addressText(host) : host.toLowerCase();
  const isNamed = isAddress(host)
    ? names.some(({ kind, text }) => kind === "address" && text === wanted)
    : names.some(({ kind, text }) => kind === "name" && nameMatches(text, wanted));
  if (isNamed) return undefined;
  return `its certificate is not for ${host} but for ${names.map(({ text }) => text).join(", ")}`;
}

function alternativeNames(own: Certificate): { kind: "name" | "address"; text: string }[] {
  const extension = own.extensions.get(EXTENSION.subjectAltName);
  if (!extension) return [];
  const list = new DerReader(extension.value, "subjectAltName").enter(TAG.sequence);
  const names: { kind: "name" | "address"; text: string }[] = [];
  while (!list.done) {
    const { tag, content } = list.read();
    if (tag === contextTag(2, false)) {
      names.push({ kind: "name", text: new TextDecoder("latin1").decode(content).toLowerCase() });
    } else if (tag === contextTag(7, false)) {
      names.push({ kind: "address", text: addressOf(content) });
    }
  }
  return names;
}

/** A wildcard stands for one whole label, the first, above two others at least (RFC 6125, 6.4.3). */
function nameMatches(pattern: string, host: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === host;
  const parent = pattern.slice(2);
  return parent.includes(".") && host.indexOf(".") > 0 &&
    host.slice(host.indexOf(".") + 1) === parent;
}

function isAddress(host: string): boolean {
  return host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
}

function addressOf(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join(".");
  if (octets.length !== 16) throw new DerError("subjectAltName: an address of no known length");
  return addressText((octets.toHex().match(/.{4}/g) ?? []).join(":"));
}

/** The one way to write an address. */
function addressText(address: string): string {
  return address.includes(":") ? new URL(`http://[${address}]`).hostname : address;
}
