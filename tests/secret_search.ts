/** Looks for secrets in whatever a run leaves to be seen, in the forms in which they get out. */
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";

/** Something that may be in one place at most. */
export interface Secret {
  name: string;
  /** Each of these gives it away. */
  parts: readonly Uint8Array[];
}

/** A secret that people type or programs send: a token, a password. */
export function secretText(name: string, text: string): Secret {
  return { name, parts: [new TextEncoder().encode(text)] };
}

/**
 * The private key in a PEM text. Each of its private numbers gives it away, and they are in every form of it:
 * PKCS#8, SEC1, PKCS#1 and JWK.
 */
export function secretKey(name: string, pem: string): Secret {
  const [block = ""] = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [^-]+-----/.exec(pem) ?? [];
  const { d, p, q } = createPrivateKey(block).export({ format: "jwk" });
  const parts = [d, p, q].filter((number) => number !== undefined)
    .map((number) => Uint8Array.fromBase64(number, { alphabet: "base64url" }));
  return { name, parts };
}

/** Any private key at all, as text. */
export const ANY_KEY: Secret = {
  name: "a private key in PEM",
  parts: [new TextEncoder().encode("PRIVATE KEY-----")],
};

/** What was seen of a run: everything under the name of where it was. */
export class Evidence {
  readonly #seen = new Map<string, Uint8Array[]>();

  /** Notes what is to be seen at a place now. */
  add(place: string, content: Uint8Array | string): void {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const contents = this.#seen.get(place) ?? [];
    // What only grew since then shows all that was there then.
    const kept = contents.filter((earlier) => !startsWith(bytes, earlier));
    if (!kept.some((other) => startsWith(other, bytes))) kept.push(bytes);
    this.#seen.set(place, kept);
  }

  /** Every place that was looked at. */
  places(): string[] {
    return [...this.#seen.keys()];
  }

  /**
   * Where each secret was to be seen, and in which form: never the secret itself. A secret that was
   * nowhere has an empty list.
   */
  find(secrets: readonly Secret[]): Map<string, Sighting[]> {
    const wanted = secrets.map(({ name, parts }) => ({ name, needles: parts.flatMap(formsOf) }));
    const found = new Map(secrets.map(({ name }): [string, Sighting[]] => [name, []]));
    for (const [place, contents] of this.#seen) {
      const seenHere = new Set<string>();
      for (const bytes of contents) {
        const whole = latin1(bytes);
        const unbroken = whole.replace(BREAKS, "");
        for (const { name, needles } of wanted) {
          if (seenHere.has(name)) continue;
          const form = needles.find(({ needle, broken }) =>
            whole.includes(needle) || broken && unbroken.includes(needle)
          )?.form;
          if (form === undefined) continue;
          seenHere.add(name);
          found.get(name)?.push({ place, form });
        }
      }
    }
    return found;
  }
}

/** Where a secret was, and how. */
export interface Sighting {
  place: string;
  form: string;
}

interface Needle {
  form: string;
  /** A character each byte. */
  needle: string;
  /** Whether it may stand in lines. */
  broken: boolean;
}

function formsOf(part: Uint8Array): Needle[] {
  const hex = part.toHex();
  const pairs = hex.match(/../g) ?? [];
  const texts: [string, string[]][] = [
    ["hexadecimal", [hex, hex.toUpperCase(), pairs.join(":"), pairs.join(":").toUpperCase()]],
    ["base64", [0, 1, 2].flatMap((offset) => base64Forms(part, offset))],
    ["a list of numbers", [part.join(","), part.join(", ")]],
  ];
  return [
    { form: "raw", needle: latin1(part), broken: false },
    ...texts.flatMap(([form, forms]) => forms.map((needle) => ({ form, needle, broken: true }))),
  ];
}

/** What base64 of a longer text holds for sure when the bytes begin at `offset` modulo 3 of it. */
function base64Forms(bytes: Uint8Array, offset: number): string[] {
  const shifted = new Uint8Array(offset + bytes.length);
  shifted.set(bytes, offset);
  const first = Math.ceil(offset * 8 / 6);
  const last = Math.floor(shifted.length * 8 / 6);
  return (["base64", "base64url"] as const).map((alphabet) =>
    shifted.toBase64({ alphabet, omitPadding: true }).slice(first, last)
  );
}

/** White space, line ends as JSON, strace and shells write them, and JSON's indices of bytes. */
const BREAKS = /\\+[nrt]|\s+|\\*"\d+\\*":/g;

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length &&
    Buffer.compare(bytes.subarray(0, start.length), start) === 0;
}
