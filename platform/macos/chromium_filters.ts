/**
 * Filters of Chromium browsers in the user's own preferences, through `defaults`, which has them
 * from the preferences' own service: files are never edited. Browsers take them for recommended
 * policies, and this one as well as a mandatory one.
 */
import { statSync } from "node:fs";
import { Problem, toProblem } from "../errors.ts";
import { FILTER_POLICY } from "../filter_entries.ts";
import type { DesiredFilters, FilterRemoval, FilterReport, UserFilterLedger } from "../filters.ts";
import type { RunCommand } from "../command.ts";
import {
  decideFilter,
  filterList,
  type FilterPlaces,
  hasOurs,
  judgeFilter,
} from "./filter_decision.ts";
import { type ReadPropertyList, readPropertyList } from "./property_list.ts";
import { type Argv, MACOS, systemEnvironment } from "./system_commands.ts";

/** What filters of a user's browsers depend on. */
export interface UserPreferences {
  run: RunCommand;
  /** The user's home folder, absolute, and name. */
  home: string;
  username: string;
  /** Prefix of every path of the system, for tests. */
  root?: string;
}

/** A Chromium browser. */
export interface ChromiumBrowser {
  browser: "chrome" | "chromium" | "edge" | "brave";
  /** Domain of its preferences; its bundle's identifier. */
  domain: string;
  /** File name of its bundle. */
  application: string;
}

/** Those that are told which certificate to present. */
export const CHROMIUM_BROWSERS: readonly ChromiumBrowser[] = [
  { browser: "chrome", domain: "com.google.Chrome", application: "Google Chrome.app" },
  { browser: "chromium", domain: "org.chromium.Chromium", application: "Chromium.app" },
  { browser: "edge", domain: "com.microsoft.Edge", application: "Microsoft Edge.app" },
  { browser: "brave", domain: "com.brave.Browser", application: "Brave Browser.app" },
];

/** {@link UserFilters.write}: Chrome's always, for it may be installed at any moment. */
export async function writeChromiumFilters(
  desired: DesiredFilters,
  preferences: UserPreferences,
  ledger: UserFilterLedger,
): Promise<FilterReport[]> {
  const reports: FilterReport[] = [];
  for (const one of CHROMIUM_BROWSERS) {
    if (one.browser !== "chrome" && !isInstalled(one, preferences)) continue;
    const report = { browser: one.browser, location: locationOf(one, preferences) };
    try {
      await change(one, desired, preferences, ledger);
      reports.push({ ...report, ...judgeFilter(await look(one, preferences), desired) });
    } catch (error) {
      reports.push({ ...report, state: "missing", hint: toProblem(error).message });
    }
  }
  return reports;
}

/** {@link UserFilters.remove}: from every browser's, also of one that is not there any more. */
export async function removeChromiumFilters(
  preferences: UserPreferences,
  ledger: UserFilterLedger,
): Promise<Pick<FilterRemoval, "removed" | "left">> {
  const removal: Pick<FilterRemoval, "removed" | "left"> = { removed: [], left: [] };
  for (const one of CHROMIUM_BROWSERS) {
    const location = locationOf(one, preferences);
    const leave = (hint: string, mayGo: boolean) =>
      removal.left.push({ browser: one.browser, location, hint, mayGo });
    try {
      const before = await look(one, preferences);
      if (hasOurs(before.user)) {
        await change(one, { brand: "", patterns: [] }, preferences, ledger);
        if (hasOurs((await look(one, preferences)).user)) {
          leave(`${FILTER_POLICY} of ${one.domain} also holds what is no text: tidy it`, false);
          continue;
        }
        removal.removed.push(location);
      }
      ledger.forget(placeOf(one));
    } catch (error) {
      leave(toProblem(error).message, true);
    }
  }
  return removal;
}

/** The lists that the browser may take its filters from. @throws Problem */
export async function look(
  { domain }: Pick<ChromiumBrowser, "domain">,
  preferences: UserPreferences,
): Promise<FilterPlaces> {
  const root = preferences.root ?? "";
  const user = filterList(await readPreferences(domain, preferences));
  const forced = await firstList(preferences, [
    `${root}/Library/Managed Preferences/${preferences.username}/${domain}.plist`,
    `${root}/Library/Managed Preferences/${domain}.plist`,
  ]);
  const everybody = await firstList(preferences, [`${root}/Library/Preferences/${domain}.plist`]);
  return {
    ...(user ? { user } : {}),
    ...(forced ? { forced } : {}),
    ...(everybody ? { everybody } : {}),
  };
}

async function change(
  one: ChromiumBrowser,
  desired: DesiredFilters,
  preferences: UserPreferences,
  ledger: UserFilterLedger,
): Promise<void> {
  const { domain } = one;
  const decided = decideFilter(await look(one, preferences), desired);
  if (decided.do === "nothing") return;
  ledger.record(placeOf(one));
  switch (decided.do) {
    case "add":
      for (const entry of decided.entries) {
        await run(MACOS.addToPolicy(domain, FILTER_POLICY, entry), preferences);
      }
      return;
    case "set":
      return void await run(MACOS.setPolicy(domain, FILTER_POLICY, decided.entries), preferences);
    case "delete":
      return void await run(MACOS.deletePolicy(domain, FILTER_POLICY), preferences);
  }
}

/** A domain without preferences has none; `defaults` calls that a failure. */
async function readPreferences(
  domain: string,
  { run, home }: UserPreferences,
): Promise<ReadPropertyList> {
  const { code, stdoutTail, stderrTail } = await run({
    argv: MACOS.preferences(domain),
    ...bounds(home),
  });
  if (code === 0) return readPropertyList(stdoutTail);
  if (/does not exist/.test(stderrTail)) return {};
  throw failed(MACOS.preferences(domain), code, stderrTail);
}

/** The list of the first of these files that has one. */
async function firstList(preferences: UserPreferences, files: readonly string[]) {
  for (const file of files) {
    if (!isFile(file)) continue;
    const entries = filterList(
      readPropertyList(await run(MACOS.preferencesIn(file), preferences)),
    );
    if (entries) return { entries, file };
  }
  return undefined;
}

async function run(argv: Argv, { run, home }: UserPreferences): Promise<string> {
  const { code, stdoutTail, stderrTail } = await run({ argv, ...bounds(home) });
  if (code === 0) return stdoutTail;
  throw failed(argv, code, stderrTail);
}

function bounds(home: string) {
  return { env: systemEnvironment(home), timeoutMs: 20_000, keptBytes: 8 * 1024 * 1024 };
}

function failed([program, ...args]: Argv, code: number, stderr: string): Problem {
  const reason = stderr.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
  return new Problem(
    "internal",
    `'${program} ${args[0]} ${args[1]}' ended with ${code}${reason === "" ? "" : ` (${reason})`}`,
  );
}

function locationOf({ domain }: ChromiumBrowser, { home }: UserPreferences): string {
  return `${home}/Library/Preferences/${domain}.plist`;
}

function placeOf({ domain }: ChromiumBrowser): string {
  return `preferences ${domain}`;
}

/** Whether the browser is there. */
export function isInstalled(
  { application }: Pick<ChromiumBrowser, "application">,
  { home, root = "" }: Pick<UserPreferences, "home" | "root">,
): boolean {
  return [`${root}/Applications`, `${home}/Applications`]
    .some((folder) =>
      statSync(`${folder}/${application}`, { throwIfNoEntry: false }) !== undefined
    );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
