/** Store and ledger -> what is there now, and whose it is. */
import { DerError } from "../ca/der.ts";
import { INTERMEDIATE_NAME, isLeafName, parseLeafUri } from "../ca/names.ts";
import type { StoreContents, StoredCertificate } from "../platform/trust_store.ts";
import type { Ledger } from "./ledger.ts";
import type { UserSlice } from "./local_contract.ts";
import type { ActualLeaf, ActualStore } from "./reconcile.ts";
import { type CertificateDescription, describeCertificate, issuedByAnchor } from "./verify.ts";

/** What a user's store holds, told apart. */
export interface Observation extends ActualStore {
  /** Descriptions of our leaves by SHA-256. */
  descriptions: ReadonlyMap<string, CertificateDescription>;
  /** Certificates that bear our name and are not ours: left alone, and reported. */
  foreign: string[];
}

/**
 * Tells ours from everybody else's (DESIGN invariant 2): a certificate is ours when the ledger has
 * it, or when it is a leaf for this device that a pinned intermediate's key signed. A name alone
 * makes nothing ours.
 *
 * @param intermediates the pinned one and those that were pinned before it, DER
 */
export async function observe(
  contents: StoreContents,
  ledger: Ledger,
  slice: Pick<UserSlice, "deviceId" | "brand">,
  intermediates: readonly Uint8Array[],
): Promise<Observation> {
  const recorded = new Map(ledger.certificates().map((row) => [row.sha256, row]));
  const leaves: Omit<ActualLeaf, "chain">[] = [];
  const descriptions = new Map<string, CertificateDescription>();
  const authorities: Authority[] = [];
  const foreign: string[] = [];

  for (const certificate of contents.certificates) {
    const row = recorded.get(certificate.sha256);
    const description = await describe(certificate);
    if (row && row.role !== "leaf") {
      authorities.push({ role: row.role, sha256: certificate.sha256, description });
      continue;
    }
    if (!description) continue;
    if (row || await isOurLeaf(certificate, description, slice.deviceId, intermediates)) {
      descriptions.set(certificate.sha256, description);
      leaves.push({
        sha256: certificate.sha256,
        serial: description.serial,
        spkiSha256: description.spkiSha256,
        notAfter: description.notAfter.getTime(),
        hasKey: certificate.hasKey,
      });
    } else if (isLeafName(slice.brand, description.commonName)) {
      foreign.push(`${description.commonName} (SHA-256 ${certificate.sha256})`);
    }
  }

  const stored = new Set(contents.keys);
  const leafKeys = leaves.filter((leaf) => leaf.hasKey).map((leaf) => leaf.spkiSha256);
  return {
    leaves: leaves.map((leaf) => ({
      ...leaf,
      chain: chainOf(descriptions.get(leaf.sha256), authorities),
    })),
    keys: [...new Set([...ledger.keys().filter((key) => stored.has(key)), ...leafKeys])],
    authorities: authorities.map(({ role, sha256 }) => ({ role, sha256 })),
    present: new Set(contents.certificates.map((certificate) => certificate.sha256)),
    descriptions,
    foreign,
  };
}

async function isOurLeaf(
  certificate: StoredCertificate,
  description: CertificateDescription,
  deviceId: string,
  intermediates: readonly Uint8Array[],
): Promise<boolean> {
  if (
    description.issuerCommonName !== INTERMEDIATE_NAME ||
    !description.uris.some((uri) => parseLeafUri(uri)?.deviceId === deviceId)
  ) return false;
  for (const intermediate of intermediates) {
    if (await issuedByAnchor(certificate.der, intermediate)) return true;
  }
  return false;
}

/** An authority of ours in the store. */
interface Authority {
  role: "root" | "intermediate";
  sha256: string;
  description: CertificateDescription | undefined;
}

/**
 * SHA-256 of our authorities above a certificate, by the key identifiers that they all have. A
 * self-signed root ends it.
 */
function chainOf(
  below: CertificateDescription | undefined,
  authorities: readonly Authority[],
): string[] {
  const issuer = authorities.find(({ sha256, description }) =>
    description !== undefined && sha256 !== below?.sha256 &&
    description.keyIdentifier === below?.issuerKeyIdentifier
  );
  if (!issuer) return [];
  const rest = authorities.filter((authority) => authority !== issuer);
  return [issuer.sha256, ...chainOf(issuer.description, rest)];
}

/** Other people's certificates may be anything: one that cannot be read is not ours. */
async function describe(
  certificate: StoredCertificate,
): Promise<CertificateDescription | undefined> {
  try {
    return await describeCertificate(certificate.der);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}
