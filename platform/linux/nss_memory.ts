/** NSS's structures in memory, as its public headers lay them out for LP64 (x86-64, aarch64). */

/** A pointer to something that NSS owns; never null. */
export type Handle = Deno.PointerObject;

/** struct SECItemStr (seccomont.h): SECItemType type; unsigned char *data; unsigned int len. */
const SEC_ITEM_SIZE = 24;

/** A C string; the buffer keeps it alive for the call. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** A SECItem followed by its own data, so that passing the one keeps the other alive. */
export function secItem(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const buffer = new ArrayBuffer(SEC_ITEM_SIZE + data.length);
  const bytes = new Uint8Array(buffer);
  bytes.set(data, SEC_ITEM_SIZE);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
  const view = new DataView(buffer);
  view.setBigUint64(8, BigInt(address) + BigInt(SEC_ITEM_SIZE), true);
  view.setUint32(16, data.length, true);
  return bytes;
}

/** What NSS wrote into an item made by {@link secItem}. */
export function readItem(item: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const length = new DataView(item.buffer).getUint32(16, true);
  return item.slice(SEC_ITEM_SIZE, SEC_ITEM_SIZE + length);
}

/** A copy of the data of a SECItem that lies at an offset in NSS's memory. */
export function copyItem(base: Handle, offset: number): Uint8Array<ArrayBuffer> {
  const view = new Deno.UnsafePointerView(base);
  const data = view.getPointer(offset + 8);
  const length = view.getUint32(offset + 16);
  if (data === null || length === 0) return new Uint8Array();
  return new Uint8Array(new Deno.UnsafePointerView(data).getArrayBuffer(length)).slice();
}

/** struct PK11RSAGenParamsStr (secmodt.h): int keySizeInBits; unsigned long pe. */
export function pk11RsaGenParams(bits: number, exponent: bigint): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(16));
  view.setInt32(0, bits, true);
  view.setBigUint64(8, exponent, true);
  return new Uint8Array(view.buffer);
}

/** Room for a pointer that NSS writes. */
export function pointerCell(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(8));
}

/** What NSS wrote there. */
export function readCell(cell: Uint8Array<ArrayBuffer>): Deno.PointerValue {
  return Deno.UnsafePointer.create(new DataView(cell.buffer).getBigUint64(0, true));
}

/**
 * The payload pointers of a list whose head is a PRCList (prclist.h) at offset 0: key lists and
 * certificate lists alike have links of 16 bytes, then the pointer; the list ends at its own head.
 */
export function walkList(list: Handle): Handle[] {
  const payloads: Handle[] = [];
  let node = new Deno.UnsafePointerView(list).getPointer(0);
  while (node !== null && !Deno.UnsafePointer.equals(node, list)) {
    const view = new Deno.UnsafePointerView(node);
    const payload = view.getPointer(16);
    if (payload !== null) payloads.push(payload);
    node = view.getPointer(0);
  }
  return payloads;
}
