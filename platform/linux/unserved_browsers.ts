/** Browsers of a user that present no leaf by themselves, and why. Pure; asks through a probe. */
import type { UnservedBrowser } from "../findings.ts";
import type { FolderProbe } from "./nss_directories.ts";

const OWN_DATABASE = "it keeps certificates in profiles of its own, which are not written to";
const NO_FILTER =
  "it shares the database, but nothing tells it which certificate to present: it asks";
const NO_POLICY =
  "its sandbox cannot see this system's policies: it asks which certificate to present";

/** Places below a home that only these browsers make. */
const SIGNS: readonly UnservedBrowser[] = [
  ...[
    ".config/mozilla/firefox",
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
  ].map((location) => ({ browser: "Firefox", location, reason: OWN_DATABASE })),
  { browser: "Vivaldi", location: ".config/vivaldi", reason: NO_FILTER },
  { browser: "Opera", location: ".config/opera", reason: NO_FILTER },
  ...["org.chromium.Chromium", "io.github.ungoogled_software.ungoogled_chromium"].map((id) => ({
    browser: `the flatpak ${id}`,
    location: `.var/app/${id}`,
    reason: NO_POLICY,
  })),
];

/** Those that have left their signs in `home`. */
export function findUnservedBrowsers(home: string, probe: FolderProbe): UnservedBrowser[] {
  return SIGNS.map((sign) => ({ ...sign, location: `${home}/${sign.location}` }))
    .filter(({ location }) => probe.isDirectory(location));
}
