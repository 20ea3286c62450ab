/** What helps to understand a device from afar, beside what the product itself knows. */
import type { SupportFacts } from "../findings.ts";
import { endsOfLogs } from "../log_ends.ts";
import type { SystemPaths } from "../paths.ts";
import { keyProvider } from "./key_provider.ts";
import type { KeyName, Registry } from "./registry.ts";
import { listPolicies } from "./selection_filters.ts";
import { readSystemInfo } from "./system_info.ts";

/** Gathers it; what is not there is left out. */
export function gatherSupportFacts(registry: Registry, paths: SystemPaths): SupportFacts {
  return {
    versions: [
      `system ${readSystemInfo(registry).osVersion}`,
      `kernel ${Deno.osRelease()} ${Deno.build.arch}`,
      `keys ${keyProvider().name}`,
      ...browserVersions(registry),
    ],
    policies: listPolicies(registry),
    log: endsOfLogs(paths.logDir).join("\n"),
  };
}

/** Where each browser's updater notes what is installed (`BLBeacon`). */
const BROWSERS = [
  ["chrome", "Google\\Chrome"],
  ["edge", "Microsoft\\Edge"],
  ["brave", "BraveSoftware\\Brave-Browser"],
  ["chromium", "Chromium"],
] as const;

function browserVersions(registry: Registry): string[] {
  return BROWSERS.flatMap(([browser, vendor]) => {
    const key: KeyName = `HKEY_CURRENT_USER\\Software\\${vendor}\\BLBeacon`;
    const version = registry.value(key, "version")?.text;
    return version === undefined ? [] : [`browser ${browser} ${version}`];
  });
}
