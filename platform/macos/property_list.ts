/**
 * Property lists in XML (plist(5)), as `defaults`, `dscl` and `plutil` print them and as launchd and
 * configuration profiles are written. Pure.
 */
import { Problem } from "../errors.ts";

/** What is written. Numbers are whole. */
export type PropertyList =
  | string
  | number
  | boolean
  | readonly PropertyList[]
  | { readonly [key: string]: PropertyList };

/** What is read: others' lists also hold dates, and data in base64, which stay texts in a wrapper. */
export type ReadPropertyList =
  | string
  | number
  | boolean
  | OtherValue
  | ReadPropertyList[]
  | { [key: string]: ReadPropertyList };

/** A date or data, which nothing here looks into. */
export class OtherValue {
  constructor(readonly kind: "date" | "data", readonly text: string) {}
}

/** Deeper than any that is read here. */
const MAX_DEPTH = 100;

/** A list as the text of a file. */
export function writePropertyList(list: PropertyList): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${written(list, "")}
</plist>
`;
}

/** The list in a text. @throws Problem `internal` for what is no property list in XML */
export function readPropertyList(xml: string): ReadPropertyList {
  const reader = new Reader(xml);
  const open = reader.next();
  const list = open?.name === "plist" && !open.closes ? reader.value(reader.next(), 0) : undefined;
  if (list === undefined || reader.next()?.name !== "plist") throw malformed();
  return list;
}

/** A member of a dictionary; undefined when the list is none, or has no such member. */
export function memberOf(list: ReadPropertyList, key: string): ReadPropertyList | undefined {
  const isDictionary = typeof list === "object" && !Array.isArray(list) &&
    !(list instanceof OtherValue);
  return isDictionary && Object.hasOwn(list, key) ? list[key] : undefined;
}

function written(list: PropertyList, indent: string): string {
  const inner = `${indent}  `;
  if (typeof list === "string") return `${indent}<string>${escaped(list)}</string>`;
  if (typeof list === "number") return `${indent}<integer>${list}</integer>`;
  if (typeof list === "boolean") return `${indent}<${list}/>`;
  if (isArray(list)) {
    if (list.length === 0) return `${indent}<array/>`;
    const items = list.map((item) => written(item, inner));
    return `${indent}<array>\n${items.join("\n")}\n${indent}</array>`;
  }
  const members = Object.entries(list).map(([key, value]) =>
    `${inner}<key>${escaped(key)}</key>\n${written(value, inner)}`
  );
  return `${indent}<dict>\n${members.join("\n")}\n${indent}</dict>`;
}

function isArray(list: PropertyList): list is readonly PropertyList[] {
  return Array.isArray(list);
}

function escaped(text: string): string {
  // deno-lint-ignore no-control-regex -- exactly these no XML can hold
  if (/[\x00-\x08\x0b\x0c\x0e-\x1f]/.test(text)) {
    throw new Problem("internal", "A text with a control character cannot be in a property list.");
  }
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

interface Tag {
  name: string;
  /** `</name>` */
  closes: boolean;
  /** `<name/>` */
  empty: boolean;
}

class Reader {
  readonly #xml: string;
  #at = 0;

  constructor(xml: string) {
    this.#xml = xml.replaceAll(/<\?[^]*?\?>|<!--[^]*?-->|<!DOCTYPE[^>]*>/g, "");
  }

  /** The next tag; only space may be before it. */
  next(): Tag | undefined {
    const tag = /\s*<(\/?)([a-z]+)(?:\s[^<>]*?)?(\/?)>/y;
    tag.lastIndex = this.#at;
    const found = tag.exec(this.#xml);
    if (!found) return undefined;
    this.#at = tag.lastIndex;
    const [, slash, name = "", end] = found;
    return { name, closes: slash === "/", empty: end === "/" };
  }

  value(tag: Tag | undefined, depth: number): ReadPropertyList {
    if (!tag || tag.closes || depth > MAX_DEPTH) throw malformed();
    switch (tag.name) {
      case "true":
      case "false":
        if (!tag.empty) this.#close(tag.name);
        return tag.name === "true";
      case "array":
        return tag.empty ? [] : this.#array(depth);
      case "dict":
        return tag.empty ? {} : this.#dictionary(depth);
      case "string":
        return this.#text(tag);
      case "integer":
      case "real":
        return Number(this.#text(tag));
      case "date":
      case "data":
        return new OtherValue(tag.name, this.#text(tag).replaceAll(/\s/g, ""));
      default:
        throw malformed();
    }
  }

  #array(depth: number): ReadPropertyList[] {
    const items: ReadPropertyList[] = [];
    for (let tag = this.next();; tag = this.next()) {
      if (tag?.name === "array" && tag.closes) return items;
      items.push(this.value(tag, depth + 1));
    }
  }

  #dictionary(depth: number): { [key: string]: ReadPropertyList } {
    const members: [string, ReadPropertyList][] = [];
    for (let tag = this.next();; tag = this.next()) {
      if (tag?.name === "dict" && tag.closes) return Object.fromEntries(members);
      if (tag?.name !== "key" || tag.closes) throw malformed();
      members.push([this.#text(tag), this.value(this.next(), depth + 1)]);
    }
  }

  #text({ name, empty }: Tag): string {
    if (empty) return "";
    const end = this.#xml.indexOf("<", this.#at);
    const text = this.#xml.slice(this.#at, end);
    if (end < 0) throw malformed();
    this.#at = end;
    this.#close(name);
    return text.replaceAll(/&(#x?)?([0-9A-Za-z]+);/g, (entity, number, value) => {
      if (number !== undefined) {
        const code = parseInt(value, number === "#x" ? 16 : 10);
        if (Number.isNaN(code) || code > 0x10ffff) throw malformed();
        return String.fromCodePoint(code);
      }
      return ENTITIES[value] ?? entity;
    });
  }

  #close(name: string): void {
    const tag = this.next();
    if (tag?.name !== name || !tag.closes) throw malformed();
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function malformed(): Problem {
  return new Problem("internal", "macOS printed something that is no property list.");
}
