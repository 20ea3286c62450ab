/** How Apple's `security` takes a line and a command apart, its quirks included. */

/** Bytes of its line buffer, the closing NUL among them, and words that it keeps. */
const BUFFER = 4096;
const WORDS = 32;

/**
 * The lines that `security -i` reads: what does not fit the buffer becomes the next line, and what
 * follows the last newline is never read.
 */
export function linesOf(input: string): string[] {
  const bytes = new TextEncoder().encode(input);
  const lines: string[] = [];
  let line: number[] = [];
  for (const byte of bytes) {
    const full = line.length === BUFFER - 1;
    if (full || byte === 0x0a) {
      lines.push(new TextDecoder().decode(Uint8Array.from(line)));
      line = full && byte !== 0x0a ? [byte] : [];
      // A newline right behind a full buffer is an empty line of its own.
      if (full && byte === 0x0a) lines.push("");
    } else line.push(byte);
  }
  return lines;
}

/** What isspace() of C holds for one. */
const SPACE = /[ \t\n\v\f\r]/;

/** The words of a line; those beyond the 32nd are dropped. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  let escaped = false;
  const end = () => {
    if (word !== undefined) words.push(word);
    word = undefined;
    quote = "";
  };
  for (const character of line) {
    if (word === undefined) {
      if (SPACE.test(character)) continue;
      if (words.length === WORDS) return words;
      word = "";
      if (character === '"' || character === "'") {
        quote = character;
        continue;
      }
    }
    if (escaped) {
      word += character;
      escaped = false;
    } else if (character === "\\") escaped = true;
    else if (quote === "" ? SPACE.test(character) : character === quote) end();
    else word += character;
  }
  end();
  return words;
}

/** Options and operands of a command. */
export interface ParsedWords {
  options: [letter: string, value: string][];
  operands: string[];
}

/**
 * BSD getopt: options end at the first word that is none. Undefined for an unknown letter or a
 * missing value.
 *
 * @param letters as getopt takes them; a colon means that the letter takes a value
 */
export function getopt(words: readonly string[], letters: string): ParsedWords | undefined {
  const options: ParsedWords["options"] = [];
  let index = 0;
  for (; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      index++;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    for (let at = 1; at < word.length; at++) {
      const letter = word[at] ?? "";
      const known = letters.indexOf(letter);
      if (known < 0 || letter === ":") return undefined;
      if (letters[known + 1] !== ":") {
        options.push([letter, ""]);
        continue;
      }
      const attached = word.slice(at + 1);
      const value = attached !== "" ? attached : words[++index];
      if (value === undefined) return undefined;
      options.push([letter, value]);
      break;
    }
  }
  return { options, operands: words.slice(index) };
}
