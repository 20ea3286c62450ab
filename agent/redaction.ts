/** Keeps secrets out of what leaves the device. Pure. */

/** What stands where a secret was. */
const REMOVED = "[removed]";

/** Shorter ones would be found in innocent words. */
const SHORTEST = 4;

/**
 * The text without these secrets, without private keys, and without passwords in URLs. Whoever
 * writes the text leaves secrets out in the first place; this is for what others wrote.
 */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const longestFirst = secrets.filter((secret) => secret.length >= SHORTEST)
    .toSorted((one, other) => other.length - one.length);
  // Whole keys first: without a line of it, one would no longer be known for a key.
  const rest = text.replace(PRIVATE_KEY, REMOVED).replace(USER_INFO, `$1${REMOVED}@`);
  return longestFirst.reduce((rest, secret) => rest.replaceAll(secret, REMOVED), rest);
}

/** A URL without user name and password. */
export function withoutUserInfo(url: string): string {
  return url.replace(USER_INFO, `$1${REMOVED}@`);
}

/** User name and password in a URL, as they are and as they are written there. */
export function userInfo(url: string): string[] {
  const [, written = ""] = /:\/\/([^/?#]*)@/.exec(url) ?? [];
  const [, password = ""] = /^[^:]*:(.*)$/s.exec(written) ?? [];
  return [written, password].flatMap((text) => [text, decoded(text)])
    .filter((text) => text !== "");
}

/** Also one that was cut off, and one in JSON, where lines end in `\n`. */
const PRIVATE_KEY =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s\\]*-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]*)/g;

const USER_INFO = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/gi;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not written as URLs are; then it is what it is.
    return text;
  }
}
