/**
 * What to do about our entries in one browser's policies in the registry. Pure. Chromium takes the
 * texts of the values with a number for a name in the list's key, in no order that matters; a value
 * of the list's name beside that key, which holds the whole list as JSON, is hidden by the key.
 */
import { FILTER_POLICY, filterEntries, ourPattern } from "../filter_entries.ts";
import type { DesiredFilters, FilterState } from "../filters.ts";
import type { RegistryValue } from "./registry.ts";

/** What sets a browser's filters. */
export interface PolicyState {
  /** Values of the list's key; none where there is no such key. */
  list: readonly RegistryValue[];
  /** The list as one value, where there is one. */
  whole?: RegistryValue;
  /** Names of the keys of signed-on users that set the list, each with its values. */
  ofUsers: readonly { key: string; list: readonly RegistryValue[] }[];
  /** Whether a management service's policies come before those of this computer. */
  cloudComesFirst: boolean;
}

/** How a filter is, and what a person can do when it is not `ok`. */
export interface PolicyVerdict {
  state: FilterState;
  hint?: string;
}

/** What to do with values of the list's key. */
export interface PolicyChange {
  set: { name: string; text: string }[];
  remove: string[];
}

/** Our values' names begin here: other products, and Group Policy, count from 1. */
export const FIRST_NAME = 1000;

/** Names of the values that are ours: an entry for our issuer, where we put ours. */
export function ourValues(list: readonly RegistryValue[]): (RegistryValue & { text: string })[] {
  return list.flatMap(({ name, text }) => {
    const ours = /^[1-9]\d{3,8}$/.test(name) && ourPattern(text) !== undefined;
    return ours && text !== undefined ? [{ name, text }] : [];
  });
}

/** The change that makes our values what they shall be; others' are in neither of its lists. */
export function decidePolicy(policy: PolicyState, desired: DesiredFilters): PolicyChange {
  const wanted = hidesTheirs(policy) ? [] : [...new Set(filterEntries(desired))];
  const kept = new Map<string, string>();
  const remove: string[] = [];
  for (const { name, text } of ourValues(policy.list)) {
    if (wanted.includes(text) && !kept.has(text)) kept.set(text, name);
    else remove.push(name);
  }
  const taken = new Set(policy.list.map(({ name }) => name.toLowerCase()));
  let next = FIRST_NAME;
  const set = wanted.filter((text) => !kept.has(text)).map((text) => {
    while (taken.has(String(next))) next++;
    return { name: String(next++), text };
  });
  return { set, remove };
}

/** Says how a browser's filter is as its policies are now. */
export function judgePolicy(
  key: string,
  policy: PolicyState,
  desired: DesiredFilters,
): PolicyVerdict {
  const add = `add to it: ${
    filterEntries(desired).map((entry) => JSON.stringify(entry)).join(", ")
  }`;
  const holdsAll = (held: ReadonlySet<string | undefined>) =>
    desired.patterns.every((pattern) => held.has(pattern));
  if (hidesTheirs(policy)) {
    const [user] = policy.ofUsers;
    if (policy.whole && !user && holdsAll(patternsOfWhole(policy.whole))) return { state: "ok" };
    const theirs = user
      ? `${user.key} sets ${FILTER_POLICY} for one user`
      : `the value ${key} holds a list of its own`;
    const move = user ? `move that list to the key ${key}, and ` : "";
    return {
      state: "managed-elsewhere",
      hint: `${theirs}, which ours would hide, so ours is not written: ${move}${add}`,
    };
  }
  if (!holdsAll(patternsIn(policy.list))) {
    return { state: "missing", hint: `${key} has not all our entries` };
  }
  if (policy.cloudComesFirst) {
    return {
      state: "shadowed",
      hint: "CloudPolicyOverridesPlatformPolicy puts the policies of the browser's management " +
        `service before this computer's: if ${FILTER_POLICY} is set there, ${add}`,
    };
  }
  return { state: "ok" };
}

/**
 * Whether our entries would take somebody's list away. A list that already stands beside others in
 * the key does so without us.
 */
function hidesTheirs({ list, whole, ofUsers }: PolicyState): boolean {
  const ours = new Set(ourValues(list).map(({ name }) => name));
  const othersHideIt = list.some(({ name, text }) =>
    !ours.has(name) && text !== undefined && isNumber(name)
  );
  return !othersHideIt && (whole !== undefined || ofUsers.length > 0);
}

/** As Chromium's StringToInt has it. */
function isNumber(name: string): boolean {
  return /^[+-]?\d{1,10}$/.test(name) && Math.abs(Number(name)) < 2 ** 31;
}

/** The patterns that values of a list's key select us for. */
function patternsIn(list: readonly RegistryValue[]): Set<string | undefined> {
  return new Set(list.filter(({ name }) => isNumber(name)).map(({ text }) => ourPattern(text)));
}

function patternsOfWhole({ text }: RegistryValue): Set<string | undefined> {
  try {
    const list: unknown = JSON.parse(text ?? "");
    return new Set(Array.isArray(list) ? list.map(ourPattern) : []);
  } catch {
    return new Set(); // not JSON: it selects nothing
  }
}
