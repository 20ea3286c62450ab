/** A lost ledger written anew from the store. */
import { readPublicKey } from "../ca/signature.ts";
import type { Ledger } from "./ledger.ts";
import type { Observation } from "./observe.ts";
import { type Anchors, certificateDer, describeCertificate } from "./verify.ts";

/**
 * Records what of ours is in the store and not in the ledger. The ledger knows of a thing before the
 * thing exists, so a leaf of ours that it does not know tells that it was lost; then the leaf's key
 * is ours as well, and so are the anchors beside it.
 *
 * @param anchors those that are pinned, and that were before
 * @returns whether anything was recorded
 */
export async function recoverLedger(
  ledger: Ledger,
  seen: Observation,
  anchors: readonly Anchors[],
): Promise<boolean> {
  const known = new Set(ledger.certificates().map(({ sha256 }) => sha256));
  const lost = seen.leaves.filter(({ sha256 }) => !known.has(sha256));
  if (lost.length === 0) return false;
  for (const { sha256, hasKey } of lost) {
    const leaf = seen.descriptions.get(sha256);
    if (!leaf) continue;
    const { serial, commonName, spki, spkiSha256 } = leaf;
    ledger.recordCertificate({ sha256, role: "leaf", serial, commonName });
    const algorithm = readPublicKey(spki).kind === "RSA" ? "RSA-2048" : "P-256";
    if (hasKey) ledger.recordKey(spkiSha256, spki, algorithm);
  }
  for (const pair of anchors) {
    for (const role of ["root", "intermediate"] as const) {
      const anchor = await describeCertificate(certificateDer(pair[role]));
      if (seen.present.has(anchor.sha256)) ledger.recordCertificate({ ...anchor, role });
    }
  }
  ledger.recordEvent("ledger.recovered", `${lost.length} leaves`);
  return true;
}
