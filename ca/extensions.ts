/** Extensions as our profiles use them (RFC 5280, 4.2.1), written in DER. Pure. */
import { CLIENT_AUTH, EXTENSION, KEY_USAGE } from "./certificate.ts";
import { contextTag, der, derOid, derUnsigned, octetsOf, TAG, unhex } from "./der.ts";

/** An extension to be written. */
export interface ExtensionToWrite {
  oid: string;
  critical: boolean;
  /** DER of the extension's own type. */
  value: Uint8Array;
}

/** Extended key usage of a TLS server (RFC 5280, 4.2.1.12). */
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/** The SEQUENCE that stands in a certificate or a list. */
export function derExtension({ oid, critical, value }: ExtensionToWrite): Uint8Array<ArrayBuffer> {
  const mark = critical ? [der(TAG.boolean, Uint8Array.of(0xff))] : [];
  return der(TAG.sequence, derOid(oid), ...mark, der(TAG.octetString, value));
}

/** An authority; `pathLength` says how many more may stand below it (4.2.1.9). */
export function authorityConstraints(pathLength: number | undefined): ExtensionToWrite {
  const limit = pathLength === undefined ? [] : [derUnsigned(Uint8Array.of(pathLength))];
  const value = der(TAG.sequence, der(TAG.boolean, Uint8Array.of(0xff)), ...limit);
  return { oid: EXTENSION.basicConstraints, critical: true, value };
}

/** No authority (4.2.1.9). */
export function endEntityConstraints(): ExtensionToWrite {
  return { oid: EXTENSION.basicConstraints, critical: true, value: der(TAG.sequence) };
}

/** What the key is for (4.2.1.3). */
export function keyUsage(...usages: (keyof typeof KEY_USAGE)[]): ExtensionToWrite {
  const bits = usages.reduce((octet, usage) => octet | (0x80 >> KEY_USAGE[usage]), 0);
  const unused = 31 - Math.clz32(bits & -bits);
  const value = der(TAG.bitString, Uint8Array.of(unused, bits));
  return { oid: EXTENSION.keyUsage, critical: true, value };
}

/** For TLS clients or servers and nothing else (4.2.1.12). */
export function onlyFor(usage: typeof CLIENT_AUTH | typeof SERVER_AUTH): ExtensionToWrite {
  const value = der(TAG.sequence, derOid(usage));
  return { oid: EXTENSION.extendedKeyUsage, critical: false, value };
}

/** The key's own identifier, hexadecimal (4.2.1.2). */
export function subjectKey(identifier: string): ExtensionToWrite {
  const value = der(TAG.octetString, unhex(identifier));
  return { oid: EXTENSION.subjectKeyIdentifier, critical: false, value };
}

/** The issuer's key identifier, hexadecimal (4.2.1.1). */
export function authorityKey(identifier: string): ExtensionToWrite {
  const value = der(TAG.sequence, der(contextTag(0, false), unhex(identifier)));
  return { oid: EXTENSION.authorityKeyIdentifier, critical: false, value };
}

/** One URI as the only alternative name (4.2.1.6). */
export function soleUri(uri: string): ExtensionToWrite {
  const value = der(TAG.sequence, derUri(uri));
  return { oid: EXTENSION.subjectAltName, critical: false, value };
}

/** Where the revocation list is (4.2.1.13). */
export function revocationListAt(url: string): ExtensionToWrite {
  const point = der(contextTag(0, true), der(contextTag(0, true), derUri(url)));
  const value = der(TAG.sequence, der(TAG.sequence, point));
  return { oid: EXTENSION.crlDistributionPoints, critical: false, value };
}

/** A GeneralName of kind URI: an IA5String, so ASCII alone. Throws RangeError for others. */
function derUri(uri: string): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(uri)) throw new RangeError(`URI '${uri}' is not printable ASCII`);
  return der(contextTag(6, false), octetsOf(uri));
}
