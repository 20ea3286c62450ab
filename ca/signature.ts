/**
 * Public keys and signatures as certificates and requests carry them: SubjectPublicKeyInfo
 * (RFC 5480 for P-256, RFC 3279 for RSA) and AlgorithmIdentifiers of ECDSA and PKCS#1 v1.5 with
 * SHA-256. Needs Web Crypto and ca/der.ts alone, so every folder may import it.
 */
import {
  concat,
  der,
  derBitString,
  DerError,
  derOid,
  DerReader,
  derUnsigned,
  hex,
  sameBytes,
  TAG,
} from "./der.ts";

/** What a public key is. `exponent` is undefined when it does not fit 31 bits. */
export type PublicKey =
  | { kind: "P-256"; spki: Uint8Array }
  | { kind: "RSA"; spki: Uint8Array; bits: number; exponent: number | undefined };

/** Anything of the form SEQUENCE { body, AlgorithmIdentifier, BIT STRING }. */
export interface SignedDer {
  /** What was signed, DER. */
  body: Uint8Array;
  /** AlgorithmIdentifier, DER. */
  algorithm: Uint8Array;
  /** The signature as it stands in the BIT STRING. */
  signature: Uint8Array;
}

/** AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758, 3.2), DER. */
export const ECDSA_SHA256 = der(TAG.sequence, derOid("1.2.840.10045.4.3.2"));

/** AlgorithmIdentifier of RSA PKCS#1 v1.5 with SHA-256 (RFC 4055, 5), DER. */
export const RSA_SHA256 = der(TAG.sequence, derOid("1.2.840.113549.1.1.11"), der(TAG.null));

const P256 = der(TAG.sequence, derOid("1.2.840.10045.2.1"), derOid("1.2.840.10045.3.1.7"));
const RSA = der(TAG.sequence, derOid("1.2.840.113549.1.1.1"), der(TAG.null));

/** Takes a certificate, request or list apart. Throws DerError; nothing may follow it. */
export function readSigned(bytes: Uint8Array, what: string): SignedDer {
  const outer = new DerReader(bytes, what);
  const inner = outer.enter(TAG.sequence);
  outer.end();
  const body = inner.read(TAG.sequence).raw;
  const algorithm = inner.read(TAG.sequence).raw;
  const signature = inner.bitString();
  inner.end();
  return { body, algorithm, signature };
}

/** Puts one together. */
export function writeSigned(signed: SignedDer): Uint8Array<ArrayBuffer> {
  return der(TAG.sequence, signed.body, signed.algorithm, derBitString(signed.signature));
}

/** Reads a DER SubjectPublicKeyInfo. Throws DerError for anything but P-256 and RSA. */
export function readPublicKey(spki: Uint8Array): PublicKey {
  const outer = new DerReader(spki, "public key");
  const info = outer.enter(TAG.sequence);
  outer.end();
  const algorithm = info.read(TAG.sequence).raw;
  const key = info.bitString();
  info.end();
  if (sameBytes(algorithm, P256)) {
    if (key.length !== 65 || key[0] !== 4) throw new DerError("public key: no whole P-256 point");
    return { kind: "P-256", spki };
  }
  if (!sameBytes(algorithm, RSA)) {
    throw new DerError(`public key: neither P-256 nor RSA, but algorithm ${hex(algorithm)}`);
  }
  const whole = new DerReader(key, "RSA public key");
  const numbers = whole.enter(TAG.sequence);
  whole.end();
  const modulus = numbers.integer();
  const exponent = numbers.integer();
  numbers.end();
  return { kind: "RSA", spki, bits: bitLength(modulus), exponent: smallNumber(exponent) };
}

/**
 * Whether `signed.signature` over `signed.body` was made by this key, with ECDSA on P-256 or
 * RSA PKCS#1 v1.5, SHA-256 both. False, never an error, for another algorithm or a broken key.
 */
export async function isSignedBy(signed: SignedDer, spki: Uint8Array): Promise<boolean> {
  try {
    const isEcdsa = readPublicKey(spki).kind === "P-256";
    if (!sameBytes(signed.algorithm, isEcdsa ? ECDSA_SHA256 : RSA_SHA256)) return false;
    return isEcdsa
      ? await verifies(P256_KEY, ECDSA, spki, ecdsaFromDer(signed.signature), signed.body)
      : await verifies(PKCS1, PKCS1, spki, signed.signature, signed.body);
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

/** An ECDSA P-256 signature, r and s concatenated (64 octets), as DER (RFC 3279, 2.2.3). */
export function ecdsaToDer(raw: Uint8Array): Uint8Array<ArrayBuffer> {
  if (raw.length !== 64) throw new DerError(`ECDSA signature of ${raw.length} octets, not 64`);
  return der(TAG.sequence, derUnsigned(raw.subarray(0, 32)), derUnsigned(raw.subarray(32)));
}

/** The reverse of {@link ecdsaToDer}. Throws DerError. */
export function ecdsaFromDer(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const outer = new DerReader(signature, "ECDSA signature");
  const pair = outer.enter(TAG.sequence);
  outer.end();
  const numbers = [pair.integer(), pair.integer()].map((number) => {
    const octets = number[0] === 0 ? number.subarray(1) : number;
    if ((number[0] ?? 0) >= 0x80 || octets.length > 32) {
      throw new DerError("ECDSA signature: a number outside the curve's order");
    }
    return concat([new Uint8Array(32 - octets.length), octets]);
  });
  pair.end();
  return concat(numbers);
}

/** The key identifier of RFC 5280, 4.2.1.2 method 1: SHA-1 of the key's BIT STRING. */
export async function keyIdentifier(spki: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const info = new DerReader(spki, "public key").enter(TAG.sequence);
  info.read(TAG.sequence);
  return new Uint8Array(await crypto.subtle.digest("SHA-1", copy(info.bitString())));
}

/** SHA-256 in lower-case hexadecimal: the fingerprint of a certificate or of a public key. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", copy(bytes))));
}

const P256_KEY = { name: "ECDSA", namedCurve: "P-256" };
const ECDSA = { name: "ECDSA", hash: "SHA-256" };
const PKCS1 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

/**
 * Web Crypto's verdict. That a key is broken (a point off its curve, say) it tells now at import
 * and now at use, as DOMException, TypeError or Error: whatever it throws is about these octets,
 * for the rest of its arguments never change, and nothing was signed by such a key.
 */
async function verifies(
  keyAlgorithm: typeof P256_KEY | typeof PKCS1,
  algorithm: typeof ECDSA | typeof PKCS1,
  spki: Uint8Array,
  signature: Uint8Array,
  body: Uint8Array,
): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey("spki", copy(spki), keyAlgorithm, false, ["verify"]);
    return await crypto.subtle.verify(algorithm, key, copy(signature), copy(body));
  } catch {
    return false;
  }
}

function bitLength(positive: Uint8Array): number {
  const octets = positive[0] === 0 ? positive.subarray(1) : positive;
  if ((positive[0] ?? 0x80) >= 0x80 || octets.length === 0) {
    throw new DerError("RSA public key: a modulus that is not positive");
  }
  return octets.length * 8 - Math.clz32(octets[0] ?? 0) + 24;
}

function smallNumber(octets: Uint8Array): number | undefined {
  if ((octets[0] ?? 0x80) >= 0x80 || octets.length > 4) return undefined;
  return octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

/** Web Crypto takes bytes that nobody shares; a view of a message is copied for it. */
function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
