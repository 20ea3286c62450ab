/** DER that is mutated by its structure: what comes out has sound lengths, so parsers go deep. */
import fc from "fast-check";
import { der, DerError, DerReader } from "../ca/der.ts";
import { mutatedBytes } from "./fuzz.ts";

/** Elements lost, doubled, exchanged, emptied, retagged or wrapped; or bytes changed blindly. */
export function mutatedDer(...valid: Uint8Array[]): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const edit = fc.record({
    how: fc.constantFrom("lose", "double", "exchange", "fill", "retag", "wrap", "copy"),
    at: fc.nat(1 << 16),
    other: fc.nat(1 << 16),
    tag: fc.constantFrom(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x17, 0x18, 0x30, 0x31, 0xa0),
    bytes: fc.oneof(fc.uint8Array({ maxLength: 24 }), mutatedBytes(...valid)),
    depth: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.constant(2000)),
  });
  const structured = fc.tuple(
    fc.constantFrom(...valid),
    fc.array(edit, { minLength: 1, maxLength: 3 }),
  ).map(([bytes, edits]) => {
    const root: Node = { tag: 0x30, children: childrenOf(bytes) ?? [] };
    for (const { how, at, other, tag, bytes, depth } of edits) {
      const places = [...everyPlace(root)];
      const [parent, index] = places[at % places.length] ?? [root, 0];
      const siblings = parent.children ?? [];
      const node = siblings[index];
      if (!node) continue;
      const [otherParent, otherIndex] = places[other % places.length] ?? [root, 0];
      const stranger = structuredClone(otherParent.children?.[otherIndex] ?? node);
      if (how === "lose") siblings.splice(index, 1);
      else if (how === "double") siblings.splice(index, 0, structuredClone(node));
      else if (how === "exchange") siblings.reverse();
      else if (how === "fill") siblings[index] = { tag: node.tag, content: bytes };
      else if (how === "retag") node.tag = tag;
      else if (how === "wrap") siblings[index] = wrapped(node, tag | 0x20, depth);
      else siblings[index] = stranger;
    }
    const [only, ...more] = (root.children ?? []).map(write);
    return more.length === 0 && only ? only : write(root);
  });
  return fc.oneof(
    { weight: 3, arbitrary: structured },
    { weight: 1, arbitrary: mutatedBytes(...valid) },
  );
}

interface Node {
  tag: number;
  content?: Uint8Array;
  children?: Node[];
}

/** Undefined for what is not a row of elements. */
function childrenOf(bytes: Uint8Array): Node[] | undefined {
  const reader = new DerReader(bytes, "fuzz");
  const children: Node[] = [];
  try {
    while (!reader.done) {
      const { tag, content } = reader.read();
      // Extensions and keys have their DER in octet and bit strings: left as bytes.
      const inner = (tag & 0x20) !== 0 ? childrenOf(content) : undefined;
      children.push(inner ? { tag, children: inner } : { tag, content });
    }
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return undefined;
  }
  return children;
}

function* everyPlace(parent: Node): Generator<[parent: Node, index: number]> {
  for (const [index, child] of (parent.children ?? []).entries()) {
    yield [parent, index];
    yield* everyPlace(child);
  }
}

function wrapped(node: Node, tag: number, depth: number): Node {
  let bytes = write(node);
  for (let level = 0; level < depth; level++) bytes = der(tag, bytes);
  return { tag, content: bytes };
}

function write({ tag, content, children }: Node): Uint8Array<ArrayBuffer> {
  return der(tag, ...(content ? [content] : (children ?? []).map(write)));
}
