/** Browsers of a user that present no leaf by themselves, and why. Looks, and changes nothing. */
import type { UnservedBrowser } from "../findings.ts";

const NO_FILTER = "nothing tells it which certificate to present: it asks";

/** Places below a home that only these browsers make. */
const SIGNS: readonly UnservedBrowser[] = [
  {
    browser: "Firefox",
    location: "Library/Application Support/Firefox",
    reason: "it keeps certificates in profiles of its own, which are not written to",
  },
  { browser: "Vivaldi", location: "Library/Application Support/Vivaldi", reason: NO_FILTER },
  {
    browser: "Opera",
    location: "Library/Application Support/com.operasoftware.Opera",
    reason: NO_FILTER,
  },
];

/** Those that have left their signs in `home`. */
export function findUnservedBrowsers(
  home: string,
  isThere: (path: string) => boolean,
): UnservedBrowser[] {
  return SIGNS.map((sign) => ({ ...sign, location: `${home}/${sign.location}` }))
    .filter(({ location }) => isThere(location));
}
