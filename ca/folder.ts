/** Folders of keys that come into being whole or not at all. */
import { basename, dirname, join } from "node:path";

/** A file of a new folder. */
export interface NewFile {
  name: string;
  text: string;
  /** Permission bits: 0o600 for keys. */
  mode: number;
}

/**
 * Makes `path` with these files, 0700, on disk before it appears: a crash leaves the whole folder,
 * or a remnant beside it that the next call sweeps. When `path` exists already nothing changes, so
 * of two processes that start at once one wins and both go on with its keys.
 */
export async function createFolder(path: string, files: NewFile[]): Promise<void> {
  const parent = dirname(path);
  const prefix = `.${basename(path)}.new-`;
  await Deno.mkdir(parent, { recursive: true, mode: 0o700 });
  const scratch = await Deno.makeTempDir({ dir: parent, prefix });
  try {
    for (const { name, text, mode } of files) await writeDurably(join(scratch, name), text, mode);
    await sync(scratch);
    await Deno.rename(scratch, path);
  } catch (error) {
    await sweep(scratch);
    if (!await exists(path)) throw error;
  }
  await sync(parent);
  for await (const { name } of Deno.readDir(parent)) {
    if (name.startsWith(prefix)) await sweep(join(parent, name));
  }
}

/** Another process may still be writing what it will find to be in vain; the next call sweeps it. */
async function sweep(remnant: string): Promise<void> {
  try {
    await removeIfThere(remnant);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOTEMPTY")) throw error;
  }
}

/** Puts a file in place of another of that name, whole or not at all. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const scratch = `${path}.new`;
  await removeIfThere(scratch);
  await writeDurably(scratch, text, mode);
  await Deno.rename(scratch, path);
  await sync(dirname(path));
}

/** Whether anything is at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  await Deno.writeTextFile(path, text, { createNew: true, mode });
  await sync(path);
}

/** Flushes a file or, for its names, a folder; Windows cannot flush folders and need not. */
async function sync(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using file = await Deno.open(path);
  await file.sync();
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
