/** The caller's own last report, as the user's ledger keeps it: `status` without root's rights. */
import { existsSync } from "node:fs";
import type { DevicePlatform } from "../platform/platform.ts";
import { userPaths } from "../platform/paths.ts";
import { Ledger } from "./ledger.ts";
import { LedgerSummary } from "./local_contract.ts";

/** The summary; undefined when this user never had anything of ours, or it cannot be read. */
export function ledgerSummary(
  platform: Pick<DevicePlatform, "os">,
  now: () => number,
): LedgerSummary | undefined {
  const home = Deno.env.get("HOME");
  if (!home) return undefined;
  const path = `${userPaths({ os: platform.os, home }).stateDir}/ledger.db`;
  if (!existsSync(path)) return undefined;
  const ledger = new Ledger(path, now);
  try {
    const summary = ledger.summary();
    return summary === undefined ? undefined : parseSummary(summary);
  } finally {
    ledger.close();
  }
}

function parseSummary(text: string): LedgerSummary | undefined {
  try {
    return LedgerSummary.safeParse(JSON.parse(text)).data;
  } catch {
    // The next run writes another.
    return undefined;
  }
}
