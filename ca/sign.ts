/** Signs the certificates that are made once in years; leaves have ca/issue.ts. */
import "reflect-metadata";
import { Extension, Name, X509CertificateGenerator } from "@peculiar/x509";
import { derCommonName, fromPem, hex, toPem } from "./der.ts";
import type { Profile } from "./profiles.ts";

/** Web Crypto's name of the keys that an authority signs with. */
export const AUTHORITY_KEY = { name: "ECDSA", namedCurve: "P-256" };

/** Web Crypto's name of how they sign. */
export const AUTHORITY_SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

/**
 * Signs a certificate of this profile for `publicKey`. The issuer's name comes from its own
 * certificate, so that the two are the same to the byte; a self-signed one has none.
 *
 * @returns DER.
 */
export async function signCertificate(
  profile: Profile,
  publicKey: CryptoKey,
  issuer: { key: CryptoKey; subject?: Uint8Array },
): Promise<Uint8Array<ArrayBuffer>> {
  const subject = new Name(derCommonName(profile.commonName));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: issuer.subject ? new Name(new Uint8Array(issuer.subject)) : subject,
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
    extensions: profile.extensions.map(({ oid, critical, value }) =>
      new Extension(oid, critical, new Uint8Array(value))
    ),
    publicKey,
    signingKey: issuer.key,
    signingAlgorithm: AUTHORITY_SIGNATURE,
  }, crypto);
  return new Uint8Array(certificate.rawData);
}

/**
 * A serial number: 16 random octets, positive and DER's shortest form, so that it has 32 digits
 * wherever it is written (RFC 5280, 4.1.2.2).
 */
export function newSerial(
  random: (octets: Uint8Array<ArrayBuffer>) => Uint8Array = (octets) =>
    crypto.getRandomValues(octets),
): string {
  const octets = random(new Uint8Array(16));
  octets[0] = ((octets[0] ?? 0) & 0x7f) || 1;
  return hex(octets);
}

/** A new P-256 key pair and its private half as PKCS#8 PEM, for a 0600 file and nowhere else. */
export async function newAuthorityKey(): Promise<{ keys: CryptoKeyPair; pem: string }> {
  const keys = await crypto.subtle.generateKey(AUTHORITY_KEY, true, ["sign", "verify"]);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  return { keys, pem: toPem("PRIVATE KEY", pkcs8) };
}

/** The private key of a PKCS#8 PEM, for signing only; it cannot be exported again. */
export async function readAuthorityKey(pem: string): Promise<CryptoKey> {
  const pkcs8 = fromPem("PRIVATE KEY", pem, 4096);
  return await crypto.subtle.importKey("pkcs8", pkcs8, AUTHORITY_KEY, false, ["sign"]);
}

/** DER SubjectPublicKeyInfo of a public key. */
export async function publicKeyDer(publicKey: CryptoKey): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
}
