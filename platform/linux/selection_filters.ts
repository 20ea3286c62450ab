/** Selection filters of Chromium browsers on Linux: a file in each managed-policy folder. */

/** Names as in DESIGN section 7. */
export type FilterState = "ok" | "shadowed" | "missing" | "managed-elsewhere";

/** One policy folder's filter, read back. */
export interface FilterReport {
  /** `chrome`, `chromium`, `edge` or `brave`. */
  browser: string;
  /** The policy file, absolute. */
  location: string;
  state: FilterState;
  /** What a person can do about any other state than `ok`, with the exact lines to add. */
  hint?: string;
  /** When the file that brings the filter was last written, ms since the epoch, where it is `ok`. */
  writtenAt?: number;
}

/** What the filters shall be; no patterns means none. */
export interface DesiredFilters {
  brand: string;
  patterns: readonly string[];
}

/** What writing depends on. */
export interface FilterWorld {
  /** `--root`, absolute. */
  root?: string;
  /** Called before a directory is made; when it throws, it is not made. */
  recordCreated: (path: string) => void;
  /** Directories that we made, by the ledger: they go when empty. */
  createdDirectories: readonly string[];
}

/** What {@link removeFilters} did, read back. */
export interface FilterRemoval {
  /** Our files that were there and are gone. */
  removed: string[];
  /** Directories of the ledger that are gone now; the ledger may forget them. */
  removedDirectories: string[];
  /** Files with our name that are not ours or could not be removed, and why. */
  left: { location: string; hint: string }[];
}

/** Brings every installed browser's filter to the desired state; one failure stops no other. */
export function writeFilters(_desired: DesiredFilters, _world: FilterWorld): FilterReport[] {
  throw new Error("signature only");
}

/** Removes our filters of this brand from every policy folder, and directories that we made. */
export function removeFilters(_brand: string, _world: FilterWorld): FilterRemoval {
  throw new Error("signature only");
}

/** What {@link writeFilters} would report, changing nothing. */
export function inspectFilters(
  _desired: DesiredFilters,
  _world: Pick<FilterWorld, "root">,
): FilterReport[] {
  throw new Error("signature only");
}
