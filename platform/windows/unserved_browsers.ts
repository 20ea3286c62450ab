/** Browsers of a user that present no leaf by themselves, and why. Pure; asks through a probe. */
import type { UnservedBrowser } from "../findings.ts";

/** A user's folders that programs keep their data in. */
export interface DataFolders {
  /** `%APPDATA%`. */
  roaming: string;
  /** `%LOCALAPPDATA%`. */
  local: string;
}

const OWN_DATABASE = "it keeps certificates in profiles of its own, which are not written to";
const NO_FILTER = "it uses Windows' certificates, but nothing tells it which to present: it asks";

const SIGNS = [
  { browser: "Firefox", below: "roaming", name: "Mozilla\\Firefox", reason: OWN_DATABASE },
  { browser: "Vivaldi", below: "local", name: "Vivaldi", reason: NO_FILTER },
  { browser: "Opera", below: "roaming", name: "Opera Software", reason: NO_FILTER },
] as const;

/** Those that have left their signs. */
export function findUnservedBrowsers(
  folders: DataFolders,
  isThere: (path: string) => boolean,
): UnservedBrowser[] {
  return SIGNS.map(({ browser, below, name, reason }) => {
    return { browser, location: `${folders[below]}\\${name}`, reason };
  }).filter(({ location }) => isThere(location));
}
