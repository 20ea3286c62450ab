/**
 * The heart: what to do so that the actual becomes the desired. Pure: no clock, no store, no
 * network. Level, not edge: whatever happened before, the answer depends on what is there now, and
 * asking again after doing it gives nothing to do. OFF is the empty desired state.
 */

/** A leaf that the agent server counts as live for this user on this device. */
export interface ListedLeaf {
  /** Lower-case hexadecimal. */
  serial: string;
  status: "current" | "overlap";
}

/** What one user's store shall hold. */
export interface DesiredStore {
  /** Live leaves by the agent server's word; empty before the first and when nothing is wanted. */
  leaves: readonly ListedLeaf[];
  /** SHA-256 of the certificates to hold beside the leaf; null when the user is to hold nothing. */
  anchors: { root: string; intermediate: string } | null;
  /** When the current leaf is to be renewed, server time in milliseconds; absent: not planned. */
  renewAt?: number;
}

/** A leaf of ours in the store. */
export interface ActualLeaf {
  sha256: string;
  serial: string;
  /** Which key it is for. */
  spkiSha256: string;
  /** Milliseconds since 1970. */
  notAfter: number;
  hasKey: boolean;
  /** SHA-256 of our authorities in the store that it hangs on: intermediate, then root. */
  chain: readonly string[];
}

/** What of ours, and which anchors of anybody's, one user's store holds. */
export interface ActualStore {
  leaves: readonly ActualLeaf[];
  /** SPKI hashes of keys in the ledger that are in the store. */
  keys: readonly string[];
  /** Authorities that we put there. */
  authorities: readonly { role: "root" | "intermediate"; sha256: string }[];
  /** SHA-256 of every certificate in the store, whoever put it there. */
  present: ReadonlySet<string>;
}

/** Server time. */
export interface ServerTime {
  /** Milliseconds since 1970. */
  now: number;
  /** Whether the agent server has told the time since boot; nothing is judged by date before. */
  known: boolean;
}

/** One step. Steps are done in order; when one fails, those behind it are not done. */
export type Action =
  /**
   * Ask for a leaf, with a key that is there already or with a new one, and prove the answer.
   * `signer`, SHA-256 of a live leaf: a renewal, signed by its key; without one the server knows
   * that the key of the last leaf was lost, or that there never was one.
   */
  | { do: "request-leaf"; key?: string; signer?: string }
  | { do: "install-authority"; role: "root" | "intermediate" }
  /** Install what was asked for. */
  | { do: "install-leaf" }
  | { do: "remove-leaf"; sha256: string }
  | { do: "remove-key"; spkiSha256: string }
  | { do: "remove-authority"; role: "root" | "intermediate"; sha256: string };

/** The steps from `actual` to `desired`: first what makes, then what breaks. */
export function reconcile(
  desired: DesiredStore,
  actual: ActualStore,
  time: ServerTime,
): Action[] {
  const listed = new Map(desired.leaves.map((leaf) => [leaf.serial, leaf.status]));
  const keeps = (leaf: ActualLeaf) =>
    desired.anchors !== null && listed.has(leaf.serial) && leaf.hasKey &&
    !(time.known && leaf.notAfter <= time.now);
  const kept = onePerSerial(actual.leaves.filter(keeps));
  const current = kept.find((leaf) => listed.get(leaf.serial) === "current");
  const due = time.known && desired.renewAt !== undefined && desired.renewAt <= time.now;

  const request = desired.anchors !== null && (!current || due);
  const signer = request ? current ?? kept[0] : undefined;
  // There are never more than two: but for its predecessor, else the longest-lived, all go before a
  // successor comes.
  const stays = signer ?? actual.leaves.toSorted((a, b) => b.notAfter - a.notAfter)[0];
  const outlived = request ? actual.leaves.filter((leaf) => leaf !== stays) : [];
  const leafKeys = new Set(actual.leaves.map((leaf) => leaf.spkiSha256));
  // A key without a leaf is a request whose answer was lost: the same key gets the same leaf.
  const pending = request ? actual.keys.find((key) => !leafKeys.has(key)) : undefined;

  const keptLeaves = new Set(kept.map((leaf) => leaf.sha256));
  const staying = kept.filter((leaf) => !outlived.includes(leaf));
  const keptKeys = new Set(staying.map((leaf) => leaf.spkiSha256));
  // Authorities of an earlier generation leave with their last leaf.
  const authorities = new Set([
    ...desired.anchors ? Object.values(desired.anchors) : [],
    ...staying.flatMap((leaf) => leaf.chain),
  ]);
  return [
    ...(request ? [requestLeaf(pending, signer)] : []),
    ...missingAuthorities(desired, actual),
    ...outlived.map(({ sha256 }) => ({ do: "remove-leaf" as const, sha256 })),
    ...(request ? [{ do: "install-leaf" as const }] : []),
    ...actual.leaves.filter((leaf) => !keptLeaves.has(leaf.sha256) && !outlived.includes(leaf))
      .map(({ sha256 }) => ({ do: "remove-leaf" as const, sha256 })),
    ...actual.keys.filter((key) => !keptKeys.has(key) && key !== pending)
      .map((spkiSha256) => ({ do: "remove-key" as const, spkiSha256 })),
    ...actual.authorities.filter(({ sha256 }) => !authorities.has(sha256))
      .map(({ role, sha256 }) => ({ do: "remove-authority" as const, role, sha256 })),
  ];
}

function requestLeaf(key: string | undefined, signer: ActualLeaf | undefined): Action {
  return {
    do: "request-leaf",
    ...(key === undefined ? {} : { key }),
    ...(signer === undefined ? {} : { signer: signer.sha256 }),
  };
}

function missingAuthorities(desired: DesiredStore, actual: ActualStore): Action[] {
  if (!desired.anchors) return [];
  const { root, intermediate } = desired.anchors;
  return [
    ...(actual.present.has(root) ? [] : [{ do: "install-authority", role: "root" } as const]),
    ...(actual.present.has(intermediate)
      ? []
      : [{ do: "install-authority", role: "intermediate" } as const]),
  ];
}

/** A serial twice in one store would be two objects for one promise: the longer-lived stays. */
function onePerSerial(leaves: readonly ActualLeaf[]): ActualLeaf[] {
  const best = new Map<string, ActualLeaf>();
  for (const leaf of leaves) {
    const other = best.get(leaf.serial);
    if (!other || leaf.notAfter > other.notAfter) best.set(leaf.serial, leaf);
  }
  return [...best.values()];
}
