/**
 * X.509 certificates (RFC 5280) read strictly from DER. Says what a certificate holds, not whether
 * to believe it: that is agent/verify.ts on a device and the verdict in the mock server. Needs
 * ca/der.ts and ca/signature.ts alone, so every folder may import it.
 */
import { contextTag, DerError, DerReader, fromPem, hex, sameBytes, TAG } from "./der.ts";
import { isSignedBy, readSigned, sha256Hex, type SignedDer } from "./signature.ts";

/** Octets that a certificate may have; ours have under 1,000. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** Object identifiers of the extensions that our profiles use (RFC 5280, 4.2.1). */
export const EXTENSION = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  reasonCode: "2.5.29.21",
  crlDistributionPoints: "2.5.29.31",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

/** Extended key usage of a TLS client (RFC 5280, 4.2.1.12). */
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/** Bits of keyUsage (RFC 5280, 4.2.1.3) by number. */
export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const;

/** An extension as it stands. */
export interface CertificateExtension {
  critical: boolean;
  value: Uint8Array;
}

/** A certificate taken apart. Byte fields are views of `der`. */
export interface Certificate {
  der: Uint8Array;
  signed: SignedDer;
  /** Lower-case hexadecimal of the INTEGER's octets. */
  serial: string;
  /** Names, DER. */
  issuer: Uint8Array;
  subject: Uint8Array;
  /** The common name when a name is that alone, else undefined. */
  issuerCommonName: string | undefined;
  commonName: string | undefined;
  notBefore: Date;
  notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  spki: Uint8Array;
  /** By object identifier. */
  extensions: ReadonlyMap<string, CertificateExtension>;
}

/** What the extensions of our profiles say; undefined where one is absent. */
export interface CertificateUse {
  basicConstraints: { ca: boolean; pathLength: number | undefined } | undefined;
  /** Numbers of the bits that are set. */
  keyUsage: ReadonlySet<number> | undefined;
  extendedKeyUsage: string[] | undefined;
  subjectKeyIdentifier: string | undefined;
  authorityKeyIdentifier: string | undefined;
  /** URIs of subjectAltName, and how many names of any kind it has. */
  uris: string[];
  alternativeNames: number;
}

/** What anybody may want to know of a certificate in a store, ours or not. */
export interface CertificateDescription {
  /** SHA-256 of the DER and of the SubjectPublicKeyInfo, lower-case hexadecimal. */
  sha256: string;
  spkiSha256: string;
  serial: string;
  /** Common names; empty when a name is not a common name alone, as all of ours are. */
  commonName: string;
  issuerCommonName: string;
  notBefore: Date;
  notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  spki: Uint8Array;
  /** URIs of subjectAltName. */
  uris: string[];
  isCa: boolean;
  /** Key identifiers of its own key and of its issuer's, lower-case hexadecimal; where it has them. */
  keyIdentifier: string | undefined;
  issuerKeyIdentifier: string | undefined;
}

/** Reads one certificate; nothing may follow it. Throws DerError. */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_CERTIFICATE_BYTES) {
    throw new DerError(`certificate of ${bytes.length} octets, over ${MAX_CERTIFICATE_BYTES}`);
  }
  const signed = readSigned(bytes, "certificate");
  const body = new DerReader(signed.body, "certificate").enter(TAG.sequence);
  const version = readVersion(body);
  const serial = hex(body.integer());
  if (!sameBytes(body.read(TAG.sequence).raw, signed.algorithm)) {
    throw new DerError("certificate: two different signature algorithms");
  }
  const issuer = body.read(TAG.sequence).raw;
  const validity = body.enter(TAG.sequence, "validity");
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.end();
  const subject = body.read(TAG.sequence).raw;
  const spki = body.read(TAG.sequence).raw;
  body.optional(contextTag(1, false));
  body.optional(contextTag(2, false));
  const extensions = readExtensions(body, version);
  body.end();
  return {
    der: bytes,
    signed,
    serial,
    issuer,
    subject,
    issuerCommonName: soleCommonName(issuer),
    commonName: soleCommonName(subject),
    notBefore,
    notAfter,
    spki,
    extensions,
  };
}

/** {@link parseCertificate} of a PEM text that holds one certificate and nothing else. */
export function parseCertificatePem(pem: string): Certificate {
  return parseCertificate(fromPem("CERTIFICATE", pem, MAX_CERTIFICATE_BYTES * 3 / 2));
}

/** Reads the extensions of our profiles. Throws DerError when one of them is malformed. */
export function certificateUse(certificate: Certificate): CertificateUse {
  const read = <T>(oid: string, parse: (reader: DerReader) => T): T | undefined => {
    const extension = certificate.extensions.get(oid);
    if (!extension) return undefined;
    const reader = new DerReader(extension.value, `extension ${oid}`);
    const result = parse(reader);
    reader.end();
    return result;
  };
  const names = read(EXTENSION.subjectAltName, readAlternativeNames);
  return {
    basicConstraints: read(EXTENSION.basicConstraints, readBasicConstraints),
    keyUsage: read(EXTENSION.keyUsage, readKeyUsage),
    extendedKeyUsage: read(EXTENSION.extendedKeyUsage, readOids),
    subjectKeyIdentifier: read(
      EXTENSION.subjectKeyIdentifier,
      (reader) => hex(reader.read(TAG.octetString).content),
    ),
    authorityKeyIdentifier: read(EXTENSION.authorityKeyIdentifier, readAuthorityKey),
    uris: names?.uris ?? [],
    alternativeNames: names?.count ?? 0,
  };
}

/**
 * Describes a certificate, ours or not. Throws DerError for what this strict reader cannot read:
 * a store may hold anything, and such a thing is foreign, for ours can be read.
 */
export async function describeCertificate(bytes: Uint8Array): Promise<CertificateDescription> {
  const certificate = parseCertificate(bytes);
  const use = certificateUse(certificate);
  const { serial, commonName, issuerCommonName, notBefore, notAfter, spki } = certificate;
  const [sha256, spkiSha256] = await Promise.all([sha256Hex(bytes), sha256Hex(spki)]);
  return {
    sha256,
    spkiSha256,
    serial,
    commonName: commonName ?? "",
    issuerCommonName: issuerCommonName ?? "",
    notBefore,
    notAfter,
    spki,
    uris: use.uris,
    isCa: use.basicConstraints?.ca ?? false,
    keyIdentifier: use.subjectKeyIdentifier,
    issuerKeyIdentifier: use.authorityKeyIdentifier,
  };
}

/**
 * Whether the certificate names this issuer and its signature was made by the issuer's key. Says
 * nothing of dates, usages or the issuer itself.
 */
export async function isIssuedBy(certificate: Certificate, issuer: Certificate): Promise<boolean> {
  return sameBytes(certificate.issuer, issuer.subject) &&
    await isSignedBy(certificate.signed, issuer.spki);
}

function readVersion(body: DerReader): number {
  const tagged = body.optional(contextTag(0, true));
  if (!tagged) return 1;
  const reader = new DerReader(tagged.content, "version");
  const version = reader.smallInteger() + 1;
  reader.end();
  if (version !== 2 && version !== 3) throw new DerError(`certificate: version ${version}`);
  return version;
}

function readExtensions(body: DerReader, version: number): Map<string, CertificateExtension> {
  const extensions = new Map<string, CertificateExtension>();
  const tagged = body.optional(contextTag(3, true));
  if (!tagged) return extensions;
  if (version !== 3) throw new DerError("certificate: extensions in a version before 3");
  const wrapper = new DerReader(tagged.content, "extensions");
  const list = wrapper.enter(TAG.sequence);
  wrapper.end();
  while (!list.done) {
    const item = list.enter(TAG.sequence, "extension");
    const oid = item.oid();
    const marked = item.next === TAG.boolean;
    const critical = marked && item.boolean();
    if (marked && !critical) throw new DerError(`extension ${oid}: a default value written out`);
    const value = item.read(TAG.octetString).content;
    item.end();
    if (extensions.has(oid)) throw new DerError(`extension ${oid}: stands twice`);
    extensions.set(oid, { critical, value });
  }
  if (extensions.size === 0) throw new DerError("certificate: an empty list of extensions");
  return extensions;
}

/** The value of a name that is one common name in UTF8String or PrintableString. */
function soleCommonName(name: Uint8Array): string | undefined {
  const names = new DerReader(name, "name").enter(TAG.sequence);
  if (names.done) return undefined;
  const set = names.enter(TAG.set);
  const attribute = set.enter(TAG.sequence);
  const isCommonName = attribute.oid() === "2.5.4.3";
  const { tag, content } = attribute.read();
  attribute.end();
  const alone = names.done && set.done;
  const isText = tag === TAG.utf8String || tag === TAG.printableString;
  if (!isCommonName || !alone || !isText) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    throw new DerError("name: text that is not UTF-8", { cause });
  }
}

function readBasicConstraints(reader: DerReader): { ca: boolean; pathLength: number | undefined } {
  const constraints = reader.enter(TAG.sequence);
  const marked = constraints.next === TAG.boolean;
  const ca = marked && constraints.boolean();
  if (marked && !ca) throw new DerError("basicConstraints: a default value written out");
  const pathLength = constraints.done ? undefined : constraints.smallInteger();
  constraints.end();
  return { ca, pathLength };
}

function readKeyUsage(reader: DerReader): Set<number> {
  const [unused = 0, ...octets] = reader.read(TAG.bitString).content;
  const bits = new Set<number>();
  octets.forEach((octet, index) => {
    for (let bit = 0; bit < 8; bit++) {
      if (octet & (0x80 >> bit)) bits.add(index * 8 + bit);
    }
  });
  const last = octets.length * 8 - 1 - unused;
  if (octets.length === 0 || unused > 7 || !bits.has(last) || Math.max(...bits) !== last) {
    throw new DerError("keyUsage: not the shortest form of a set of bits");
  }
  return bits;
}

function readOids(reader: DerReader): string[] {
  const list = reader.enter(TAG.sequence);
  const oids: string[] = [];
  while (!list.done) oids.push(list.oid());
  return oids;
}

function readAuthorityKey(reader: DerReader): string | undefined {
  const identifier = reader.enter(TAG.sequence);
  const key = identifier.optional(contextTag(0, false));
  while (!identifier.done) identifier.read();
  return key && hex(key.content);
}

function readAlternativeNames(reader: DerReader): { uris: string[]; count: number } {
  const list = reader.enter(TAG.sequence);
  const uris: string[] = [];
  let count = 0;
  for (; !list.done; count++) {
    const { tag, content } = list.read();
    if (tag !== contextTag(6, false)) continue;
    if (content.some((octet) => octet < 0x21 || octet > 0x7e)) {
      throw new DerError("subjectAltName: a URI with other than printable ASCII");
    }
    uris.push(String.fromCharCode(...content));
  }
  return { uris, count };
}
