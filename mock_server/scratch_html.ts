/** Reads the HTML that pages are made of, strictly, for tests: what is not well-formed throws. */

/** An element; its text is unescaped. */
export interface HtmlElement {
  name: string;
  attributes: Map<string, string>;
  children: (HtmlElement | string)[];
}

const VOID = ["meta", "link", "input", "br", "hr", "img"];

const TAG = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z:.-]+(?:="[^"<]*")?)*)\s*(\/?)>/y;

/** The root element of a document. Throws where a tag is malformed, unclosed or closed twice. */
export function parseHtml(html: string): HtmlElement {
  const document: HtmlElement = { name: "", attributes: new Map(), children: [] };
  const open = [document];
  let at = /^<!DOCTYPE html>/.exec(html)?.[0].length ?? NaN;
  if (Number.isNaN(at)) throw new Error(`No doctype: ${html.slice(0, 80)}`);
  while (at < html.length) {
    const within = open.at(-1) ?? document;
    const next = html.indexOf(within.name === "style" ? "</style" : "<", at);
    if (next !== at) {
      within.children.push(unescape(html.slice(at, next === -1 ? undefined : next)));
      if (next === -1) break;
    }
    TAG.lastIndex = next;
    const [tag, closing, name = "", attributes = "", closed] = TAG.exec(html) ?? [];
    if (tag === undefined) throw new Error(`Not a tag: ${html.slice(next, next + 80)}`);
    at = next + tag.length;
    if (closing) {
      if (within.name !== name) throw new Error(`<${within.name}> is closed by </${name}>`);
      open.pop();
      continue;
    }
    const element: HtmlElement = { name, attributes: attributesOf(attributes), children: [] };
    within.children.push(element);
    if (!VOID.includes(name) && !closed) open.push(element);
  }
  const [root] = document.children;
  if (open.length > 1 || typeof root !== "object" || document.children.length !== 1) {
    throw new Error(`Not one whole document; open: ${open.map(({ name }) => name)}`);
  }
  return root;
}

function attributesOf(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name = "", value = ""] of text.matchAll(/([a-zA-Z:.-]+)(?:="([^"]*)")?/g)) {
    if (attributes.has(name)) throw new Error(`Attribute ${name} stands twice in '${text}'`);
    attributes.set(name, unescape(value));
  }
  return attributes;
}

function unescape(text: string): string {
  const entities = new Map([["lt", "<"], ["gt", ">"], ["quot", '"'], ["#39", "'"], ["amp", "&"]]);
  return text.replace(/&([#\w]+);/g, (whole, name) => entities.get(name) ?? whole);
}

/** Every element below `element`, itself too, in order. */
export function* elementsIn(element: HtmlElement): Generator<HtmlElement> {
  yield element;
  for (const child of element.children) {
    if (typeof child === "object") yield* elementsIn(child);
  }
}

/** Elements of these names, in order. */
export function elements(root: HtmlElement, ...names: string[]): HtmlElement[] {
  return [...elementsIn(root)].filter(({ name }) => names.includes(name));
}

/** The element of this id. */
export function byId(root: HtmlElement, id: string): HtmlElement | undefined {
  return [...elementsIn(root)].find(({ attributes }) => attributes.get("id") === id);
}

/** What somebody reads in an element. */
export function textOf(element: HtmlElement | undefined): string {
  if (!element) return "";
  return element.children.map((child) => typeof child === "string" ? child : ` ${textOf(child)} `)
    .join("").replace(/\s+/g, " ").replace(/ ([.,:;?)])/g, "$1").trim();
}

/** What a form would send as it stands, without a button's own value. */
export function fieldsOf(form: HtmlElement): URLSearchParams {
  const fields = new URLSearchParams();
  for (const field of elements(form, "input", "select", "textarea")) {
    const { attributes } = field;
    const name = attributes.get("name");
    if (name === undefined) continue;
    const type = attributes.get("type");
    if ((type === "radio" || type === "checkbox") && !attributes.has("checked")) continue;
    if (field.name === "textarea") fields.append(name, rawText(field).replace(/^\n/, ""));
    else if (field.name === "select") fields.append(name, chosen(field));
    else fields.append(name, attributes.get("value") ?? "");
  }
  return fields;
}

function chosen(select: HtmlElement): string {
  const options = elements(select, "option");
  const option = options.find(({ attributes }) => attributes.has("selected")) ?? options[0];
  return option?.attributes.get("value") ?? "";
}

function rawText({ children }: HtmlElement): string {
  return children.filter((child) => typeof child === "string").join("");
}

/** What is wrong with a page for somebody who does not see it, or who only has a keyboard. */
export function barriers(root: HtmlElement): string[] {
  const all = [...elementsIn(root)];
  const ids = all.flatMap(({ attributes }) => attributes.get("id") ?? []);
  const known = new Set(ids);
  const labelled = new Set(
    elements(root, "label").flatMap((label) => [
      label.attributes.get("for") ?? "",
      ...elements(label, "input").map((input) => `${input.attributes.get("name")}`),
    ]),
  );
  return [
    ...ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `id ${id} stands twice`),
    ...(root.attributes.get("lang") ? [] : ["no language"]),
    ...(elements(root, "h1").length === 1 ? [] : ["not one h1"]),
    ...(elements(root, "main").length === 1 ? [] : ["not one main"]),
    ...(textOf(elements(root, "title")[0]) ? [] : ["no title"]),
    ...headingJumps(root),
    ...elements(root, "input", "select", "textarea").filter(({ attributes }) =>
      attributes.get("type") !== "hidden" && !labelled.has(attributes.get("id") ?? "") &&
      !labelled.has(attributes.get("name") ?? "")
    ).map(({ attributes }) => `field ${attributes.get("name")} has no label`),
    ...elements(root, "th").filter(({ attributes }) => !attributes.get("scope"))
      .map((header) => `header '${textOf(header)}' has no scope`),
    ...elements(root, "a", "button").filter((element) => textOf(element) === "")
      .map(({ name }) => `a ${name} without words`),
    ...all.flatMap(({ attributes }) => references(attributes))
      .filter((id) => !known.has(id)).map((id) => `nothing has the id ${id}`),
    ...elements(root, "time").filter(({ attributes }) => !attributes.get("datetime"))
      .map((time) => `${textOf(time)} has no datetime`),
    ...all.filter(({ attributes }) =>
      [...attributes.keys()].some((name) => name === "style" || name.startsWith("on"))
    ).map(({ name }) => `${name} has a style or script of its own`),
    ...elements(root, "script").map(() => "a script"),
  ];
}

function references(attributes: Map<string, string>): string[] {
  const fragment = attributes.get("href");
  return [
    ...["aria-labelledby", "aria-describedby", "for"].flatMap((name) =>
      attributes.get(name)?.split(" ") ?? []
    ),
    ...(fragment?.startsWith("#") ? [fragment.slice(1)] : []),
  ];
}

/** Headings that skip a level; in a navigation they stand by themselves. */
function headingJumps(root: HtmlElement): string[] {
  const main = elements(root, "main")[0];
  const levels = main ? elements(main, "h1", "h2", "h3").map(({ name }) => Number(name[1])) : [];
  return levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1)
    .map((level) => `an h${level} skips a level`);
}
