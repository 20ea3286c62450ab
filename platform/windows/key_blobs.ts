/** Public keys as Windows' key providers export them -> SubjectPublicKeyInfo. Pure. */
import { createPublicKey, type JsonWebKey } from "node:crypto";

/** BCRYPT_ECCKEY_BLOB and BCRYPT_RSAKEY_BLOB magics (bcrypt.h): public and private halves. */
const ECS1 = 0x31534345;
const ECS2 = 0x32534345;
const RSA1 = 0x31415352;
const RSA2 = 0x32415352;
const RSA3 = 0x33415352;

/**
 * DER SubjectPublicKeyInfo of a CNG key blob (BCRYPT_ECCKEY_BLOB of P-256, BCRYPT_RSAKEY_BLOB), be
 * it of the public or of the private key; undefined for any other kind of key.
 */
export function spkiOfCngBlob(blob: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const view = viewOf(blob);
  const magic = view.getUint32(0, true);
  if (magic === ECS1 || magic === ECS2) {
    const length = view.getUint32(4, true);
    return ecSpki(blob.subarray(8, 8 + length), blob.subarray(8 + length, 8 + 2 * length));
  }
  if (magic !== RSA1 && magic !== RSA2 && magic !== RSA3) return undefined;
  const exponentEnd = 24 + view.getUint32(8, true);
  const modulusEnd = exponentEnd + view.getUint32(12, true);
  return rsaSpki(blob.subarray(exponentEnd, modulusEnd), blob.subarray(24, exponentEnd));
}

/**
 * DER SubjectPublicKeyInfo of a PUBLICKEYBLOB of a CSP's RSA key (BLOBHEADER, RSAPUBKEY, then the
 * modulus, its least significant octet first).
 */
export function spkiOfCspBlob(blob: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = viewOf(blob);
  const octets = view.getUint32(12, true) / 8;
  const exponent = new Uint8Array(4);
  viewOf(exponent).setUint32(0, view.getUint32(16, true));
  return rsaSpki(blob.slice(20, 20 + octets).reverse(), exponent);
}

function ecSpki(x: Uint8Array, y: Uint8Array): Uint8Array<ArrayBuffer> {
  return spki({ kty: "EC", crv: "P-256", x: base64Url(x), y: base64Url(y) });
}

function rsaSpki(modulus: Uint8Array, exponent: Uint8Array): Uint8Array<ArrayBuffer> {
  const first = exponent.findIndex((octet) => octet !== 0);
  return spki({ kty: "RSA", n: base64Url(modulus), e: base64Url(exponent.subarray(first)) });
}

function spki(key: JsonWebKey): Uint8Array<ArrayBuffer> {
  const publicKey = createPublicKey({ key, format: "jwk" });
  return new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
}

function base64Url(octets: Uint8Array): string {
  return octets.toBase64({ alphabet: "base64url", omitPadding: true });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
