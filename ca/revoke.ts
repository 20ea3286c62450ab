/** Certificate revocation lists (RFC 5280, section 5), signed by the intermediate. */
import type { Generation } from "./authority.ts";
import { EXTENSION } from "./certificate.ts";
import { concat, contextTag, der, derTime, derUnsigned, TAG, unhex } from "./der.ts";
import { authorityKey, derExtension } from "./extensions.ts";
import { AUTHORITY_SIGNATURE } from "./sign.ts";
import { ECDSA_SHA256, ecdsaToDer, writeSigned } from "./signature.ts";

/**
 * Reasons and their codes (RFC 5280, 5.3.1). `unspecified` is not to be written, a hold and its
 * end do not exist here.
 */
export const REASON_CODES = {
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

/** Why a leaf was revoked. */
export type RevocationReason = keyof typeof REASON_CODES;

/** A revoked leaf. */
export interface RevokedLeaf {
  /** Hexadecimal. */
  serial: string;
  revokedAt: Date;
  reason: RevocationReason;
}

/** What a list says. */
export interface RevocationList {
  /** Each serial once. */
  entries: readonly RevokedLeaf[];
  /** Grows with every list (5.2.3). */
  number: number;
  thisUpdate: Date;
  /** The latest time at which the next list is to be had. */
  nextUpdate: Date;
}

/**
 * Signs a version 2 list, by a generation's intermediate, with authority key identifier, list number and a reason in every entry.
 * Written with ca/der.ts: the library's generator takes over a millisecond for each entry, and
 * OFF revokes every leaf of an organisation at once. Throws RangeError for a number below zero.
 *
 * @returns DER.
 */
export async function signCrl(
  { intermediate }: Generation,
  list: RevocationList,
): Promise<Uint8Array<ArrayBuffer>> {
  const entries = list.entries.map(entryDer);
  const body = der(
    TAG.sequence,
    der(TAG.integer, Uint8Array.of(1)),
    ECDSA_SHA256,
    intermediate.subject,
    derTime(list.thisUpdate),
    derTime(list.nextUpdate),
    // An empty list of entries must be left out (5.1.2.6).
    ...(entries.length > 0 ? [der(TAG.sequence, concat(entries))] : []),
    der(
      contextTag(0, true),
      der(
        TAG.sequence,
        derExtension(authorityKey(intermediate.keyIdentifier)),
        derExtension({
          oid: EXTENSION.crlNumber,
          critical: false,
          value: derUnsigned(unhex(evenHex(list.number))),
        }),
      ),
    ),
  );
  const signature = await crypto.subtle.sign(AUTHORITY_SIGNATURE, intermediate.key, body);
  return writeSigned({
    body,
    algorithm: ECDSA_SHA256,
    signature: ecdsaToDer(new Uint8Array(signature)),
  });
}

function entryDer(leaf: RevokedLeaf): Uint8Array {
  return der(
    TAG.sequence,
    derUnsigned(unhex(leaf.serial)),
    derTime(leaf.revokedAt),
    der(TAG.sequence, REASON_EXTENSIONS[leaf.reason]),
  );
}

function reasonExtension(code: number): Uint8Array {
  const value = der(TAG.enumerated, Uint8Array.of(code));
  return derExtension({ oid: EXTENSION.reasonCode, critical: false, value });
}

const REASON_EXTENSIONS: Record<RevocationReason, Uint8Array> = {
  keyCompromise: reasonExtension(REASON_CODES.keyCompromise),
  cACompromise: reasonExtension(REASON_CODES.cACompromise),
  affiliationChanged: reasonExtension(REASON_CODES.affiliationChanged),
  superseded: reasonExtension(REASON_CODES.superseded),
  cessationOfOperation: reasonExtension(REASON_CODES.cessationOfOperation),
  privilegeWithdrawn: reasonExtension(REASON_CODES.privilegeWithdrawn),
  aACompromise: reasonExtension(REASON_CODES.aACompromise),
};

function evenHex(number: number): string {
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new RangeError(`list number ${number} is not a whole number from 0 on`);
  }
  const digits = number.toString(16);
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}
