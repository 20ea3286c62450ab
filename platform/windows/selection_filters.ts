/**
 * Selection filters of Chromium browsers on Windows: values of a list in each browser's policies in
 * the registry, beside other products' (DESIGN section 8). What to do is decided in
 * policy_decision.ts; this is the edge.
 */
import { toProblem } from "../errors.ts";
import { FILTER_POLICY, ourPattern } from "../filter_entries.ts";
import type { DesiredFilters, FilterLedger, FilterRemoval, FilterReport } from "../filters.ts";
import { decidePolicy, judgePolicy, ourValues, type PolicyState } from "./policy_decision.ts";
import type { KeyName, Registry } from "./registry.ts";
import { toStoreProblem, WindowsError } from "./windows_errors.ts";

/** What filters depend on. */
export interface FilterWorld {
  registry: Registry;
  /** Has browsers that run read their policies again; without it they do within 15 minutes. */
  announce: () => void;
}

/**
 * Brings every browser's filter to the desired state and reads it back; one browser's failure stops
 * no other and is reported as `missing` with its hint. What is right already is not written. No
 * patterns: {@link removeFilters}, of which only what was left is reported.
 */
export function writeFilters(
  desired: DesiredFilters,
  ledger: FilterLedger,
  world: FilterWorld,
): FilterReport[] {
  if (desired.patterns.length === 0) {
    const { left } = removeFilters(ledger, world);
    return left.map(({ mayGo: _, ...item }) => ({ ...item, state: "managed-elsewhere" }));
  }
  let changed = false;
  const reports = wantedPolicies(world.registry).map((policy) =>
    reported(policy, () => {
      changed = reconcilePolicy(policy, desired, ledger, world.registry) || changed;
      return inspectPolicy(policy, desired, world.registry);
    })
  );
  if (changed) world.announce();
  return reports;
}

/** What is in place now, changing nothing: the same reports as {@link writeFilters} gives. */
export function inspectFilters(
  desired: DesiredFilters,
  { registry }: Pick<FilterWorld, "registry">,
): FilterReport[] {
  if (desired.patterns.length === 0) return [];
  return wantedPolicies(registry).map((policy) =>
    reported(policy, () => inspectPolicy(policy, desired, registry))
  );
}

/** Makes browsers read the filters that are in place once more. */
export function touchFilters(desired: DesiredFilters, world: FilterWorld): FilterReport[] {
  world.announce();
  return inspectFilters(desired, world);
}

/** Removes our values from every browser's list, and keys that we made. */
export function removeFilters(
  { createdDirectories }: Pick<FilterLedger, "createdDirectories">,
  world: FilterWorld,
): FilterRemoval {
  const { registry, announce } = world;
  const removal: FilterRemoval = { removed: [], removedDirectories: [], left: [] };
  for (const { browser, list } of POLICIES) {
    try {
      const ours = ourValues(registry.read(list)?.values ?? []);
      for (const { name } of ours) registry.remove(list, name);
      if (ourValues(registry.read(list)?.values ?? []).length > 0) throw new StillThere(list);
      if (ours.length > 0) removal.removed.push(list);
    } catch (error) {
      removal.left.push({ browser, location: list, hint: wordsOf(error, list), mayGo: true });
    }
  }
  for (const key of ledgerKeys(createdDirectories)) {
    try {
      if (removeEmptyKey(key, registry)) removal.removedDirectories.push(key);
    } catch (error) {
      const browser = POLICIES.find(({ list }) => list.startsWith(key))?.browser ?? "chrome";
      removal.left.push({ browser, location: key, hint: wordsOf(error, key), mayGo: false });
    }
  }
  if (removal.removed.length > 0) announce();
  return removal;
}

/** The patterns of Chrome's filter that are in place. */
export function installedPatterns(registry: Registry): string[] {
  const chrome = POLICIES.find(({ browser }) => browser === "chrome");
  const values = chrome && registry.read(chrome.list)?.values;
  return ourValues(values ?? []).flatMap(({ text }) => ourPattern(text) ?? []);
}

/** What sets the policy for each browser, as text for a support bundle; others' entries are theirs. */
export function listPolicies(registry: Registry): { path: string; filters?: string }[] {
  return POLICIES.flatMap(({ list }) => {
    const values = registry.read(list)?.values;
    if (!values) return [];
    const ours = ourValues(values);
    const filters = ours.map(({ name, text }) => `${name}=${text}\n`).join("");
    return [{ path: list, ...(ours.length === values.length ? { filters } : {}) }];
  });
}

/** A browser's policies. */
interface BrowserPolicy {
  browser: string;
  /** Below `SOFTWARE\Policies`. */
  vendor: string;
  /** Keys that show that it is installed, below a hive; none: it is always served. */
  signs: string[];
  list: KeyName;
}

const POLICIES: readonly BrowserPolicy[] = [
  ["chrome", "Google\\Chrome"] as const,
  // It comes with Windows.
  ["edge", "Microsoft\\Edge"] as const,
  ["brave", "BraveSoftware\\Brave", "SOFTWARE\\BraveSoftware\\Brave-Browser"] as const,
  ["chromium", "Chromium", "SOFTWARE\\Chromium"] as const,
].map(([browser, vendor, ...signs]) => ({
  browser,
  vendor,
  signs: signs.length === 0 ? [] : [...signs, `SOFTWARE\\Policies\\${vendor}`],
  list: `HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\${vendor}\\${FILTER_POLICY}`,
}));

/** Chrome's always, for it may be installed at any moment; another's when the browser is there. */
function wantedPolicies(registry: Registry): BrowserPolicy[] {
  const hives: KeyName[] = ["HKEY_LOCAL_MACHINE", ...userHives(registry)];
  return POLICIES.filter(({ signs }) =>
    signs.length === 0 ||
    hives.some((hive) => signs.some((sign) => readable(registry, `${hive}\\${sign}`) !== undefined))
  );
}

/** A failure of one browser's is that browser's report. */
function reported(
  { browser, list }: BrowserPolicy,
  work: () => FilterReport,
): FilterReport {
  try {
    return work();
  } catch (error) {
    return { browser, location: list, state: "missing", hint: wordsOf(error, list) };
  }
}

/** Whether anything was changed. */
function reconcilePolicy(
  { vendor, list }: BrowserPolicy,
  desired: DesiredFilters,
  ledger: FilterLedger,
  registry: Registry,
): boolean {
  const { set, remove } = decidePolicy(readPolicy(vendor, list, registry), desired);
  if (set.length > 0) makeKey(list, ledger, registry);
  for (const { name, text } of set) registry.set(list, name, text);
  for (const name of remove) registry.remove(list, name);
  // An empty list hides others' as a full one does.
  if (ledgerKeys(ledger.createdDirectories).includes(list)) removeEmptyKey(list, registry);
  return set.length + remove.length > 0;
}

function inspectPolicy(
  { browser, vendor, list }: BrowserPolicy,
  desired: DesiredFilters,
  registry: Registry,
): FilterReport {
  const { state, hint } = judgePolicy(list, readPolicy(vendor, list, registry), desired);
  const writtenAt = state === "ok" ? registry.read(list)?.changedAt : undefined;
  return { browser, location: list, state, hint, writtenAt };
}

function readPolicy(vendor: string, list: KeyName, registry: Registry): PolicyState {
  const own = registry.read(`HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\${vendor}`);
  const ofUsers = userHives(registry).flatMap((hive) => {
    const policies: KeyName = `${hive}\\SOFTWARE\\Policies\\${vendor}`;
    const key = `${policies}\\${FILTER_POLICY}` as const;
    const found = readable(registry, key) ?? wholeOf(readable(registry, policies));
    return found ? [{ key, list: "values" in found ? found.values : [found] }] : [];
  });
  const whole = wholeOf(own);
  return {
    list: registry.read(list)?.values ?? [],
    ...(whole ? { whole } : {}),
    ofUsers,
    cloudComesFirst:
      own?.values.some(({ name, number }) =>
        name.toLowerCase() === "cloudpolicyoverridesplatformpolicy" && number === 1
      ) ?? false,
  };
}

function wholeOf(key: ReturnType<Registry["read"]>) {
  return key?.values.find(({ name }) => name.toLowerCase() === FILTER_POLICY.toLowerCase());
}

/** The hives of people who are signed on now; an ordinary account sees its own alone. */
function userHives(registry: Registry): KeyName[] {
  const names = registry.read("HKEY_USERS")?.subkeys ?? [];
  return names.filter((name) => /^S-1-(5-21|12-1)-[\d-]+$/.test(name))
    .map((name): KeyName => `HKEY_USERS\\${name}`);
}

/** A key that this account may not read tells this account nothing. */
function readable(registry: Registry, key: KeyName) {
  try {
    return registry.read(key);
  } catch (error) {
    if (error instanceof WindowsError) return undefined;
    throw error;
  }
}

/** Makes a key and its missing parents, each recorded before it is made. */
function makeKey(key: KeyName, { recordCreated }: FilterLedger, registry: Registry): void {
  if (registry.read(key)) return;
  const parent = parentOf(key);
  if (parent) makeKey(parent, { recordCreated, createdDirectories: [] }, registry);
  recordCreated(key);
  registry.create(key);
}

/** Whether the key is gone now: we made it, and leave it as soon as others use it. */
function removeEmptyKey(key: KeyName, registry: Registry): boolean {
  const found = registry.read(key);
  if (found && found.values.length + found.subkeys.length > 0) return false;
  registry.removeKey(key);
  return registry.read(key) === undefined;
}

/** Keys that the ledger tells of, the longest first: a key comes after what is in it. */
function ledgerKeys(created: readonly string[]): KeyName[] {
  return created.filter(isOfMachine).sort((a, b) => b.length - a.length);
}

function parentOf(key: KeyName): KeyName | undefined {
  const parent = key.slice(0, key.lastIndexOf("\\"));
  return isOfMachine(parent) ? parent : undefined;
}

function isOfMachine(path: string): path is KeyName {
  return path.startsWith("HKEY_LOCAL_MACHINE\\");
}

class StillThere extends Error {
  constructor(list: string) {
    super(`${list} was cleaned, and our values are there again`);
  }
}

function wordsOf(error: unknown, key: string): string {
  return toProblem(toStoreProblem(error, key)).message;
}
