/** Which operating system a request says it comes from. Pure. */
import type { RequestOs } from "./policy.ts";

/** Header fields that speak of the operating system. Anybody can send anything in them. */
export interface OsFields {
  /** `Sec-CH-UA-Platform`, a structured string, from Chromium browsers. */
  platform?: string;
  /** `User-Agent` (RFC 9110, 10.1.5). */
  userAgent?: string;
}

const PLATFORMS = new Map<string, RequestOs>([
  ["Android", "android"],
  ["Chrome OS", "chromeos"],
  ["Chromium OS", "chromeos"],
  ["iOS", "ios"],
  ["Linux", "linux"],
  ["macOS", "macos"],
  ["Windows", "windows"],
]);

/** Tested in order: Android's user agent names Linux too, the iPhone's Mac OS X. */
const USER_AGENTS: [RegExp, RequestOs][] = [
  [/\bAndroid\b/, "android"],
  [/\b(iPhone|iPad|iPod)\b/, "ios"],
  [/\bCrOS\b/, "chromeos"],
  [/\bWindows\b/, "windows"],
  [/\bMacintosh\b|\bMac OS X\b/, "macos"],
  [/\bLinux\b|\bX11\b/, "linux"],
];

/**
 * The operating system that a request's header fields name. A phone stays a phone when its fields
 * disagree ("desktop site"), because that one counts as unmanaged.
 */
export function requestOs({ platform, userAgent = "" }: OsFields): RequestOs {
  const hint = PLATFORMS.get(platform?.replace(/^"|"$/g, "") ?? "");
  const agent = USER_AGENTS.find(([pattern]) => pattern.test(userAgent))?.[1];
  if (agent === "android" || agent === "ios") return agent;
  return hint ?? agent ?? "other";
}
