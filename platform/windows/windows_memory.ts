/** Windows' structures in memory, as its headers lay them out on 64 bits (x86-64, ARM64). */

/** A handle or a pointer's value: HCERTSTORE, HCRYPTPROV, NCRYPT_HANDLE; 0 is none. */
export type Handle = bigint;

/** UTF-16LE with its end; the buffer keeps it alive for the call. */
export function wide(text: string): Uint8Array<ArrayBuffer> {
  const units = new Uint16Array(text.length + 1);
  for (let index = 0; index < text.length; index++) units[index] = text.charCodeAt(index);
  return new Uint8Array(units.buffer);
}

/** Text that Windows owns; empty for null. */
export function readWide(pointer: Deno.PointerValue): string {
  if (pointer === null) return "";
  const view = new Deno.UnsafePointerView(pointer);
  let text = "";
  for (let offset = 0;; offset += 2) {
    const unit = view.getUint16(offset);
    if (unit === 0) return text;
    text += String.fromCharCode(unit);
  }
}

/** Text in bytes that Windows filled, up to its end or theirs. */
export function textIn(bytes: Uint8Array): string {
  const text = new TextDecoder("utf-16le", { ignoreBOM: true }).decode(bytes);
  return text.split("\0", 1)[0] ?? "";
}

/** Text that a structure points at and that lies behind it, in the same bytes. */
export function textBehind(structure: Uint8Array<ArrayBuffer>, at: number): string {
  return textIn(bytesBehind(structure, at));
}

/** From what a structure points at, behind it in the same bytes, to their end. */
export function bytesBehind(
  structure: Uint8Array<ArrayBuffer>,
  at: number,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(structure.buffer, structure.byteOffset, structure.byteLength);
  return structure.subarray(Number(view.getBigUint64(at, true) - addressOf(structure)));
}

/** Room for a handle or a pointer that Windows writes. */
export function cell(): BigUint64Array<ArrayBuffer> {
  return new BigUint64Array(1);
}

/** What Windows wrote there. */
export function valueOf(filled: BigUint64Array): Handle {
  return filled[0] ?? 0n;
}

/** Room for a DWORD, such as the size of a buffer that goes in and the size that comes out. */
export function dword(value = 0): Uint32Array<ArrayBuffer> {
  return Uint32Array.of(value);
}

/**
 * A field of {@link struct}: a DWORD, a pointer to bytes that the structure keeps a copy of, or one
 * to an offset in the structure itself.
 */
export type Field =
  & { at: number }
  & ({ dword: number } | { bytes: Uint8Array } | { inside: number });

/**
 * A structure followed by what it points at, so that passing the one keeps the other alive.
 *
 * @param size of the structure alone
 */
export function struct(size: number, fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  const tails = fields.map((field) => "bytes" in field ? aligned(field.bytes.length) : 0);
  const start = aligned(size);
  const buffer = new ArrayBuffer(start + tails.reduce((sum, tail) => sum + tail, 0));
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const address = addressOf(bytes);
  let end = start;
  fields.forEach((field, index) => {
    if ("dword" in field) {
      view.setUint32(field.at, field.dword, true);
    } else if ("inside" in field) {
      view.setBigUint64(field.at, address + BigInt(field.inside), true);
    } else {
      bytes.set(field.bytes, end);
      view.setBigUint64(field.at, address + BigInt(end), true);
      end += tails[index] ?? 0;
    }
  });
  return bytes;
}

/** CRYPT_DATA_BLOB (wincrypt.h): DWORD cbData; BYTE *pbData. */
export function dataBlob(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return struct(16, [{ at: 0, dword: bytes.length }, { at: 8, bytes }]);
}

/** A pointer in a structure that Windows owns. */
export function readPointer(structure: Handle, offset: number): Deno.PointerValue {
  const pointer = Deno.UnsafePointer.create(structure);
  return pointer === null ? null : new Deno.UnsafePointerView(pointer).getPointer(offset);
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

function aligned(length: number): number {
  return (length + 7) & ~7;
}
