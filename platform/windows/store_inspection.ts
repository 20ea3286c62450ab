/** What a user's certificate stores hold, for `doctor`. Nothing is changed. */
import { createHash } from "node:crypto";
import { sameBytes } from "../../ca/der.ts";
import { toProblem } from "../errors.ts";
import type { InspectedStore } from "../findings.ts";
import { type CertstoreStores, CLIENTS_ONLY, openCertstore } from "./certstore.ts";
import { displayName, SystemStore } from "./system_store.ts";

/** One report of all of them together: browsers look into all. */
export async function inspectStores(stores: CertstoreStores): Promise<InspectedStore[]> {
  const names = Object.values(stores).map(displayName).join(", ");
  const report = { path: names, usedBy: "Chrome, Edge, Brave and Chromium", exists: true };
  try {
    const store = openCertstore(stores);
    try {
      const { certificates } = await store.list();
      const trusted = trustedForMore(stores);
      return [{
        ...report,
        path: store.location,
        certificates: certificates.map(({ der, sha256, hasKey }) => {
          return { der: new Uint8Array(der), sha256, hasKey, trusted: trusted.has(sha256) };
        }),
      }];
    } finally {
      store.close();
    }
  } catch (error) {
    return [{ ...report, certificates: [], problem: toProblem(error) }];
  }
}

/** SHA-256 of roots that may vouch for more than clients. */
function trustedForMore({ root }: CertstoreStores): Set<string> {
  if (!root) return new Set();
  using store = new SystemStore(root);
  const more = store.certificates().filter(({ usage }) => {
    return usage === undefined || !sameBytes(usage, CLIENTS_ONLY);
  });
  return new Set(more.map(({ der }) => createHash("sha256").update(der).digest("hex")));
}
