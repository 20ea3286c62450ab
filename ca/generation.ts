/** Makes the files of a generation: keys (PKCS#8 PEM, 0600) and certificates (PEM). */
import { join } from "node:path";
import type { Authority } from "./authority.ts";
import { AuthorityError } from "./authority_error.ts";
import { type Certificate, certificateUse, parseCertificatePem } from "./certificate.ts";
import { DerError, hex, toPem } from "./der.ts";
import type { NewFile } from "./folder.ts";
import { intermediateProfile, type Profile, rootProfile } from "./profiles.ts";
import { newAuthorityKey, publicKeyDer, readAuthorityKey, signCertificate } from "./sign.ts";
import { keyIdentifier } from "./signature.ts";

/** The first generation of an authority. */
export async function firstGeneration(brand: string, now: Date): Promise<NewFile[]> {
  const root = await makeRoot(brand, now);
  return [...root.files, ...await makeIntermediate(root, now)];
}

/** A generation with a new root, which every root before it has cross-signed. */
export async function rootGeneration(authority: Authority, now: Date): Promise<NewFile[]> {
  const root = await makeRoot(authority.brand, now);
  const crossSigned: string[] = [];
  const generations = [authority, ...authority.elders];
  for (const { number, root: { pem } } of generations) {
    const key = await rootKeyIn(authority.folder, number);
    if (key) crossSigned.push(await crossSign(authority.brand, root, { pem, key }, now));
  }
  return [
    ...root.files,
    { name: "cross-signed.pem", text: crossSigned.join(""), mode: 0o644 },
    ...await makeIntermediate(root, now),
  ];
}

/**
 * A generation with a new intermediate under the present root. Throws {@link AuthorityError} when
 * that root's key is gone.
 */
export async function intermediateGeneration(authority: Authority, now: Date): Promise<NewFile[]> {
  const { folder, root: { pem }, crossSigned } = authority;
  for (const { number, root } of [authority, ...authority.elders]) {
    const key = root.pem === pem ? await rootKeyIn(folder, number) : undefined;
    if (!key) continue;
    return [
      { name: "root.pem", text: pem, mode: 0o644 },
      ...crossSigned ? [{ name: "cross-signed.pem", text: crossSigned, mode: 0o644 }] : [],
      ...await makeIntermediate({ pem, key }, now),
    ];
  }
  throw new AuthorityError(
    "damaged",
    `the root's key is missing in ${folder}: restore it from a backup, or begin a new root if ` +
      "an earlier root's key is there",
  );
}

/** A root's certificate, PEM, with the key that signs in its name. */
interface SigningRoot {
  pem: string;
  key: CryptoKey;
}

async function makeRoot(
  brand: string,
  now: Date,
): Promise<SigningRoot & { publicKey: CryptoKey; files: NewFile[] }> {
  const { keys: { publicKey, privateKey }, pem: keyPem } = await newAuthorityKey();
  const own = await identify(publicKey);
  const profile = rootProfile(brand, { subject: own, issuer: own }, now);
  const pem = toPem(
    "CERTIFICATE",
    await signCertificate(profile, publicKey, { key: privateKey }),
  );
  return {
    pem,
    key: privateKey,
    publicKey,
    files: [
      { name: "root.key", text: keyPem, mode: 0o600 },
      { name: "root.pem", text: pem, mode: 0o644 },
    ],
  };
}

async function makeIntermediate(root: SigningRoot, now: Date): Promise<NewFile[]> {
  const { keys: { publicKey }, pem: keyPem } = await newAuthorityKey();
  const issuer = parseCertificatePem(root.pem);
  const keys = { subject: await identify(publicKey), issuer: requiredKeyIdentifier(issuer) };
  const profile = endingWith(issuer, intermediateProfile(keys, now));
  const signer = { key: root.key, subject: issuer.subject };
  const der = await signCertificate(profile, publicKey, signer);
  return [
    { name: "intermediate.key", text: keyPem, mode: 0o600 },
    { name: "intermediate.pem", text: toPem("CERTIFICATE", der), mode: 0o644 },
  ];
}

/** The new root's certificate by an elder root's key, PEM. */
async function crossSign(
  brand: string,
  root: { publicKey: CryptoKey },
  elder: SigningRoot,
  now: Date,
): Promise<string> {
  const issuer = parseCertificatePem(elder.pem);
  const keys = {
    subject: await identify(root.publicKey),
    issuer: requiredKeyIdentifier(issuer),
  };
  const profile = endingWith(issuer, rootProfile(brand, keys, now));
  const signer = { key: elder.key, subject: issuer.subject };
  return toPem("CERTIFICATE", await signCertificate(profile, root.publicKey, signer));
}

/** A certificate is of no use for longer than its issuer is. */
function endingWith({ notAfter }: Certificate, profile: Profile): Profile {
  return profile.notAfter > notAfter ? { ...profile, notAfter } : profile;
}

/** The key of the root that generation `number` brought; undefined when its root is an older one's. */
async function rootKeyIn(folder: string, number: number): Promise<CryptoKey | undefined> {
  try {
    const pem = await Deno.readTextFile(join(folder, String(number), "root.key"));
    return await readAuthorityKey(pem);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Hexadecimal. Throws DerError for an authority without one. */
export function requiredKeyIdentifier(authority: Certificate): string {
  const { subjectKeyIdentifier } = certificateUse(authority);
  if (subjectKeyIdentifier === undefined) throw new DerError("authority without a key identifier");
  return subjectKeyIdentifier;
}

async function identify(publicKey: CryptoKey): Promise<string> {
  return hex(await keyIdentifier(await publicKeyDer(publicKey)));
}
