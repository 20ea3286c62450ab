/**
 * Selection filters of Chromium browsers on Linux: one file in each managed-policy folder
 * (DESIGN section 8). What to do is decided in filter_decision.ts; this is the edge. Everything is
 * under `root` where one is given, and nothing is written below a directory that anybody but root
 * (or, without root rights, we ourselves) could change.
 */
import fs from "node:fs";
import { dirname, join } from "node:path";
import { toProblem } from "../errors.ts";
import {
  checkRootOwnedDir,
  ensureRootOwnedDir,
  isReadOnly,
  removeFileIfOurs,
  removeLeftovers,
  UnsafePath,
  writeFileAtomic,
} from "../files.ts";
import { hasRoom } from "../room.ts";
import type { DesiredFilters, FilterLedger, FilterRemoval, FilterReport } from "../filters.ts";
import { decideFilter, filterFile, isFilterFile, judgeFilter } from "./filter_decision.ts";
import {
  look,
  MAX_POLICY_BYTES,
  type PolicyFolder,
  policyFolders,
  readFolder,
  wantedFolders,
} from "./policy_folders.ts";

/** What writing depends on. */
export interface FilterWorld extends FilterLedger {
  /** `--root`, absolute. */
  root?: string;
}

/**
 * Brings every installed browser's filter to the desired state and reads it back; one folder's
 * failure stops no other and is reported as `missing` with its hint. A file that is right already
 * is not touched. No patterns: {@link removeFilters}, of which only what was left is reported.
 */
export function writeFilters(desired: DesiredFilters, world: FilterWorld): FilterReport[] {
  if (desired.patterns.length === 0) {
    const { left } = removeFilters(desired.brand, world);
    return left.map(({ mayGo: _, ...item }) => ({ ...item, state: "managed-elsewhere" }));
  }
  return wantedFolders(desired.brand, world.root).map((folder) =>
    reported(folder, () => {
      reconcileFolder(folder, desired, world);
      return inspectFolder(folder, desired);
    })
  );
}

/** What is in place now, changing nothing: the same reports as {@link writeFilters} gives. */
export function inspectFilters(
  desired: DesiredFilters,
  world: Pick<FilterWorld, "root">,
): FilterReport[] {
  if (desired.patterns.length === 0) return [];
  return wantedFolders(desired.brand, world.root).map((folder) =>
    reported(folder, () => inspectFolder(folder, desired))
  );
}

/**
 * Makes browsers read the filters that are in place once more, and gives the reports as they are
 * then. A Chromium takes some seconds from its start to watch its policy folder, and hears nothing
 * of a file that came meanwhile until it changes again.
 */
export function touchFilters(
  desired: DesiredFilters,
  world: Pick<FilterWorld, "root">,
): FilterReport[] {
  const now = new Date();
  // In a folder of root's own, or inspection would have said so.
  for (const { location, state } of inspectFilters(desired, world)) {
    if (state === "ok" && look(location)?.isFile()) fs.utimesSync(location, now, now);
  }
  return inspectFilters(desired, world);
}

/** Removes our filters of this brand from every policy folder, and directories that we made. */
export function removeFilters(brand: string, world: FilterWorld): FilterRemoval {
  const removal: FilterRemoval = { removed: [], removedDirectories: [], left: [] };
  const folders = policyFolders(brand, world.root);
  for (const { browser, managed, location, root } of folders) {
    const leave = (hint: string, mayGo: boolean) =>
      removal.left.push({ browser, location, hint, mayGo });
    try {
      if (!checkRootOwnedDir(managed, root)) continue;
      removeLeftovers(dirname(managed));
      const outcome = removeFileIfOurs(location, isFilterFile, MAX_POLICY_BYTES);
      if (outcome === "removed") removal.removed.push(location);
      if (outcome === "foreign") leave(`${location} is not ours, so it was left alone`, false);
    } catch (error) {
      leave(toProblem(error).message, !(error instanceof UnsafePath));
    }
  }
  // The longest first: a directory comes after what is in it.
  for (const path of world.createdDirectories.toSorted((a, b) => b.length - a.length)) {
    try {
      if (removeEmptyDirectory(path, world.root)) removal.removedDirectories.push(path);
    } catch (error) {
      const browser = folders.find(({ managed }) => managed.startsWith(path))?.browser ?? "chrome";
      const hint = toProblem(error).message;
      removal.left.push({ browser, location: path, hint, mayGo: false });
    }
  }
  return removal;
}

/** A failure of one folder is that folder's report. */
function reported(folder: PolicyFolder, work: () => FilterReport): FilterReport {
  try {
    return work();
  } catch (error) {
    const { browser, location } = folder;
    return { browser, location, state: "missing", hint: toProblem(error).message };
  }
}

function reconcileFolder(folder: PolicyFolder, desired: DesiredFilters, world: FilterWorld): void {
  const { managed, location, root } = folder;
  const { action } = decideFilter(managed, readFolder(folder), desired);
  if (action === "remove") removeFileIfOurs(location, isFilterFile, MAX_POLICY_BYTES);
  if (action !== "write") return;
  ensureRootOwnedDir(managed, { mode: 0o755, root, recordCreated: world.recordCreated });
  // Browsers watch `managed`: what is half written, or left by a crash, must not be in it.
  const tempDir = dirname(managed);
  removeLeftovers(tempDir);
  writeFileAtomic(location, filterFile(desired), { mode: 0o644, tempDir });
}

function inspectFolder(folder: PolicyFolder, desired: DesiredFilters): FilterReport {
  const { browser, managed, location } = folder;
  const { state, hint, by } = judgeFilter(managed, readFolder(folder), desired);
  const writtenAt = by === undefined ? undefined : changedAt(join(managed, by));
  const why = state === "missing" ? [hint, obstacle(managed)].filter(Boolean).join("; ") : hint;
  return { browser, location, state, hint: why, writtenAt };
}

/** What keeps a file from being written there, as far as a look tells. */
function obstacle(folder: string): string | undefined {
  if (!look(folder) && folder !== "/") return obstacle(dirname(folder));
  if (isReadOnly(folder)) return `${folder} is read-only: mount it read-write`;
  return hasRoom(folder) ? undefined : `no room is left for ${folder}: free some space`;
}

/** Deno gives change times in whole seconds, rounded down; a filter must not look older than it is. */
function changedAt(path: string): number {
  const { ctimeMs } = fs.statSync(path);
  return ctimeMs % 1000 === 0 ? ctimeMs + 1000 : ctimeMs;
}

/** Whether the directory is gone now: we made it, and leave it as soon as others use it. */
function removeEmptyDirectory(path: string, root: string | undefined): boolean {
  if (checkRootOwnedDir(path, root)) {
    if (fs.readdirSync(path).length > 0) return false;
    fs.rmdirSync(path);
  }
  return look(path) === undefined;
}
