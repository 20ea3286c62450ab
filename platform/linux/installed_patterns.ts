/** The selection patterns that are in place, read back from our own policy file. */
import { policyFileName } from "../../ca/names.ts";
import { readRegularFile } from "../files.ts";
import { underRoot } from "../paths.ts";
import { isFilterFile } from "./filter_decision.ts";

/** Chrome's folder always has our file, where any has. */
const MANAGED = "/etc/opt/chrome/policies/managed";
const MAX_BYTES = 1024 * 1024;

/** The patterns, or none where there is no file of ours. */
export function installedPatterns(brand: string, root: string | undefined): string[] {
  const content = readRegularFile(
    underRoot(`${MANAGED}/${policyFileName(brand)}`, root),
    MAX_BYTES,
  );
  if (!content || !isFilterFile(content)) return [];
  const policy: Record<string, string[]> = JSON.parse(new TextDecoder().decode(content));
  return Object.values(policy).flat().map((entry) => String(JSON.parse(entry).pattern));
}
