/**
 * Certificate requests (PKCS#10, RFC 2986), signed by a key that this code never sees. Pure but
 * for the signer.
 */
import { contextTag, der, derCommonName, DerError, TAG, toPem } from "../ca/der.ts";
import {
  ECDSA_SHA256,
  ecdsaToDer,
  readPublicKey,
  RSA_SHA256,
  writeSigned,
} from "../ca/signature.ts";
import type { KeyAlgorithm } from "../platform/trust_store.ts";

/**
 * A request in PEM for the key in `spki` (DER SubjectPublicKeyInfo). The server takes nothing but
 * the key of it, so the subject is empty unless `commonName` says otherwise.
 *
 * @param sign as `TrustStore.sign`: SHA-256, ECDSA as r and s concatenated, RSA as PKCS#1 v1.5;
 * what it throws is passed on
 * @throws DerError when `spki` is not a key of that algorithm, or a signature has a wrong length
 */
export async function createCsr(
  spki: Uint8Array,
  algorithm: KeyAlgorithm,
  sign: (message: Uint8Array) => Promise<Uint8Array>,
  commonName?: string,
): Promise<string> {
  const kind = algorithm === "P-256" ? "P-256" : "RSA";
  if (readPublicKey(spki).kind !== kind) throw new DerError(`public key: not ${algorithm}`);
  const body = der(
    TAG.sequence,
    der(TAG.integer, Uint8Array.of(0)),
    commonName === undefined ? der(TAG.sequence) : derCommonName(commonName),
    spki,
    der(contextTag(0, true)),
  );
  const signature = await sign(body);
  const request = writeSigned(
    kind === "P-256"
      ? { body, algorithm: ECDSA_SHA256, signature: ecdsaToDer(signature) }
      : { body, algorithm: RSA_SHA256, signature },
  );
  return toPem("CERTIFICATE REQUEST", request);
}
