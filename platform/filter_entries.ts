/** Entries of the policy that Chromium browsers take selection filters from, on every system. Pure. */
import { INTERMEDIATE_NAME } from "../ca/names.ts";
import type { DesiredFilters } from "./filters.ts";

/** The policy: a list of texts, each JSON. */
export const FILTER_POLICY = "AutoSelectCertificateForUrls";

/** One entry for each pattern. Chromium matches the leaf's own issuer, exactly. */
export function filterEntries(desired: DesiredFilters): string[] {
  return desired.patterns.map((pattern) =>
    JSON.stringify({ pattern, filter: { ISSUER: { CN: INTERMEDIATE_NAME } } })
  );
}

/** The pattern of an entry that filters for our issuer and says nothing else. */
export function ourPattern(entry: unknown): string | undefined {
  if (typeof entry !== "string") return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(entry);
  } catch {
    return undefined; // Chromium ignores such an entry
  }
  if (!isRecord(parsed) || typeof parsed.pattern !== "string") return undefined;
  const filter = JSON.stringify(parsed.filter);
  const ours = JSON.stringify({ ISSUER: { CN: INTERMEDIATE_NAME } });
  return Object.keys(parsed).length === 2 && filter === ours ? parsed.pattern : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
