/**
 * What to do about a Chromium browser's list of filters in a user's own preferences. Pure. The
 * browser takes the list whole from the first place that has one: what an MDM forces, then what the
 * user has, then what the Mac has for everybody.
 */
import { FILTER_POLICY, filterEntries, ourPattern } from "../filter_entries.ts";
import type { DesiredFilters, FilterState } from "../filters.ts";
import { memberOf, type ReadPropertyList } from "./property_list.ts";

/** Where a list is that a browser may take. */
export interface FilterPlaces {
  /** What the user has; undefined where there is no list. */
  user?: readonly ReadPropertyList[];
  /** What an MDM forces, and the file that says so. */
  forced?: { entries: readonly ReadPropertyList[]; file: string };
  /** What everybody on this Mac has, and the file that says so. */
  everybody?: { entries: readonly ReadPropertyList[]; file: string };
}

/** What to do to the user's list. */
export type FilterChange =
  | { do: "nothing" }
  /** These texts are missing in it, and nothing is to go. */
  | { do: "add"; entries: string[] }
  | { do: "set"; entries: string[] }
  | { do: "delete" };

/** The list in preferences; undefined where there is none, or something else under its name. */
export function filterList(preferences: ReadPropertyList): ReadPropertyList[] | undefined {
  const list = memberOf(preferences, FILTER_POLICY);
  return Array.isArray(list) ? list : undefined;
}

/**
 * Decides for one browser. Others' entries stay as they are and where they are; a list of others
 * that ours would hide keeps us from having one. No patterns: ours go.
 */
export function decideFilter(places: FilterPlaces, desired: DesiredFilters): FilterChange {
  const { user = [] } = places;
  const wanted = hidesOthers(places) ? [] : filterEntries(desired);
  const kept = user.filter((entry) => ourPattern(entry) === undefined || isOneOf(entry, wanted));
  const missing = wanted.filter((entry) => !user.includes(entry));
  const texts = kept.filter((entry) => typeof entry === "string");
  // A list that somebody put something else into cannot be written whole: ours of before stay then.
  if (kept.length === user.length || texts.length < kept.length) {
    return missing.length === 0 ? { do: "nothing" } : { do: "add", entries: missing };
  }
  const entries = [...texts, ...missing];
  return entries.length === 0 ? { do: "delete" } : { do: "set", entries };
}

/** How a browser's filter is as the lists are now, and what a person can do. */
export function judgeFilter(
  places: FilterPlaces,
  desired: DesiredFilters,
): { state: FilterState; hint?: string } {
  const { user, forced, everybody } = places;
  const add = `add to its ${FILTER_POLICY}: ${
    filterEntries(desired).map((entry) => JSON.stringify(entry)).join(", ")
  }`;
  if (forced) {
    return holdsAll(forced.entries, desired) ? { state: "ok" } : {
      state: "shadowed",
      hint: `this browser is managed by MDM (${forced.file}), which hides ours: ${add}`,
    };
  }
  if (everybody && hidesOthers(places)) {
    return holdsAll(everybody.entries, desired) ? { state: "ok" } : {
      state: "managed-elsewhere",
      hint: `${everybody.file} sets it for everybody, and ours would hide that: ${add}`,
    };
  }
  if (user && holdsAll(user, desired)) return { state: "ok" };
  return { state: "missing", hint: "it is not there, or not as it should be" };
}

/** Entries of ours in a list. */
export function hasOurs(list: readonly ReadPropertyList[] | undefined): boolean {
  return list?.some((entry) => ourPattern(entry) !== undefined) ?? false;
}

/** Whether a list of ours would hide one of others that the browser takes now. */
function hidesOthers({ user = [], everybody }: FilterPlaces): boolean {
  const isOurs = (entry: ReadPropertyList) => ourPattern(entry) !== undefined;
  return everybody !== undefined && !everybody.entries.every(isOurs) && user.every(isOurs);
}

function holdsAll(list: readonly ReadPropertyList[], { patterns }: DesiredFilters): boolean {
  const held = new Set(list.map(ourPattern));
  return patterns.every((pattern) => held.has(pattern));
}

function isOneOf(entry: ReadPropertyList, entries: readonly string[]): boolean {
  return typeof entry === "string" && entries.includes(entry);
}
