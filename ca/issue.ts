/** Issues leaves: the CSR's key under the names that the server chose, nothing else of the CSR. */
import type { Authority } from "./authority.ts";
import {
  concat,
  contextTag,
  der,
  derOid,
  derTime,
  derUnsigned,
  derUtf8,
  hex,
  TAG,
  toPem,
  unhex,
} from "./der.ts";
import {
  leafIdentity,
  type LeafNames,
  ownLeafExtensions,
  sharedLeafExtensions,
} from "./profiles.ts";
import { AUTHORITY_SIGNATURE, newSerial } from "./sign.ts";
import { ECDSA_SHA256, ecdsaToDer, keyIdentifier, sha256Hex, writeSigned } from "./signature.ts";

/** What to issue. */
export interface LeafRequest extends Omit<LeafNames, "brand"> {
  /** DER SubjectPublicKeyInfo, from `checkCsr`. */
  spki: Uint8Array;
  /** Where the revocation list is to be had. */
  crlUrl: string;
  now: Date;
  /** Life from `now` on, whole seconds; cut at the end of the intermediate's own life. */
  ttlSeconds: number;
  /** As from {@link newSerial}, which is the default. */
  serial?: string;
}

/** A leaf. */
export interface IssuedLeaf {
  der: Uint8Array;
  pem: string;
  /** 32 lower-case hexadecimal digits. */
  serial: string;
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
  commonName: string;
  notBefore: Date;
  notAfter: Date;
}

/**
 * Issues one leaf. Written with ca/der.ts: the library's generator takes several milliseconds, and
 * ten thousand devices ask within seconds of the switch. Throws RangeError for arguments that no
 * server should pass: another form of serial or suffix, an intermediate that has ended.
 */
export async function issueLeaf(authority: Authority, request: LeafRequest): Promise<IssuedLeaf> {
  const serial = request.serial ?? newSerial();
  checkRequest(serial, request);
  const names = { ...request, brand: authority.brand };
  const { commonName, validity } = leafIdentity(names, request.now, request.ttlSeconds);
  const { notBefore } = validity;
  const notAfter = new Date(
    Math.min(validity.notAfter.getTime(), authority.intermediate.notAfter.getTime()),
  );
  if (notAfter <= request.now) {
    throw new RangeError(
      `cannot issue a leaf that ends at ${notAfter.toISOString()}: the intermediate has ended, ` +
        "or ttlSeconds is not positive",
    );
  }
  const body = der(
    TAG.sequence,
    VERSION_3,
    derUnsigned(unhex(serial)),
    ECDSA_SHA256,
    authority.intermediate.subject,
    der(TAG.sequence, derTime(notBefore), derTime(notAfter)),
    commonNameDer(commonName),
    request.spki,
    der(
      contextTag(3, true),
      der(
        TAG.sequence,
        sharedExtensions(authority, request.crlUrl),
        ...ownLeafExtensions(hex(await keyIdentifier(request.spki)), names)
          .map((extension) => new Uint8Array(extension.rawData)),
      ),
    ),
  );
  const signature = await crypto.subtle.sign(AUTHORITY_SIGNATURE, authority.intermediate.key, body);
  const leaf = writeSigned({
    body,
    algorithm: ECDSA_SHA256,
    signature: ecdsaToDer(new Uint8Array(signature)),
  });
  return {
    der: leaf,
    pem: toPem("CERTIFICATE", leaf),
    serial,
    sha256: await sha256Hex(leaf),
    commonName,
    notBefore,
    notAfter,
  };
}

const VERSION_3 = der(contextTag(0, true), der(TAG.integer, Uint8Array.of(2)));

function checkRequest(serial: string, request: LeafRequest): void {
  if (!/^(?!00)[0-7][0-9a-f]{31}$/.test(serial)) {
    throw new RangeError(`serial '${serial}' is not 32 hexadecimal digits of a positive number`);
  }
  if (!/^[0-9a-f]{8}$/.test(request.nameSuffix)) {
    throw new RangeError(`name suffix '${request.nameSuffix}' is not eight hexadecimal digits`);
  }
}

function commonNameDer(commonName: string): Uint8Array {
  return der(
    TAG.sequence,
    der(TAG.set, der(TAG.sequence, derOid("2.5.4.3"), derUtf8(commonName))),
  );
}

/** The encoding of the last URL, per authority: half of a leaf's cost, and always the same. */
const encoded = new WeakMap<Authority, { crlUrl: string; extensions: Uint8Array }>();

function sharedExtensions(authority: Authority, crlUrl: string): Uint8Array {
  const known = encoded.get(authority);
  if (known?.crlUrl === crlUrl) return known.extensions;
  const extensions = concat(
    sharedLeafExtensions(authority.intermediate.keyIdentifier, crlUrl)
      .map((extension) => new Uint8Array(extension.rawData)),
  );
  encoded.set(authority, { crlUrl, extensions });
  return extensions;
}
