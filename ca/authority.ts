/**
 * The certificate authority of devices: one root, one intermediate, their keys in the server's
 * data folder. Each pair of them is a generation in a folder of its own, `1` being the first; a
 * successor, cross-signed by the root before it, will stand beside it.
 */
import { join } from "node:path";
import {
  type Certificate,
  certificateUse,
  isIssuedBy,
  parseCertificatePem,
} from "./certificate.ts";
import { DerError, hex, toPem } from "./der.ts";
import { createFolder, exists } from "./folder.ts";
import { BRAND_PATTERN, brandOfRoot, DEFAULT_BRAND, INTERMEDIATE_NAME, rootName } from "./names.ts";
import { intermediateProfile, rootProfile } from "./profiles.ts";
import {
  AUTHORITY_KEY,
  AUTHORITY_SIGNATURE,
  newAuthorityKey,
  publicKeyDer,
  readAuthorityKey,
  signCertificate,
} from "./sign.ts";
import { keyIdentifier } from "./signature.ts";

/** A certificate of the authority. */
export interface AuthorityCertificate {
  der: Uint8Array;
  pem: string;
}

/** The certificate that leaves are issued from, with what issuing needs of it. */
export interface IssuingCertificate extends AuthorityCertificate {
  /** Its name, DER: the issuer of every leaf. */
  subject: Uint8Array;
  /** Its subject key identifier, hexadecimal. */
  keyIdentifier: string;
  notAfter: Date;
  /** Signs; cannot be exported. */
  key: CryptoKey;
}

/** An open authority. The root's key stays in its file: no leaf and no list needs it. */
export interface Authority {
  brand: string;
  root: AuthorityCertificate;
  intermediate: IssuingCertificate;
}

/** Why an authority cannot be opened: another brand, or files that do not belong together. */
export class AuthorityError extends Error {
  override readonly name = "AuthorityError";
  constructor(
    readonly code: "brand" | "brand-mismatch" | "damaged",
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * Opens the authority in `folder`, and makes it first when there is none: whole or not at all, so
 * that a crash at any instant leaves nothing half-made. Keys are PKCS#8 PEM, 0600, in 0700
 * folders. Without a brand it is that of the authority which is there, or the default one for a
 * new one. Throws {@link AuthorityError}; what the file system throws is passed on.
 */
export async function openAuthority(
  folder: string,
  { brand, now }: { brand?: string | undefined; now: Date },
): Promise<Authority> {
  if (brand !== undefined && !BRAND_PATTERN.test(brand)) {
    throw new AuthorityError("brand", `brand '${brand}' is not 1 to 32 letters and digits`);
  }
  const generation = join(folder, "1");
  if (!await exists(generation)) await createGeneration(generation, brand ?? DEFAULT_BRAND, now);
  return await loadGeneration(generation, brand);
}

async function createGeneration(folder: string, brand: string, now: Date): Promise<void> {
  const [root, intermediate] = await Promise.all([newAuthorityKey(), newAuthorityKey()]);
  const rootKey = await identify(root.keys.publicKey);
  const rootDer = await signCertificate(
    rootProfile(brand, { subject: rootKey, issuer: rootKey }, now),
    root.keys.publicKey,
    { key: root.keys.privateKey },
  );
  const rootPem = toPem("CERTIFICATE", rootDer);
  const intermediateKey = await identify(intermediate.keys.publicKey);
  const intermediateDer = await signCertificate(
    intermediateProfile({ subject: intermediateKey, issuer: rootKey }, now),
    intermediate.keys.publicKey,
    { key: root.keys.privateKey, subject: parseCertificatePem(rootPem).subject },
  );
  await createFolder(folder, [
    { name: "root.key", text: root.pem, mode: 0o600 },
    { name: "root.pem", text: rootPem, mode: 0o644 },
    { name: "intermediate.key", text: intermediate.pem, mode: 0o600 },
    { name: "intermediate.pem", text: toPem("CERTIFICATE", intermediateDer), mode: 0o644 },
  ]);
}

async function loadGeneration(folder: string, wanted: string | undefined): Promise<Authority> {
  const read = (name: string) => Deno.readTextFile(join(folder, name));
  try {
    const [rootPem, intermediatePem] = await Promise.all([
      read("root.pem"),
      read("intermediate.pem"),
    ]);
    const key = await readAuthorityKey(await read("intermediate.key"));
    const root = parseCertificatePem(rootPem);
    const intermediate = parseCertificatePem(intermediatePem);
    const brand = wanted ?? brandOfRoot(root.commonName ?? "") ?? DEFAULT_BRAND;
    if (root.commonName !== rootName(brand)) {
      throw new AuthorityError(
        "brand-mismatch",
        `the authority in ${folder} is '${root.commonName}', which is not of brand '${brand}': ` +
          "a brand is fixed when the authority is made; start with that brand, or with another " +
          "data folder",
      );
    }
    await checkBelongTogether(root, intermediate, key);
    const subjectKey = certificateUse(intermediate).subjectKeyIdentifier;
    if (subjectKey === undefined) throw new DerError("intermediate without a key identifier");
    return {
      brand,
      root: { der: root.der, pem: rootPem },
      intermediate: {
        der: intermediate.der,
        pem: intermediatePem,
        subject: intermediate.subject,
        keyIdentifier: subjectKey,
        notAfter: intermediate.notAfter,
        key,
      },
    };
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
    throw new AuthorityError(
      "damaged",
      `the authority in ${folder} cannot be used (${cause.message}): restore the folder from a ` +
        "backup; a new authority would orphan every device that pinned this one",
      { cause },
    );
  }
}

/** Whether reading failed because of what the files hold, or because one of them is missing. */
function isDamage(error: unknown): error is Error {
  return error instanceof DerError || error instanceof DOMException ||
    error instanceof Deno.errors.NotFound;
}

async function checkBelongTogether(
  root: Certificate,
  intermediate: Certificate,
  key: CryptoKey,
): Promise<void> {
  if (!await isIssuedBy(intermediate, root) || intermediate.commonName !== INTERMEDIATE_NAME) {
    throw new DerError("intermediate.pem was not issued by root.pem");
  }
  const probe = new Uint8Array(32);
  const signature = await crypto.subtle.sign(AUTHORITY_SIGNATURE, key, probe);
  const publicKey = await crypto.subtle.importKey(
    "spki",
    new Uint8Array(intermediate.spki),
    AUTHORITY_KEY,
    false,
    ["verify"],
  );
  if (!await crypto.subtle.verify(AUTHORITY_SIGNATURE, publicKey, signature, probe)) {
    throw new DerError("intermediate.key is not the key of intermediate.pem");
  }
}

async function identify(publicKey: CryptoKey): Promise<string> {
  return hex(await keyIdentifier(await publicKeyDer(publicKey)));
}
