/**
 * How a private key leaves a keychain. Apple's `security` removes certificates and identities (a
 * certificate with its key), never a key alone. So a key is given a certificate that says nothing
 * but its public half, and the two are removed together.
 *
 * That certificate is a function of the key, byte for byte: one that a killed removal left is
 * recognised by making it again, not by its name. It ended in the year 2000, was signed by nobody
 * and has no usable issuer, so that no browser offers it in the moment that it is there.
 */
import {
  contextTag,
  der,
  derBitString,
  derCommonName,
  derTime,
  derUnsigned,
  sameBytes,
  TAG,
} from "../../ca/der.ts";
import { ECDSA_SHA256, ecdsaToDer } from "../../ca/signature.ts";

const NAME = derCommonName("device-trust key to be removed");
const VALIDITY = der(
  TAG.sequence,
  derTime(new Date("2000-01-01T00:00:00Z")),
  derTime(new Date("2000-01-02T00:00:00Z")),
);

/** The certificate for a public key (DER SubjectPublicKeyInfo), DER. */
export async function removalCertificate(spki: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(spki)));
  const body = der(
    TAG.sequence,
    der(contextTag(0, true), derUnsigned(Uint8Array.of(2))),
    derUnsigned(digest.subarray(0, 16)),
    ECDSA_SHA256,
    NAME,
    VALIDITY,
    NAME,
    spki,
  );
  const signature = derBitString(ecdsaToDer(new Uint8Array(64).fill(1)));
  return der(TAG.sequence, body, ECDSA_SHA256, signature);
}

/** Whether a certificate is the one that {@link removalCertificate} makes for its own key. */
export async function isRemovalCertificate(
  certificate: Uint8Array,
  spki: Uint8Array,
): Promise<boolean> {
  return sameBytes(certificate, await removalCertificate(spki));
}
