/**
 * Inputs for parsers that meet strangers' bytes: valid ones, changed as accidents and attackers
 * change them. A usual run takes the same inputs every time; a long one (`FUZZ_RUNS`) takes others
 * each time, and fast-check prints the seed of one that failed.
 */
import assert from "node:assert/strict";
import fc from "fast-check";

/** How many times as many inputs as usual; `FUZZ_RUNS=100` makes a long run of it. */
const SCALE = Math.max(1, Number(Deno.env.get("FUZZ_RUNS") ?? 1));

/** No single input may take longer, on a slow and busy machine, milliseconds. */
const MOST_TIME = 5000;

/** One that kept its inputs would hold more after a long run; what is collected late is less. */
const MOST_MEMORY = 2 * 1024 * 1024 * 1024;

/**
 * Tries `test` with so many inputs, times `FUZZ_RUNS`. It fails when one throws, takes too long or
 * never ends, and when memory grows with their number. A long run says what it has done.
 */
export async function fuzz<T>(
  what: string,
  inputs: fc.Arbitrary<T>,
  runs: number,
  test: (input: T) => void | Promise<void>,
): Promise<void> {
  const before = Deno.memoryUsage().rss;
  const numRuns = runs * SCALE;
  let slowest = 0;
  const timed = async (input: T) => {
    const started = performance.now();
    await endingInTime(test(input));
    slowest = Math.max(slowest, performance.now() - started);
    assert.ok(slowest < MOST_TIME, `took ${slowest} ms`);
  };
  const seed = SCALE === 1 ? { seed: 1 } : {};
  await fc.assert(fc.asyncProperty(inputs, timed), { numRuns, ...seed });
  const grown = Deno.memoryUsage().rss - before;
  assert.ok(grown < MOST_MEMORY, `${what}: memory grew by ${grown} bytes`);
  // deno-lint-ignore no-console -- what a long run is made for
  if (SCALE > 1) console.log(`${what}: ${numRuns} inputs, the slowest ${slowest.toFixed(0)} ms`);
}

/** What is not pending costs no timer. */
async function endingInTime(result: void | Promise<void>): Promise<void> {
  if (result === undefined) return;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("did not end")), MOST_TIME);
  try {
    await Promise.race([result, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes with one to four accidents: bits turned, pieces lost, doubled, moved or put in. */
export function mutatedBytes(...valid: Uint8Array[]): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const edit = fc.record({
    how: fc.constantFrom(...BYTE_EDITS),
    at: fc.nat(1 << 20),
    other: fc.nat(1 << 20),
    size: fc.nat(40),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  });
  return fc.tuple(fc.constantFrom(...valid), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([start, edits]) => {
      let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(start);
      for (const { how, ...place } of edits) bytes = how(bytes, place);
      return bytes;
    });
}

interface Place {
  at: number;
  other: number;
  size: number;
  bytes: Uint8Array;
}

type ByteEdit = (bytes: Uint8Array<ArrayBuffer>, place: Place) => Uint8Array<ArrayBuffer>;

const BYTE_EDITS: readonly ByteEdit[] = [
  function turn(bytes, { at, other }) {
    const index = at % Math.max(1, bytes.length);
    return bytes.map((octet, here) => here === index ? octet ^ (1 << (other % 8)) : octet);
  },
  function overwrite(bytes, { at, bytes: by }) {
    const from = at % Math.max(1, bytes.length);
    return bytes.map((octet, here) => by[here - from] ?? octet);
  },
  function lose(bytes, { at, size }) {
    const from = at % Math.max(1, bytes.length);
    return spliced(bytes, from, size, new Uint8Array());
  },
  function cut(bytes, { at }) {
    return bytes.slice(0, at % Math.max(1, bytes.length));
  },
  function putIn(bytes, { at, bytes: by }) {
    return spliced(bytes, at % (bytes.length + 1), 0, by);
  },
  function move(bytes, { at, other, size }) {
    const from = other % Math.max(1, bytes.length);
    return spliced(bytes, at % (bytes.length + 1), 0, bytes.slice(from, from + size));
  },
];

function spliced(bytes: Uint8Array, at: number, remove: number, add: Uint8Array) {
  return new Uint8Array([...bytes.subarray(0, at), ...add, ...bytes.subarray(at + remove)]);
}

/** A text with one to four accidents, of which some put in a piece that means something to it. */
export function mutatedText(
  valid: readonly string[],
  pieces: readonly string[] = [],
): fc.Arbitrary<string> {
  const piece = fc.constantFrom(...pieces, ...ODD_TEXTS);
  const edit = fc.record({
    at: fc.nat(1 << 20),
    remove: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(12)),
    add: fc.oneof(piece, fc.string({ maxLength: 3, unit: "binary" })),
    again: fc.nat(3),
  });
  return fc.tuple(fc.constantFrom(...valid), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) => {
      for (const { at, remove, add, again } of edits) {
        const from = at % (text.length + 1);
        text = text.slice(0, from) + add.repeat(again) + text.slice(from + remove);
      }
      return text;
    });
}

/** A value of JSON as these functions see it. */
export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/**
 * JSON text of a valid value with one to three parts lost, doubled, misnamed or replaced; some is
 * no JSON any more, and some has a member twice.
 */
export function mutatedJson(...valid: Json[]): fc.Arbitrary<string> {
  const edit = fc.record({
    how: fc.constantFrom("replace", "replace", "replace", "lose", "rename", "twice", "copy"),
    at: fc.nat(1 << 16),
    other: fc.nat(1 << 16),
    by: fc.oneof(fc.constantFrom(...ODD_JSON), fc.json({ maxDepth: 2 })),
    name: fc.constantFrom(...ODD_NAMES),
  });
  const structured = fc.tuple(
    fc.constantFrom(...valid),
    fc.array(edit, { minLength: 1, maxLength: 3 }),
  ).map(([value, edits]) => {
    const root = treeOf(value);
    for (const { how, at, other, by, name } of edits) {
      const nodes = [...everyNode(root)];
      const node = nodes[at % nodes.length];
      if (!node) continue;
      const children = node.children;
      if (how === "replace" || !children?.length) replace(node, { text: by });
      else if (how === "copy") replace(node, structuredClone(nodes[other % nodes.length] ?? node));
      else if (how === "lose") children.splice(other % children.length, 1);
      else {
        const [childName, child] = children[other % children.length] ?? ["", node];
        if (how === "twice") children.push([childName, structuredClone(child)]);
        else children[other % children.length] = [name, child];
      }
    }
    return textOf(root);
  });
  return fc.oneof(
    { weight: 8, arbitrary: structured },
    { weight: 1, arbitrary: mutatedText(valid.map((value) => JSON.stringify(value))) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_JSON) },
  );
}

/** A value as a tree whose leaves are JSON text, so that it can hold what no value can. */
interface JsonNode {
  text?: string;
  /** Members under their names, or items under none. */
  children?: [name: string | undefined, child: JsonNode][];
}

function treeOf(value: Json): JsonNode {
  if (typeof value !== "object" || value === null) return { text: JSON.stringify(value) };
  if (Array.isArray(value)) return { children: value.map((item) => [undefined, treeOf(item)]) };
  return { children: Object.entries(value).map(([name, member]) => [name, treeOf(member)]) };
}

function* everyNode(node: JsonNode): Generator<JsonNode> {
  yield node;
  for (const [, child] of node.children ?? []) yield* everyNode(child);
}

function replace(node: JsonNode, by: JsonNode): void {
  delete node.text;
  delete node.children;
  Object.assign(node, by);
}

function textOf({ text, children }: JsonNode): string {
  if (!children) return text ?? "null";
  const parts = children.map(([name, child]) =>
    (name === undefined ? "" : `${JSON.stringify(name)}:`) + textOf(child)
  );
  const isList = children.length > 0 && children.every(([name]) => name === undefined);
  return isList ? `[${parts}]` : `{${parts}}`;
}

/** What has surprised parsers before. */
const ODD_TEXTS: readonly string[] = [
  ...[
    "",
    " ",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\\",
    "/",
    "../",
    '"',
    "'",
    ",",
    ";",
    ":",
    "=",
    "%00",
    "*",
  ],
  ...["\ud800", "\udfff", "\u202e", "\u2028", "\ufeff", "\u0130", "e\u0301", "\u{1f4a9}"],
  ...["0", "-1", "1e309", "99999999999999999999", "NaN", "__proto__", "constructor"],
  "a".repeat(300),
];

/** Member names that mean something to JavaScript. */
const ODD_NAMES: readonly string[] = ["__proto__", "constructor", "toString", "then", "length", ""];

/** JSON texts, of which some are none. */
const ODD_JSON: readonly string[] = [
  ...["null", "true", "false", "0", "-0", "-1", "0.5", "1e400", "-1e400", "9007199254740993"],
  ...["1e21", "2147483648", '""', '" "', '"\\u0000"', '"\\ud800"', '"\\u202e"', "[]", "{}", "[[]]"],
  ...[
    '{"length":{"toString":1,"valueOf":1}}',
    '{"__proto__":{"enabled":true}}',
    '{"constructor":{"prototype":{}}}',
    '"__proto__"',
    "NaN",
  ],
  ...["undefined", "01", "+1", "'a'", "{a:1}", "[1,]", "/**/1", "\ufeff1", "1 2", "\\u0031"],
  ...[`"${"x".repeat(5000)}"`, `[${"0,".repeat(5000)}0]`, "[".repeat(20_000), "1".repeat(400)],
  ...["[".repeat(9000) + "]".repeat(9000), '{"a":'.repeat(5000) + "1" + "}".repeat(5000)],
  ...['"2026-13-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"0000-00-00T00:00:00Z"'],
];
