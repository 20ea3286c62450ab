/** Selection filters as every platform has them: what they shall be, how they are, what was removed. */

/** Names as in DESIGN section 7. */
export type FilterState = "ok" | "shadowed" | "missing" | "managed-elsewhere";

/** What the filters shall be; no patterns means none. */
export interface DesiredFilters {
  brand: string;
  patterns: readonly string[];
}

/** One policy folder's filter, read back. */
export interface FilterReport {
  /** `chrome`, `chromium`, `edge` or `brave`. */
  browser: string;
  /** Our policy file, absolute. */
  location: string;
  state: FilterState;
  /** What a person can do about any other state than `ok`, with the exact lines to add. */
  hint?: string;
  /**
   * When the file that brings the filter came to be as it is, ms since the epoch, where the state
   * is `ok`: its change time, which a rename moves, so never before a browser could read it, and
   * at most a second after.
   */
  writtenAt?: number;
}

/** What is known, and kept, of what was made for filters. */
export interface FilterLedger {
  /** Called before a directory is made; when it throws, it is not made. */
  recordCreated: (path: string) => void;
  /** Directories that we made, by the ledger: they go when empty. */
  createdDirectories: readonly string[];
}

/** Something with our name, or of ours, that removing left. */
export interface FilterLeft {
  browser: string;
  location: string;
  hint: string;
  /** Ours, most likely: a later try may remove it. */
  mayGo: boolean;
}

/** What removing did, read back. */
export interface FilterRemoval {
  /** Our files that were there and are gone. */
  removed: string[];
  /** Directories of the ledger that are gone now; the ledger may forget them. */
  removedDirectories: string[];
  /** Files with our name that are not ours or could not be removed, and why. */
  left: FilterLeft[];
}

/** What is known, and kept, of filters in one user's own settings. */
export interface UserFilterLedger {
  /** Where filters of ours are, or were about to be; places are named by whoever records them. */
  places: () => readonly string[];
  /** Called before a filter is written; when it throws, it is not written. */
  record: (place: string) => void;
  /** Called when nothing of ours is there any more. */
  forget: (place: string) => void;
}

/**
 * Selection filters in a user's own settings, for a system where that is where browsers look: the
 * user-agent writes them. One browser's failure stops no other and is its report.
 */
export interface UserFilters {
  /** Brings to the desired state what tells browsers by issuer; comes before a leaf. */
  write(desired: DesiredFilters, ledger: UserFilterLedger): Promise<FilterReport[]>;
  /**
   * Brings to the desired state what names the leaf itself, which is in the store.
   *
   * @param leaf SHA-256 of the current leaf, lower-case hexadecimal
   * @param ours of every leaf that was ours, too: a choice of another one is the user's own
   */
  prefer(
    desired: DesiredFilters,
    leaf: string,
    ours: readonly string[],
    ledger: UserFilterLedger,
  ): Promise<FilterReport[]>;
  /** Removes all of it, whatever the brand, read back; to be repeated while some is left. */
  remove(ledger: UserFilterLedger): Promise<Pick<FilterRemoval, "removed" | "left">>;
}
