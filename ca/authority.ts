/**
 * The certificate authority of devices: a root and an intermediate, their keys in the server's data
 * folder. Each pair of them is a generation in a folder of its own, `1` being the first; a root's
 * key is in the folder of the generation that brought it.
 */
import { join } from "node:path";
import { AuthorityError } from "./authority_error.ts";
import { type Certificate, isIssuedBy, parseCertificatePem } from "./certificate.ts";
import { DerError } from "./der.ts";
import { createFolder, exists } from "./folder.ts";
import {
  firstGeneration,
  intermediateGeneration,
  requiredKeyIdentifier,
  rootGeneration,
} from "./generation.ts";
import { BRAND_PATTERN, brandOfRoot, DEFAULT_BRAND, INTERMEDIATE_NAME, rootName } from "./names.ts";
import { AUTHORITY_KEY, AUTHORITY_SIGNATURE, readAuthorityKey } from "./sign.ts";

export { AuthorityError };

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

/** A pair of root and intermediate. The root's key stays in its file: no leaf and no list needs it. */
export interface Generation {
  /** From 1 on. */
  number: number;
  root: AuthorityCertificate;
  intermediate: IssuingCertificate;
}

/** An open authority: its newest generation, which issues, and those before it. */
export interface Authority extends Generation {
  /** Where its generations are. */
  folder: string;
  brand: string;
  /** The root's certificates by the keys of the roots before it, PEM; absent for a first root. */
  crossSigned?: string;
  /** Newest first. They issue nothing more, but leaves of theirs may be live. */
  elders: readonly Generation[];
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
  const first = join(folder, "1");
  if (!await exists(first)) {
    await createFolder(first, await firstGeneration(brand ?? DEFAULT_BRAND, now));
  }
  const generations: (Generation & { crossSigned?: string })[] = [];
  do {
    generations.unshift(await loadGeneration(folder, generations.length + 1, brand));
  } while (await exists(join(folder, String(generations.length + 1))));
  const [newest, ...elders] = generations;
  if (!newest) throw new AuthorityError("damaged", `there is no authority in ${folder}`);
  const rootBrand = brandOfRoot(parseCertificatePem(newest.root.pem).commonName ?? "");
  return { ...newest, folder, brand: brand ?? rootBrand ?? DEFAULT_BRAND, elders };
}

/**
 * Begins the next generation: a new intermediate under the same root, or a new root with a new
 * intermediate, cross-signed by every root before it. Whole or not at all; of two calls at once one
 * wins and both give its generation. Throws {@link AuthorityError}.
 */
export async function renewAuthority(
  authority: Authority,
  what: "intermediate" | "root",
  now: Date,
): Promise<Authority> {
  const { folder, brand, number } = authority;
  const next = join(folder, String(number + 1));
  const files = what === "root" ? rootGeneration : intermediateGeneration;
  await createFolder(next, await files(authority, now));
  return await openAuthority(folder, { brand, now });
}

/** The generation whose intermediate's key has this identifier (hexadecimal). */
export function generationOf(authority: Authority, keyIdentifier: string): Generation | undefined {
  return [authority, ...authority.elders]
    .find(({ intermediate }) => intermediate.keyIdentifier === keyIdentifier);
}

async function loadGeneration(
  parent: string,
  number: number,
  wanted: string | undefined,
): Promise<Generation & { crossSigned?: string }> {
  const folder = join(parent, String(number));
  const read = (name: string) => Deno.readTextFile(join(folder, name));
  try {
    const [rootPem, intermediatePem] = await Promise.all([
      read("root.pem"),
      read("intermediate.pem"),
    ]);
    const key = await readAuthorityKey(await read("intermediate.key"));
    const hasElderRoot = await exists(join(folder, "cross-signed.pem"));
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
    return {
      number,
      ...hasElderRoot ? { crossSigned: await read("cross-signed.pem") } : {},
      root: { der: root.der, pem: rootPem },
      intermediate: {
        der: intermediate.der,
        pem: intermediatePem,
        subject: intermediate.subject,
        keyIdentifier: requiredKeyIdentifier(intermediate),
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
