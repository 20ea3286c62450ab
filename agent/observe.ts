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
 * it, or when it is a leaf for this device that the pinned intermediate's key signed. A name alone
 * makes nothing ours.
 */
export async function observe(
  contents: StoreContents,
  ledger: Ledger,
  slice: Pick<UserSlice, "deviceId" | "brand">,
  pinnedIntermediate: Uint8Array,
): Promise<Observation> {
  const recorded = new Map(ledger.certificates().map((row) => [row.sha256, row]));
  const leaves: ActualLeaf[] = [];
  const descriptions = new Map<string, CertificateDescription>();
  const authorities: ActualStore["authorities"][number][] = [];
  const foreign: string[] = [];

  for (const certificate of contents.certificates) {
    const row = recorded.get(certificate.sha256);
    if (row && row.role !== "leaf") {
      authorities.push({ role: row.role, sha256: certificate.sha256 });
      continue;
    }
    const description = await describe(certificate);
    if (!description) continue;
    if (row || await isOurLeaf(certificate, description, slice.deviceId, pinnedIntermediate)) {
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
    leaves,
    keys: [...new Set([...ledger.keys().filter((key) => stored.has(key)), ...leafKeys])],
    authorities,
    present: new Set(contents.certificates.map((certificate) => certificate.sha256)),
    descriptions,
    foreign,
  };
}

async function isOurLeaf(
  certificate: StoredCertificate,
  description: CertificateDescription,
  deviceId: string,
  pinnedIntermediate: Uint8Array,
): Promise<boolean> {
  return description.issuerCommonName === INTERMEDIATE_NAME &&
    description.uris.some((uri) => parseLeafUri(uri)?.deviceId === deviceId) &&
    await issuedByAnchor(certificate.der, pinnedIntermediate);
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
