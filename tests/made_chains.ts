/**
 * Chains made by the library and not by us, good by default, each part of them to be
 * changed, so that nothing of ours is its own witness.
 */
import "reflect-metadata";
import assert from "node:assert/strict";
import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate, type TBSCertificate } from "@peculiar/asn1-x509";
import * as x509 from "@peculiar/x509";
import { ecdsaToDer } from "../ca/signature.ts";
import { Problem } from "../platform/errors.ts";
import { certificateDer, type ExpectedBundle, type OfferedBundle } from "../agent/verify.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
export const NOW = new Date("2026-03-01T12:00:00Z");
export const DEVICE = "3f0d6f0e-7b8f-4a51-9d0e-2f4c3a1b5d6e";
export const USER = "a1b2c3d4-0000-4000-8000-00000000ffff";
export const URI = `urn:device-trust:${DEVICE}:${USER}`;
export const CLIENT = "1.3.6.1.5.5.7.3.2";
export const SERVER = "1.3.6.1.5.5.7.3.1";
export const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
};
export const ROOT = "CN=JumpCloud Production Device Identification Root CA";
const INTERMEDIATE = "CN=device-trust.intermediate";
export const LEAF = "CN=JumpCloud Device Trust Certificate - 00c0ffee";

export const newKeys = () => crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
export const rootKeys = await newKeys();
export const intermediateKeys = await newKeys();
export const leafKeys = await newKeys();
export const otherKeys = await newKeys();
export const rsaKeys = await crypto.subtle.generateKey(RSA, true, ["sign", "verify"]);

interface Recipe {
  subject: string;
  issuer: string;
  keys: CryptoKeyPair;
  signer: CryptoKeyPair;
  serialNumber?: string;
  notBefore?: Date;
  notAfter?: Date;
  extensions: x509.Extension[];
}

/** Extensions by name, so that a test leaves one out or puts another in its place. */
type Extensions = Record<string, x509.Extension | undefined>;

export async function keyIds(keys: CryptoKeyPair, signer: CryptoKeyPair): Promise<Extensions> {
  return {
    ski: await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    aki: await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
  };
}

function present(extensions: Extensions): x509.Extension[] {
  return Object.values(extensions).filter((extension) => extension !== undefined);
}

async function make(recipe: Recipe): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: recipe.serialNumber ?? "2f488f38a1118f1a2f4f6724c16b6a6d",
    subject: recipe.subject,
    issuer: recipe.issuer,
    notBefore: recipe.notBefore ?? new Date(NOW.getTime() - HOUR),
    notAfter: recipe.notAfter ?? new Date(NOW.getTime() + 30 * DAY),
    publicKey: recipe.keys.publicKey,
    signingKey: recipe.signer.privateKey,
    signingAlgorithm: recipe.signer === rsaKeys ? RSA : ECDSA,
    extensions: recipe.extensions,
  }, crypto);
  return certificate.toString("pem");
}

export type Changes = Partial<Omit<Recipe, "extensions">> & { extensions?: Extensions };

export async function makeRoot({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? rootKeys;
  return await make({
    subject: ROOT,
    issuer: ROOT,
    keys,
    signer: keys,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(true, undefined, true),
      usage: new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      ...await keyIds(keys, keys),
      ...extensions,
    }),
  });
}

export async function makeIntermediate({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? intermediateKeys;
  const signer = changes.signer ?? rootKeys;
  return await make({
    subject: INTERMEDIATE,
    issuer: ROOT,
    keys,
    signer,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(true, 0, true),
      usage: new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      purpose: new x509.ExtendedKeyUsageExtension([CLIENT]),
      ...await keyIds(keys, signer),
      ...extensions,
    }),
  });
}

export async function makeLeaf({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? leafKeys;
  const signer = changes.signer ?? intermediateKeys;
  return await make({
    subject: LEAF,
    issuer: INTERMEDIATE,
    keys,
    signer,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(false, undefined, true),
      usage: new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      purpose: new x509.ExtendedKeyUsageExtension([CLIENT]),
      names: names({ type: "url", value: URI }),
      ...await keyIds(keys, signer),
      ...extensions,
    }),
  });
}

export function names(...list: { type: "url" | "dns" | "email"; value: string }[]) {
  return new x509.SubjectAlternativeNameExtension(list);
}

export async function spkiOf(keys: CryptoKeyPair): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
}

export const root = await makeRoot();
export const intermediate = await makeIntermediate();
export const good: OfferedBundle = { root, intermediate, leaf: await makeLeaf() };
export const expected: ExpectedBundle = {
  spki: await spkiOf(leafKeys),
  deviceId: DEVICE,
  userId: USER,
  brand: "JumpCloud",
  pinned: { root, intermediate },
  now: NOW,
};

export function rejected(words: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, "bundle-rejected");
    assert.match(error.message, words);
    return true;
  };
}

export function raw(oid: string, digits: string, critical: boolean): x509.Extension {
  return new x509.Extension(
    oid,
    critical,
    Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)),
  );
}

/** The same certificate after a change that no generator offers, signed by the intermediate. */
export async function signedAnew(
  pem: string,
  change: (body: TBSCertificate) => void,
): Promise<string> {
  const certificate = AsnConvert.parse(certificateDer(pem), Certificate);
  const body = certificate.tbsCertificate;
  change(body);
  certificate.tbsCertificateRaw = undefined;
  const signature = new Uint8Array(
    await crypto.subtle.sign(ECDSA, intermediateKeys.privateKey, AsnConvert.serialize(body)),
  );
  certificate.signatureValue = ecdsaToDer(signature).buffer;
  return asPem(new Uint8Array(AsnConvert.serialize(certificate)));
}

export function asPem(der: Uint8Array): string {
  const base64 = btoa(Array.from(der, (octet) => String.fromCharCode(octet)).join(""));
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}
