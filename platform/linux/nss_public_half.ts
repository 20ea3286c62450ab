/**
 * The public half of a private key in an NSS database.
 *
 * Not by SECKEY_ConvertToPublicKey: it takes one EC point in 256 (04 3f ...) for a DER octet string
 * and then tells another key, and it looks through the certificates first.
 */
import { der, derBitString, derOid, derUnsigned, TAG } from "../../ca/der.ts";
import type { Handle, Nss } from "./nss_ffi.ts";
import {
  CKA_EC_PARAMS,
  CKA_MODULUS,
  CKA_NSS_DB,
  CKA_PUBLIC_EXPONENT,
  ecKey,
  rsaKey,
} from "./nss_symbols.ts";

const ID_EC_PUBLIC_KEY = derOid("1.2.840.10045.2.1");
const RSA_ENCRYPTION = derOid("1.2.840.113549.1.1.1");

/**
 * DER SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7; RFC 5480, RFC 3279), or undefined for a kind
 * of key that is neither EC nor RSA, or one that does not tell.
 */
export function publicHalf(nss: Nss, privateKey: Handle): Uint8Array<ArrayBuffer> | undefined {
  const value = publicValue(nss, privateKey);
  if (!value) return undefined;
  if (nss.keyType(privateKey) === ecKey) {
    const curve = nss.keyAttribute(privateKey, CKA_EC_PARAMS);
    return curve && spki(der(TAG.sequence, ID_EC_PUBLIC_KEY, curve), value);
  }
  const exponent = nss.keyAttribute(privateKey, CKA_PUBLIC_EXPONENT);
  return exponent && spki(
    der(TAG.sequence, RSA_ENCRYPTION, der(TAG.null)),
    der(TAG.sequence, derUnsigned(value), derUnsigned(exponent)),
  );
}

/** EC point or RSA modulus: what NSS makes CKA_ID of. */
export function publicValue(nss: Nss, privateKey: Handle): Uint8Array<ArrayBuffer> | undefined {
  switch (nss.keyType(privateKey)) {
    case ecKey:
      return nss.keyAttribute(privateKey, CKA_NSS_DB);
    case rsaKey:
      return nss.keyAttribute(privateKey, CKA_MODULUS);
    default:
      return undefined;
  }
}

function spki(algorithm: Uint8Array, key: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(TAG.sequence, algorithm, derBitString(key));
}
