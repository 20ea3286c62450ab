/**
 * DER (X.690, section 10) read strictly and written, and its PEM armour (RFC 7468). Every byte
 * that a stranger sends as a certificate or a request is read here: one encoding for each value,
 * nothing left over, nothing indefinite. Imports nothing, so every folder may import it, and it
 * costs a short-lived process next to nothing to load.
 */

/** Bytes that are not the one DER encoding of what was expected. The message says where. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/** Identifier octets that certificates, requests and revocation lists use. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Identifier octet of a context-specific element, `[number]`. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

/** One element: its identifier octet, its content, and both as they stood. Views, not copies. */
export interface DerElement {
  tag: number;
  content: Uint8Array;
  raw: Uint8Array;
}

/** Reads elements one after the other. Every method throws {@link DerError}. */
export class DerReader {
  #offset = 0;

  /** @param what names these bytes in error messages. */
  constructor(readonly bytes: Uint8Array, readonly what: string) {}

  /** Whether every byte was read. */
  get done(): boolean {
    return this.#offset === this.bytes.length;
  }

  /** The next element, which must have this identifier octet where one is given. */
  read(tag?: number): DerElement {
    const start = this.#offset;
    const found = this.#byte();
    if (tag !== undefined && found !== tag) {
      throw new DerError(`${this.what}: expected tag ${hexOctet(tag)}, found ${hexOctet(found)}`);
    }
    if ((found & 0x1f) === 0x1f) throw new DerError(`${this.what}: a tag of several octets`);
    const length = this.#length();
    const from = this.#offset;
    if (length > this.bytes.length - from) {
      throw new DerError(`${this.what}: cut off, ${length} octets announced`);
    }
    this.#offset += length;
    return {
      tag: found,
      content: this.bytes.subarray(from, this.#offset),
      raw: this.bytes.subarray(start, this.#offset),
    };
  }

  /** Identifier octet of the next element; undefined at the end. */
  get next(): number | undefined {
    return this.bytes[this.#offset];
  }

  /** The next element if it has this identifier octet. */
  optional(tag: number): DerElement | undefined {
    return this.next === tag ? this.read(tag) : undefined;
  }

  /** A reader of the next element's content. */
  enter(tag: number, what = this.what): DerReader {
    return new DerReader(this.read(tag).content, what);
  }

  /** Refuses bytes that nobody read. */
  end(): void {
    if (!this.done) {
      throw new DerError(`${this.what}: ${this.bytes.length - this.#offset} octets too many`);
    }
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(): string {
    return oidText(this.read(TAG.oid).content, this.what);
  }

  /** A BOOLEAN, 00 or ff (X.690, 11.1). */
  boolean(): boolean {
    const { content } = this.read(TAG.boolean);
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) {
      throw new DerError(`${this.what}: a BOOLEAN that is neither 00 nor ff`);
    }
    return content[0] === 0xff;
  }

  /** An INTEGER's shortest two's complement octets (X.690, 8.3.2). */
  integer(): Uint8Array {
    const { content } = this.read(TAG.integer);
    const [first, second] = content;
    const padded = second !== undefined &&
      ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    if (first === undefined || padded) {
      throw new DerError(`${this.what}: an INTEGER that is empty or longer than needed`);
    }
    return content;
  }

  /** An INTEGER from 0 to 2^31 - 1. */
  smallInteger(): number {
    const content = this.integer();
    const value = content.reduce((sum, octet) => sum * 256 + octet, 0);
    if (content.length > 4 || (content[0] ?? 0) >= 0x80) {
      throw new DerError(`${this.what}: an INTEGER outside 0 to 2147483647`);
    }
    return value;
  }

  /** A BIT STRING of whole octets. */
  bitString(): Uint8Array {
    const { content } = this.read(TAG.bitString);
    if (content[0] !== 0) throw new DerError(`${this.what}: a BIT STRING of broken octets`);
    return content.subarray(1);
  }

  /** A `Time` of RFC 5280 (4.1.2.5): UTCTime to 2049, GeneralizedTime from 2050, in seconds, Z. */
  time(): Date {
    const { tag, content } = this.read();
    const text = latin1(content);
    const utc = tag === TAG.utcTime && /^\d{12}Z$/.test(text);
    if (!utc && !(tag === TAG.generalizedTime && /^\d{14}Z$/.test(text))) {
      throw new DerError(`${this.what}: not a UTCTime or GeneralizedTime in whole seconds`);
    }
    const full = utc ? (Number(text.slice(0, 2)) < 50 ? "20" : "19") + text : text;
    const iso = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
    const date = new Date(iso);
    if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) {
      throw new DerError(`${this.what}: '${text}' is no date`);
    }
    if (!utc && date.getUTCFullYear() < 2050) {
      throw new DerError(`${this.what}: '${text}' should be a UTCTime`);
    }
    return date;
  }

  #byte(): number {
    const octet = this.bytes[this.#offset++];
    if (octet === undefined) throw new DerError(`${this.what}: ends too early`);
    return octet;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 3) {
      throw new DerError(`${this.what}: a length that is indefinite or over 16 MiB`);
    }
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new DerError(`${this.what}: a length that is longer than needed`);
    }
    return length;
  }
}

/** One element from its parts, in order. */
export function der(tag: number, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  // The count of octets that a long length takes; none for a short one (X.690, 8.1.3).
  const long = length < 0x80 ? 0 : Math.ceil((32 - Math.clz32(length)) / 8);
  const element = new Uint8Array(2 + long + length);
  element[0] = tag;
  element[1] = long === 0 ? length : 0x80 | long;
  for (let i = 0; i < long; i++) element[2 + i] = length >>> (8 * (long - 1 - i));
  let offset = 2 + long;
  for (const part of parts) {
    element.set(part, offset);
    offset += part.length;
  }
  return element;
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function derOid(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f));
    return groups;
  });
  return der(TAG.oid, Uint8Array.from(octets));
}

/** A non-negative INTEGER from its octets, the highest first; leading zeros are allowed. */
export function derUnsigned(octets: Uint8Array): Uint8Array<ArrayBuffer> {
  let start = 0;
  while (start < octets.length - 1 && octets[start] === 0) start++;
  const shortest = octets.subarray(start);
  const pad = shortest.length === 0 || (shortest[0] ?? 0) >= 0x80 ? [0] : [];
  return der(TAG.integer, Uint8Array.from(pad), shortest);
}

/** A BIT STRING of whole octets. */
export function derBitString(octets: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(TAG.bitString, Uint8Array.of(0), octets);
}

/** A `Time` of RFC 5280 (4.1.2.5); fractions of a second are cut off. Years 1950 to 9999. */
export function derTime(date: Date): Uint8Array<ArrayBuffer> {
  const digits = date.toISOString().replace(/\.\d+Z$/, "Z").replace(/[-:T]/g, "");
  const year = date.getUTCFullYear();
  if (year < 1950 || year > 9999) throw new DerError(`year ${year} is outside 1950 to 9999`);
  if (year < 2050) return der(TAG.utcTime, octetsOf(digits.slice(2)));
  return der(TAG.generalizedTime, octetsOf(digits));
}

/** A name (RFC 5280, 4.1.2.4) that is one common name. */
export function derCommonName(commonName: string): Uint8Array<ArrayBuffer> {
  const attribute = der(TAG.sequence, derOid("2.5.4.3"), der(TAG.utf8String, octetsOf(commonName)));
  return der(TAG.sequence, der(TAG.set, attribute));
}

/** The octets of a text in UTF-8. */
export function octetsOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Lower-case hexadecimal. */
export function hex(octets: Uint8Array): string {
  let digits = "";
  for (const octet of octets) digits += hexOctet(octet);
  return digits;
}

/** The octets of an even number of hexadecimal digits. Throws {@link DerError} for others. */
export function unhex(text: string): Uint8Array<ArrayBuffer> {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new DerError("not an even number of hex digits");
  const octets = new Uint8Array(text.length / 2);
  for (let i = 0; i < octets.length; i++) octets[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return octets;
}

/** Whether two byte strings are the same. Not for secrets: takes no care of timing. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i]);
}

/** Byte strings one after the other. */
export function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** DER as PEM (RFC 7468), lines of 64, ending in a newline. */
export function toPem(label: string, octets: Uint8Array): string {
  let binary = "";
  for (const octet of octets) binary += String.fromCharCode(octet);
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/**
 * The DER in a PEM text that holds exactly one block of this label and, around it, only white
 * space. `maxChars` bounds the text. Throws {@link DerError}.
 */
export function fromPem(label: string, text: string, maxChars: number): Uint8Array<ArrayBuffer> {
  if (text.length > maxChars) throw new DerError(`PEM of more than ${maxChars} characters`);
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const armoured = text.trim();
  if (!armoured.startsWith(begin) || !armoured.endsWith(end)) {
    throw new DerError(`not one PEM block '${label}'`);
  }
  const base64 = armoured.slice(begin.length, -end.length).replace(/[\r\n\t ]/g, "");
  const wellFormed = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) && base64.length % 4 === 0;
  const binary = wellFormed ? atob(base64) : "";
  // Written again it must be the same: no stray bits in the last character.
  if (binary === "" || btoa(binary) !== base64) {
    throw new DerError(`PEM block '${label}' is not base64`);
  }
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

function oidText(content: Uint8Array, what: string): string {
  const arcs: number[] = [];
  let arc = 0;
  let fresh = true;
  for (const octet of content) {
    if (fresh && octet === 0x80) throw new DerError(`${what}: an OID arc longer than needed`);
    arc = arc * 128 + (octet & 0x7f);
    if (arc > 0xffffffff) throw new DerError(`${what}: an OID arc over 32 bits`);
    fresh = octet < 0x80;
    if (fresh) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [head, ...rest] = arcs;
  if (head === undefined || !fresh) throw new DerError(`${what}: an OID that is cut off`);
  const first = Math.min(2, Math.floor(head / 40));
  return [first, head - first * 40, ...rest].join(".");
}

function latin1(octets: Uint8Array): string {
  return String.fromCharCode(...octets.subarray(0, 32)) + (octets.length > 32 ? "…" : "");
}

function hexOctet(octet: number): string {
  return octet.toString(16).padStart(2, "0");
}
