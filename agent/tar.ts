/** A tar archive of small files, as every tar reads it: POSIX.1-1988 "ustar". Pure. */

/** A file in the archive. */
export interface TarFile {
  /** Relative, with `/`; at most 100 bytes. */
  path: string;
  content: Uint8Array;
}

const BLOCK = 512;
const LONGEST_PATH = 100;

/**
 * The archive: files of nobody's but their owner (0600).
 *
 * @param at time of the files, milliseconds since 1970
 * @throws RangeError for a path that is too long
 */
export function tarArchive(files: readonly TarFile[], at: number): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap(({ path, content }) => [
    header(path, content.length, at),
    content,
    new Uint8Array((BLOCK - content.length % BLOCK) % BLOCK),
  ]);
  // Two empty blocks are the end.
  parts.push(new Uint8Array(2 * BLOCK));
  const archive = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    archive.set(part, offset);
    offset += part.length;
  }
  return archive;
}

function header(path: string, size: number, at: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, offset: number) => block.set(new TextEncoder().encode(text), offset);
  if (new TextEncoder().encode(path).length > LONGEST_PATH) {
    throw new RangeError(`Cannot put '${path}' into an archive: its name is too long.`);
  }
  put(path, 0);
  put(octal(0o600, 8), 100);
  put(octal(0, 8), 108);
  put(octal(0, 8), 116);
  put(octal(size, 12), 124);
  put(octal(Math.max(0, Math.floor(at / 1000)), 12), 136);
  // While it is summed up, the sum itself is eight spaces.
  put(" ".repeat(8), 148);
  put("0", 156);
  put("ustar\0" + "00", 257);
  put(`${octal(block.reduce((sum, byte) => sum + byte, 0), 7)} `, 148);
  return block;
}

/** A number in a field of so many bytes, the last of which is NUL. */
function octal(number: number, width: number): string {
  return `${number.toString(8).padStart(width - 1, "0")}\0`;
}
