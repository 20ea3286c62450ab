/**
 * A configuration profile for organisations with an MDM, with keys that Apple documents and no
 * others: the filters as managed preferences, and the agent's jobs as managed background items. Pure.
 */
import { createHash } from "node:crypto";
import { FILTER_POLICY, filterEntries } from "../filter_entries.ts";
import type { DesiredFilters } from "../filters.ts";
import { CHROMIUM_BROWSERS } from "./chromium_filters.ts";
import { AGENT_LABEL, USER_AGENT_LABEL } from "./launchd_jobs.ts";
import { type PropertyList, writePropertyList } from "./property_list.ts";

/** Browsers that organisations manage this way. */
const BROWSERS = CHROMIUM_BROWSERS.filter(({ browser }) => browser !== "chromium");

/**
 * The profile as a file (`.mobileconfig`). Its identifiers follow from the brand alone, so that a
 * later one takes an earlier one's place.
 */
export function configurationProfile(desired: DesiredFilters): string {
  const identifier = `device-trust.${desired.brand.toLowerCase()}`;
  const entries = filterEntries(desired);
  const browsers = BROWSERS.map(({ browser, domain, application }) => {
    const settings = { mcx_preference_settings: { [FILTER_POLICY]: entries } };
    return payload(`${identifier}.${browser}`, {
      PayloadType: "com.apple.ManagedClient.preferences",
      PayloadDisplayName: `${application.replace(/\.app$/, "")}: device certificate`,
      PayloadContent: { [domain]: { Forced: [settings] } },
    });
  });
  const jobs = payload(`${identifier}.service`, {
    PayloadType: "com.apple.servicemanagement",
    PayloadDisplayName: "Device Trust agent and user-agent",
    Rules: [AGENT_LABEL, USER_AGENT_LABEL].map((label) => ({
      RuleType: "Label",
      RuleValue: label,
    })),
  });
  return writePropertyList(payload(identifier, {
    PayloadType: "Configuration",
    PayloadDisplayName: `${desired.brand} Device Trust`,
    PayloadDescription: "Lets browsers present this Mac's device certificate without asking, and " +
      "keeps the agent that renews it running.",
    PayloadScope: "System",
    PayloadContent: [...browsers, jobs],
  }));
}

function payload(identifier: string, content: { readonly [key: string]: PropertyList }) {
  return {
    ...content,
    PayloadIdentifier: identifier,
    PayloadUUID: nameUuid(identifier),
    PayloadVersion: 1,
  };
}

/** A name-based UUID (RFC 9562, version 8: by SHA-256), upper case as Apple writes them. */
function nameUuid(name: string): string {
  const bytes = createHash("sha256").update(`device-trust profile ${name}`).digest().subarray(
    0,
    16,
  );
  bytes[6] = (bytes[6] ?? 0) & 0x0f | 0x80;
  bytes[8] = (bytes[8] ?? 0) & 0x3f | 0x80;
  const hex = bytes.toString("hex").toUpperCase();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)]
    .join("-");
}
