/**
 * What each certificate holds (RFC 5280; DESIGN S4, invariant 9 and section 5 "Certificates").
 * Pure: the same arguments give the same profile.
 */
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
} from "@peculiar/x509";
import { INTERMEDIATE_NAME, leafName, leafUri, rootName } from "./names.ts";

/** Everything of a certificate but serial number, key and issuer. */
export interface Profile {
  commonName: string;
  validity: Validity;
  extensions: Extension[];
}

/** First and last instant, in whole seconds, both inclusive (RFC 5280, 4.1.2.5). */
export interface Validity {
  notBefore: Date;
  notAfter: Date;
}

/** Key identifiers of a certificate's own key and its issuer's, hexadecimal. */
export interface KeyIdentifiers {
  subject: string;
  issuer: string;
}

/** What tells one leaf from another. */
export interface LeafNames {
  brand: string;
  /** Eight lower-case hexadecimal digits, unique per CA. */
  nameSuffix: string;
  deviceId: string;
  userId: string;
}

/** A server certificate's names: DNS names (a leading `*.` allowed) and IP addresses. */
export interface ServerNames {
  names: string[];
  ips: string[];
}

const HOUR_SECONDS = 3600;
const YEAR_SECONDS = 31_557_600;
const DAY_SECONDS = 86_400;

/** The root: self-signed, 20 years, signs certificates and revocation lists. */
export function rootProfile(brand: string, keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: rootName(brand),
    validity: validityFrom(now, 20 * YEAR_SECONDS),
    extensions: authorityExtensions(keys, undefined),
  };
}

/** The intermediate: 10 years, issues leaves only, and those for TLS clients only. */
export function intermediateProfile(keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: INTERMEDIATE_NAME,
    validity: validityFrom(now, 10 * YEAR_SECONDS),
    extensions: [
      ...authorityExtensions(keys, 0),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    ],
  };
}

/** A leaf's common name and dates; `ttlSeconds` counts from `now`. */
export function leafIdentity(
  names: LeafNames,
  now: Date,
  ttlSeconds: number,
): Omit<Profile, "extensions"> {
  return {
    commonName: leafName(names.brand, names.nameSuffix),
    validity: validityFrom(now, ttlSeconds),
  };
}

/** Extensions that all leaves of one issuer share. */
export function sharedLeafExtensions(issuerKey: string, crlUrl: string): Extension[] {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    new AuthorityKeyIdentifierExtension(issuerKey),
    new CRLDistributionPointsExtension([crlUrl]),
  ];
}

/** Extensions that belong to one leaf: whose key, and which device and user. */
export function ownLeafExtensions(subjectKey: string, names: LeafNames): Extension[] {
  return [
    new SubjectKeyIdentifierExtension(subjectKey),
    new SubjectAlternativeNameExtension([
      { type: "url", value: leafUri(names.deviceId, names.userId) },
    ]),
  ];
}

/** The authority behind the server's own listeners: 10 years, knows nothing of devices. */
export function serverAuthorityProfile(keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: "Device Trust Server CA",
    validity: validityFrom(now, 10 * YEAR_SECONDS),
    extensions: authorityExtensions(keys, 0),
  };
}

/** A listener's certificate: 397 days, the longest that every browser takes. */
export function serverProfile(server: ServerNames, keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: "Device Trust Server",
    validity: validityFrom(now, 397 * DAY_SECONDS - HOUR_SECONDS),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectKeyIdentifierExtension(keys.subject),
      new AuthorityKeyIdentifierExtension(keys.issuer),
      new SubjectAlternativeNameExtension([
        ...server.names.map((value) => ({ type: "dns" as const, value })),
        ...server.ips.map((value) => ({ type: "ip" as const, value })),
      ]),
    ],
  };
}

function authorityExtensions(keys: KeyIdentifiers, pathLength: number | undefined): Extension[] {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    new SubjectKeyIdentifierExtension(keys.subject),
    new AuthorityKeyIdentifierExtension(keys.issuer),
  ];
}

/** From one hour back, so that a device whose clock is a little slow accepts it. */
function validityFrom(now: Date, seconds: number): Validity {
  const start = Math.floor(now.getTime() / 1000);
  return {
    notBefore: new Date((start - HOUR_SECONDS) * 1000),
    notAfter: new Date((start + seconds) * 1000),
  };
}
