/**
 * What to do about our file in one managed-policy folder. Pure. Chromium reads every file of the
 * folder in the order of their names' bytes, and the last one that has a key wins it whole.
 */
import { policyFileName } from "../../ca/names.ts";
import { FILTER_POLICY, filterEntries, ourPattern } from "../filter_entries.ts";
import type { DesiredFilters, FilterState } from "../filters.ts";
import { parseChromiumJson } from "./chromium_json.ts";

/** Something in a policy folder, sub-directories left out. */
export interface FolderFile {
  name: string;
  /**
   * Its bytes; `not-a-file` for a FIFO and the like, which is no policy; `unknown` for what a
   * browser may read and we will not (too large, a link into somebody's home).
   */
  content: Uint8Array | "not-a-file" | "unknown";
  /** Whether every user may read it. */
  readable: boolean;
  /** Whether it is a symbolic link: browsers follow it, and it is never ours. */
  link: boolean;
}

/** How a filter is, and what a person can do when it is not `ok`. */
export interface FilterVerdict {
  state: FilterState;
  hint?: string;
  /** Name of the file that brings the filter, where it is `ok`. */
  by?: string;
}

/** What to do with our file, and how the filter will be afterwards. */
export interface FilterDecision extends FilterVerdict {
  action: "write" | "remove" | "leave";
}

/** The bytes of our file, as DESIGN section 8 has them. */
export function filterFile(desired: DesiredFilters): Uint8Array {
  const list = filterEntries(desired).map(quote).join(", ");
  return new TextEncoder().encode(`{"${KEY}": [${list}]}\n`);
}

/** Whether a file holds nothing but filters for our issuer: only such a file is ours to change. */
export function isFilterFile(content: Uint8Array): boolean {
  let policy: unknown;
  try {
    policy = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    return false; // nothing that we ever write
  }
  if (!isRecord(policy) || Object.keys(policy).join() !== KEY) return false;
  const entries = policy[KEY];
  return Array.isArray(entries) && entries.length > 0 &&
    entries.every((entry) => ourPattern(entry) !== undefined);
}

/**
 * Decides for one folder. Ours is written when nothing sorts before it that it would hide; a
 * foreign file is never changed, not even one that bears our name. The verdict is what will be
 * true after the action; where the file that wins already holds all our entries it is `ok`.
 */
export function decideFilter(
  folder: string,
  files: readonly FolderFile[],
  desired: DesiredFilters,
): FilterDecision {
  const name = policyFileName(desired.brand);
  const own = files.find((file) => file.name === name);
  const foreign = own !== undefined && !isOurs(own);
  const others = files.filter((file) => file !== own);
  const hidesTheirs = others.some((file) => setsFilters(file) && compareNames(file.name, name) < 0);
  const wanted = desired.patterns.length > 0;
  if (foreign) return { action: "leave", ...judgeFilter(folder, files, desired) };
  if (!wanted || hidesTheirs) {
    const action = own ? "remove" : "leave";
    return { action, ...judgeFilter(folder, others, desired) };
  }
  const ours = { name, content: filterFile(desired), readable: true, link: false };
  const action = own?.readable && isExactly(own, desired) ? "leave" : "write";
  return { action, ...judgeFilter(folder, [...others, ours], desired) };
}

/** Says how the filter of a folder is as its files are now. */
export function judgeFilter(
  folder: string,
  files: readonly FolderFile[],
  desired: DesiredFilters,
): FilterVerdict {
  const name = policyFileName(desired.brand);
  const own = files.find((file) => file.name === name);
  const foreign = own !== undefined && !isOurs(own);
  const setters = files.filter(setsFilters).sort((a, b) => compareNames(a.name, b.name));
  const rivals = setters.filter((file) => foreign || file !== own);
  const rival = rivals.at(-1);
  const hidesTheirs = rivals.some((file) => compareNames(file.name, name) < 0);
  const winner = setters.at(-1);

  if (!winner || !rival) {
    if (winner?.readable && isExactly(winner, desired)) return { state: "ok", by: winner.name };
    const why = foreign
      ? "bears our name but is not ours, so it was left alone: move it away"
      : "is not there, or not as it should be";
    return { state: "missing", hint: `${folder}/${name} ${why}` };
  }
  if (winner === rival && holdsAll(winner, desired)) return { state: "ok", by: winner.name };
  const sets = rival.content === "unknown" ? "cannot be read safely and may set" : "sets";
  const add = `add to its list: ${filterEntries(desired).map(quote).join(", ")}`;
  const say = (what: string) => `${folder}/${rival.name} ${sets} ${KEY}, ${what}: ${add}`;
  if (foreign) {
    return {
      state: "managed-elsewhere",
      hint: say(`and ${name} is not ours, so it was left alone`),
    };
  }
  return hidesTheirs
    ? { state: "managed-elsewhere", hint: say("and ours would hide it, so ours is not written") }
    : { state: "shadowed", hint: say("and hides ours") };
}

const KEY = FILTER_POLICY;

function quote(entry: string): string {
  return JSON.stringify(entry);
}

function isOurs(file: FolderFile): boolean {
  return !file.link && file.content instanceof Uint8Array && isFilterFile(file.content);
}

function setsFilters(file: FolderFile): boolean {
  if (file.content === "unknown") return true;
  return Object.hasOwn(readPolicy(file), KEY);
}

function isExactly(file: FolderFile, desired: DesiredFilters): boolean {
  const wanted = filterFile(desired);
  return file.content instanceof Uint8Array && file.content.length === wanted.length &&
    file.content.every((byte, at) => byte === wanted[at]);
}

/** Whether somebody else's file does for us what ours would do. */
function holdsAll(file: FolderFile, desired: DesiredFilters): boolean {
  const entries = readPolicy(file)[KEY];
  if (!file.readable || !Array.isArray(entries)) return false;
  const held = new Set(entries.map(ourPattern));
  return desired.patterns.length > 0 && desired.patterns.every((pattern) => held.has(pattern));
}

/** A file's policies; none where Chromium finds none. */
function readPolicy(file: FolderFile): Record<string, unknown> {
  if (!(file.content instanceof Uint8Array)) return {};
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(file.content);
    const policy = parseChromiumJson(text);
    return isRecord(policy) ? policy : {};
  } catch {
    return {}; // Chromium logs a warning and goes on to the next file
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** By UTF-8 bytes, as Chromium sorts paths; not by UTF-16 units. */
function compareNames(a: string, b: string): number {
  const [left, right] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  const shared = left.findIndex((byte, at) => byte !== right[at]);
  if (shared === -1) return left.length - right.length;
  return (left[shared] ?? 0) - (right[shared] ?? -1);
}
