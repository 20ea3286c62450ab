/**
 * What each certificate holds (RFC 5280; DESIGN S4, invariant 9 and section 5 "Certificates").
 * Pure: the same arguments give the same profile.
 */
import "reflect-metadata";
import { SubjectAlternativeNameExtension } from "@peculiar/x509";
import { CLIENT_AUTH } from "./certificate.ts";
import {
  authorityConstraints,
  authorityKey,
  endEntityConstraints,
  type ExtensionToWrite,
  keyUsage,
  onlyFor,
  revocationListAt,
  SERVER_AUTH,
  soleUri,
  subjectKey,
} from "./extensions.ts";
import { INTERMEDIATE_NAME, leafName, leafUri, rootName } from "./names.ts";

/** Everything of a certificate but serial number, key and issuer. */
export interface Profile {
  commonName: string;
  /** First and last instant, whole seconds, both inclusive (RFC 5280, 4.1.2.5). */
  notBefore: Date;
  notAfter: Date;
  extensions: ExtensionToWrite[];
}

/** Key identifiers of a certificate's own key and its issuer's, hexadecimal. */
export interface KeyIdentifiers {
  subject: string;
  issuer: string;
}

/** What a leaf says. */
export interface LeafContent {
  brand: string;
  /** Eight lower-case hexadecimal digits, unique per CA. */
  nameSuffix: string;
  deviceId: string;
  userId: string;
  /** Where the revocation list is to be had. */
  crlUrl: string;
  /** Life from now on. */
  ttlSeconds: number;
}

/** A server certificate's names: DNS names (a leading `*.` allowed) and IP addresses. */
export interface ServerNames {
  names: string[];
  ips: string[];
}

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 86_400;
const YEAR_SECONDS = 31_557_600;

/** The root: self-signed, 20 years, signs certificates and revocation lists. */
export function rootProfile(brand: string, keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: rootName(brand),
    ...validity(now, 20 * YEAR_SECONDS),
    extensions: authorityExtensions(keys, undefined),
  };
}

/** The intermediate: 10 years, issues leaves only, and those for TLS clients only. */
export function intermediateProfile(keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: INTERMEDIATE_NAME,
    ...validity(now, 10 * YEAR_SECONDS),
    extensions: [...authorityExtensions(keys, 0), onlyFor(CLIENT_AUTH)],
  };
}

/** The leaf: one user on one device, for TLS clients only. */
export function leafProfile(content: LeafContent, keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: leafName(content.brand, content.nameSuffix),
    ...validity(now, content.ttlSeconds),
    extensions: [
      endEntityConstraints(),
      keyUsage("digitalSignature"),
      onlyFor(CLIENT_AUTH),
      soleUri(leafUri(content.deviceId, content.userId)),
      subjectKey(keys.subject),
      authorityKey(keys.issuer),
      revocationListAt(content.crlUrl),
    ],
  };
}

/** The authority behind the server's own listeners: 10 years, knows nothing of devices. */
export function serverAuthorityProfile(keys: KeyIdentifiers, now: Date): Profile {
  return {
    commonName: "Device Trust Server CA",
    ...validity(now, 10 * YEAR_SECONDS),
    extensions: authorityExtensions(keys, 0),
  };
}

/** A listener's certificate: under 398 days, the longest that browsers take of a public one. */
export function serverProfile(server: ServerNames, keys: KeyIdentifiers, now: Date): Profile {
  const { type: oid, critical, value } = new SubjectAlternativeNameExtension([
    ...server.names.map((name) => ({ type: "dns" as const, value: name })),
    ...server.ips.map((address) => ({ type: "ip" as const, value: address })),
  ]);
  return {
    commonName: "Device Trust Server",
    ...validity(now, 397 * DAY_SECONDS),
    extensions: [
      endEntityConstraints(),
      keyUsage("digitalSignature"),
      onlyFor(SERVER_AUTH),
      subjectKey(keys.subject),
      authorityKey(keys.issuer),
      { oid, critical, value: new Uint8Array(value) },
    ],
  };
}

function authorityExtensions(
  keys: KeyIdentifiers,
  pathLength: number | undefined,
): ExtensionToWrite[] {
  return [
    authorityConstraints(pathLength),
    keyUsage("keyCertSign", "cRLSign"),
    subjectKey(keys.subject),
    authorityKey(keys.issuer),
  ];
}

/** From one hour back, so that a clock that is a little slow takes it for valid already. */
function validity(now: Date, seconds: number): Pick<Profile, "notBefore" | "notAfter"> {
  const start = Math.floor(now.getTime() / 1000);
  return {
    notBefore: new Date((start - HOUR_SECONDS) * 1000),
    notAfter: new Date((start + seconds) * 1000),
  };
}
