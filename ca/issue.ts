/** Issues leaves: the CSR's key under the names that the server chose, nothing else of the CSR. */
import type { Authority } from "./authority.ts";
import {
  contextTag,
  der,
  derCommonName,
  derTime,
  derUnsigned,
  hex,
  TAG,
  toPem,
  unhex,
} from "./der.ts";
import { derExtension } from "./extensions.ts";
import { type LeafContent, leafProfile, type Profile } from "./profiles.ts";
import { AUTHORITY_SIGNATURE, newSerial } from "./sign.ts";
import { ECDSA_SHA256, ecdsaToDer, keyIdentifier, sha256Hex, writeSigned } from "./signature.ts";

/** What to issue. The leaf's life is cut at the end of the intermediate's own. */
export interface LeafRequest extends Omit<LeafContent, "brand"> {
  /** DER SubjectPublicKeyInfo, from `checkCsr`. */
  spki: Uint8Array;
  now: Date;
  /** As from `newSerial`, which is the default. */
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
 * server should pass: another form of serial or suffix, a life that has no end after `now`.
 */
export async function issueLeaf(authority: Authority, request: LeafRequest): Promise<IssuedLeaf> {
  const { intermediate, brand } = authority;
  const serial = request.serial ?? newSerial();
  const keys = {
    subject: hex(await keyIdentifier(request.spki)),
    issuer: intermediate.keyIdentifier,
  };
  const profile = leafProfile({ ...request, brand }, keys, request.now);
  if (profile.notAfter > intermediate.notAfter) profile.notAfter = intermediate.notAfter;
  refuseNonsense(serial, request, profile);

  const body = der(
    TAG.sequence,
    VERSION_3,
    derUnsigned(unhex(serial)),
    ECDSA_SHA256,
    intermediate.subject,
    der(TAG.sequence, derTime(profile.notBefore), derTime(profile.notAfter)),
    derCommonName(profile.commonName),
    request.spki,
    der(contextTag(3, true), der(TAG.sequence, ...profile.extensions.map(derExtension))),
  );
  const signature = await crypto.subtle.sign(AUTHORITY_SIGNATURE, intermediate.key, body);
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
    commonName: profile.commonName,
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
  };
}

const VERSION_3 = der(contextTag(0, true), der(TAG.integer, Uint8Array.of(2)));

function refuseNonsense(serial: string, request: LeafRequest, profile: Profile): void {
  if (!/^(?!00)[0-7][0-9a-f]{31}$/.test(serial)) {
    throw new RangeError(`serial '${serial}' is not 32 hexadecimal digits of a positive number`);
  }
  if (!/^[0-9a-f]{8}$/.test(request.nameSuffix)) {
    throw new RangeError(`name suffix '${request.nameSuffix}' is not eight hexadecimal digits`);
  }
  if (!(profile.notAfter > request.now)) {
    throw new RangeError(
      `a leaf of ${request.ttlSeconds} s would have ended by now: the life is too short, or the ` +
        "intermediate has ended and a new authority is due",
    );
  }
}
