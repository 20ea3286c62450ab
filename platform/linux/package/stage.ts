/** Lays out in a folder what a package holds. */
import { dirname } from "node:path";
import type { Entry } from "./contents.ts";

/**
 * Writes the entries below `folder`, which must be new. Modes are as they say whatever the umask
 * is, and every time is `at`, seconds since 1970, so that the same entries give the same package.
 */
export async function stage(
  entries: readonly Entry[],
  folder: string,
  at: number,
): Promise<void> {
  for (const entry of entries) {
    if ("folder" in entry) {
      await Deno.mkdir(folder + entry.folder, { recursive: true });
      continue;
    }
    const path = folder + entry.path;
    await Deno.mkdir(dirname(path), { recursive: true });
    if (typeof entry.content === "string") await Deno.writeTextFile(path, entry.content);
    else if (entry.content instanceof Uint8Array) await Deno.writeFile(path, entry.content);
    else await Deno.copyFile(entry.content.copyOf, path);
    await Deno.chmod(path, entry.mode);
  }
  await settle(folder, at);
}

/** Gives folders their mode and everything its time `at`, from the innermost outwards. */
export async function settle(folder: string, at: number): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) await settle(`${folder}/${name}`, at);
    else await Deno.utime(`${folder}/${name}`, at, at);
  }
  await Deno.chmod(folder, 0o755);
  await Deno.utime(folder, at, at);
}

/** Bytes of all files. */
export async function sizeOf(entries: readonly Entry[]): Promise<number> {
  let size = 0;
  for (const entry of entries) {
    if ("folder" in entry) continue;
    const { content } = entry;
    if (typeof content === "string") size += new TextEncoder().encode(content).length;
    else if (content instanceof Uint8Array) size += content.length;
    else size += (await Deno.stat(content.copyOf)).size;
  }
  return size;
}
