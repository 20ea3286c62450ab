/**
 * Selection filters in the user's own settings, where a system has them there (macOS), around the
 * work on the store: what goes by issuer before a leaf comes, what names the leaf once it is in, and
 * nothing of either once it is gone.
 */
import type { FilterReport, UserFilterLedger, UserFilters } from "../platform/filters.ts";
import { LIMITS } from "./contract.ts";
import type { Ledger } from "./ledger.ts";
import { selectionDigest, type UserAgentReport, type UserSlice } from "./local_contract.ts";

/** Longest hint that is reported: the entries to add, most of the time all of them. */
const HINT_LENGTH = 4000;

/** Filters that were written before the work on the store. */
export interface WrittenFilters {
  reports: FilterReport[];
  /** When the newest of them was written, local milliseconds; undefined without any. */
  writtenAt: number | undefined;
}

/** Writes what goes by issuer; undefined where there is nothing of that kind to write. */
export async function writeUserFilters(
  filters: UserFilters | undefined,
  slice: UserSlice,
  ledger: Ledger,
): Promise<WrittenFilters | undefined> {
  if (!filters || !slice.wanted || !slice.selection) return undefined;
  const reports = await filters.write(desiredOf(slice), filterLedger(ledger));
  return { reports, writtenAt: ledger.filterWrittenAt() };
}

/** Settles the rest once the store is as `report` says, and adds what there is to say of it. */
export async function settleUserFilters(
  filters: UserFilters | undefined,
  slice: UserSlice,
  ledger: Ledger,
  report: UserAgentReport,
  written: WrittenFilters | undefined,
): Promise<UserAgentReport> {
  if (filters && !slice.wanted && !report.error) {
    return await removeUserFilters(filters, ledger, report);
  }
  if (!filters || !written || !slice.selection) return report;
  const leaves = ledger.certificates().filter(({ role }) => role === "leaf");
  const current = leaves.find(({ serial }) => serial === report.serial);
  const ours = leaves.map(({ sha256 }) => sha256);
  const preferred = current
    ? await filters.prefer(desiredOf(slice), current.sha256, ours, filterLedger(ledger))
    : [];
  return {
    ...report,
    filters: [...written.reports, ...preferred].map(({ browser, location, state, hint }) => ({
      browser,
      location,
      state,
      ...(hint === undefined ? {} : { hint: hint.slice(0, HINT_LENGTH) }),
    })),
    selection: selectionDigest(slice.selection),
  };
}

async function removeUserFilters(
  filters: UserFilters,
  ledger: Ledger,
  report: UserAgentReport,
): Promise<UserAgentReport> {
  const { removed, left } = await filters.remove(filterLedger(ledger));
  for (const place of removed) ledger.recordEvent("filter.removed", place);
  const items = removed.map((id) => ({ kind: "filter" as const, id }));
  const stays = left.find(({ mayGo }) => mayGo);
  const message = stays && `The filter ${stays.location} is left: ${stays.hint}.`;
  return {
    ...report,
    removed: [...report.removed, ...items].slice(-LIMITS.removedItems),
    ...(message === undefined
      ? {}
      : { state: "removing", error: { code: "internal", message: message.slice(0, 2000) } }),
  };
}

function desiredOf({ brand, selection }: UserSlice) {
  return { brand, patterns: selection?.patterns ?? [] };
}

function filterLedger(ledger: Ledger): UserFilterLedger {
  return {
    places: () => ledger.filters(),
    record: (place) => ledger.recordFilter(place),
    forget: (place) => ledger.forgetFilter(place),
  };
}
