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
