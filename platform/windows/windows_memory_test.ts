import assert from "node:assert/strict";
import { dataBlob, readWide, struct, textBehind, textIn, wide } from "./windows_memory.ts";

function bytesAt(structure: Uint8Array<ArrayBuffer>, offset: number, length: number): Uint8Array {
  const address = new DataView(structure.buffer).getBigUint64(offset, true);
  const pointer = Deno.UnsafePointer.create(address);
  assert.ok(pointer !== null);
  return new Uint8Array(new Deno.UnsafePointerView(pointer).getArrayBuffer(length)).slice();
}

Deno.test("text goes to Windows and comes back, beyond the basic plane too", () => {
  for (const text of ["", "DeviceTrust-0badcafe", "Zoë 鍵 🔑"]) {
    assert.equal(readWide(Deno.UnsafePointer.of(wide(text))), text);
  }
  assert.equal(readWide(null), "");
});

Deno.test("a structure points at copies of what it was given, each whole", () => {
  const name = wide("container");
  const usage = Uint8Array.of(1, 2, 3);
  const made = struct(48, [
    { at: 0, bytes: name },
    { at: 8, bytes: usage },
    { at: 16, dword: 24 },
    { at: 40, dword: 0xffffffff },
  ]);
  const view = new DataView(made.buffer);
  assert.equal(view.getUint32(16, true), 24);
  assert.equal(view.getUint32(20, true), 0);
  assert.equal(view.getUint32(40, true), 0xffffffff);
  assert.deepEqual(bytesAt(made, 0, name.length), name);
  assert.deepEqual(bytesAt(made, 8, 3), usage);
});

Deno.test("a structure points into itself", () => {
  const made = struct(16, [{ at: 0, inside: 12 }, { at: 12, dword: 0x01020304 }]);
  assert.deepEqual(bytesAt(made, 0, 4), Uint8Array.of(4, 3, 2, 1));
});

Deno.test("text is read where a structure points, and never beyond its bytes", () => {
  const made = struct(24, [{ at: 8, bytes: wide("first") }, { at: 16, bytes: wide("second") }]);
  assert.equal(textBehind(made, 8), "first");
  assert.equal(textBehind(made, 16), "second");
  assert.equal(textIn(wide("no end").subarray(0, 12)), "no end");
  assert.equal(textIn(new Uint8Array()), "");
});

Deno.test("a data blob says its length and points at its bytes", () => {
  const blob = dataBlob(Uint8Array.of(5, 6));
  assert.equal(new DataView(blob.buffer).getUint32(0, true), 2);
  assert.deepEqual(bytesAt(blob, 8, 2), Uint8Array.of(5, 6));
});
