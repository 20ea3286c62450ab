/** JSON as Chromium reads it in policy files: with comments, trailing commas, raw line breaks. */

/**
 * Parses what Chromium 156 was seen to accept: JSON with comments of both kinds, a comma before a
 * closing bracket, raw line breaks in strings and the escape `\xHH`. Throws `SyntaxError` for
 * anything else. Linear in the text.
 */
export function parseChromiumJson(text: string): unknown {
  const withoutComments = rewrite(text, COMMENTED, (token) => {
    if (token.startsWith('"')) return strictString(token);
    return token.startsWith("/") ? " " : token;
  });
  return JSON.parse(
    rewrite(withoutComments, COMMAS, (token, trailing) => trailing ? "" : token),
  );
}

const STRING = String.raw`"[^"\\]*(?:\\[^][^"\\]*)*"`;
const COMMENTED = new RegExp(String.raw`${STRING}|//[^\n]*|/\*[^]*?\*/|[^"/]+`, "y");
const COMMAS = new RegExp(String.raw`${STRING}|(,)(?=\s*[\]}])|,|[^",]+`, "y");

/** Replaces token by token; text that is no token is an error at once, so nothing backtracks. */
function rewrite(
  text: string,
  pattern: RegExp,
  replace: (token: string, group?: string) => string,
): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new SyntaxError(`Unexpected text at position ${at}`);
    parts.push(replace(match[0], match[1]));
  }
  return parts.join("");
}

/** A string token as JSON proper knows it. */
function strictString(token: string): string {
  return token.replace(/\\(?:x([0-9a-fA-F]{2})|[^])|[\r\n]/g, (part, hex) => {
    if (hex) return `\\u00${hex}`;
    if (part.startsWith("\\")) return part;
    return part === "\n" ? "\\n" : "\\r";
  });
}
