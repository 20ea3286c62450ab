/**
 * Certificate requests (PKCS#10, RFC 2986) as strangers send them: is it well formed, is the key
 * one that we certify, and does the sender hold it? Subject and attributes are read past, and
 * nothing of them is ever handed on.
 */
import { contextTag, DerError, DerReader, fromPem, TAG } from "./der.ts";
import { isSignedBy, type PublicKey, readPublicKey, readSigned } from "./signature.ts";

/** What is wrong with a request; the message says it for the sender. Answered with 422. */
export class CsrError extends Error {
  override readonly name = "CsrError";
  constructor(
    readonly code: "malformed" | "key" | "signature",
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** All that is taken from a request. */
export interface CheckedCsr {
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array;
  /** `RSA-2048` stands for RSA of 2048 to 4096 bits. */
  algorithm: "P-256" | "RSA-2048";
}

/** Characters of PEM that a request may have: RSA-4096 with a long name has under 3,000. */
export const MAX_CSR_CHARS = 16 * 1024;

/**
 * Takes P-256, and RSA of 2048 to 4096 bits with an odd exponent from 65537 on; the request must
 * be signed by the key in it (proof of possession), with SHA-256. Throws {@link CsrError}.
 */
export async function checkCsr(pem: string): Promise<CheckedCsr> {
  const { signed, key } = readCsr(pem);
  const algorithm = acceptedAlgorithm(key);
  if (!await isSignedBy(signed, key.spki)) {
    throw new CsrError(
      "signature",
      "the request is not signed with SHA-256 by the key in it: the sender does not prove to " +
        "hold that key",
    );
  }
  return { spki: new Uint8Array(key.spki), algorithm };
}

function readCsr(pem: string) {
  try {
    const signed = readSigned(
      fromPem("CERTIFICATE REQUEST", pem, MAX_CSR_CHARS),
      "certificate request",
    );
    const info = new DerReader(signed.body, "certificate request").enter(TAG.sequence);
    const version = info.smallInteger();
    if (version !== 0) throw new DerError(`certificate request: version ${version + 1}`);
    info.read(TAG.sequence);
    const spki = info.read(TAG.sequence).raw;
    info.optional(contextTag(0, true));
    info.end();
    return { signed, key: readKey(spki) };
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new CsrError("malformed", `the request is not PKCS#10 in PEM: ${cause.message}`, {
      cause,
    });
  }
}

function readKey(spki: Uint8Array): PublicKey {
  try {
    return readPublicKey(spki);
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new CsrError("key", `the key in the request is not accepted: ${cause.message}`, {
      cause,
    });
  }
}

function acceptedAlgorithm(key: PublicKey): CheckedCsr["algorithm"] {
  if (key.kind === "P-256") return "P-256";
  if (key.bits < 2048 || key.bits > 4096) {
    throw new CsrError("key", `an RSA key of ${key.bits} bits; 2048 to 4096 are accepted`);
  }
  const { exponent } = key;
  if (exponent === undefined || exponent < 65537 || exponent % 2 === 0) {
    throw new CsrError("key", "an RSA key with an exponent that is even, below 65537 or huge");
  }
  return "RSA-2048";
}
