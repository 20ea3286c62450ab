/** Applications that may use a leaf's key: an access list is made with the key and not changed. */
import type { TrustStore } from "../platform/trust_store.ts";
import type { Ledger } from "./ledger.ts";
import type { ActualLeaf } from "./reconcile.ts";

/**
 * Whether an application is there that the leaf's key was not made for, such as a browser that was
 * installed since: only another key lets it in.
 */
export async function hasNewApplications(
  store: TrustStore,
  ledger: Ledger,
  leaf: ActualLeaf | undefined,
): Promise<boolean> {
  const known = leaf && ledger.applications(leaf.spkiSha256);
  if (!store.applications || !known) return false;
  return (await store.applications()).some((path) => !known.includes(path));
}
