/** Things of Windows that tests put there as others would, and read back with Windows' own programs. */
import type { FilterLedger } from "../platform/filters.ts";

/** Whether this Windows is Wine, which says so in one function more. */
export function isWine(): boolean {
  if (Deno.build.os !== "windows") return false;
  try {
    Deno.dlopen("ntdll.dll", { wine_get_version: { parameters: [], result: "pointer" } }).close();
    return true;
  } catch {
    return false;
  }
}

/** Runs `reg.exe`; gives what it prints. */
export async function reg(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("reg", { args }).output();
  if (code === 0) return new TextDecoder().decode(stdout).replaceAll("\r", "");
  throw new Error(`reg ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Whether a key is there, as `reg.exe` sees it. */
export async function hasKey(key: string): Promise<boolean> {
  return (await new Deno.Command("reg", { args: ["query", key] }).output()).code === 0;
}

/** The values of a key, as `reg.exe` sees them, by name. */
export async function valuesOf(key: string): Promise<Record<string, string>> {
  const lines = (await reg("query", key)).split("\n");
  return Object.fromEntries(lines.flatMap((line) => {
    const [, name, text] = /^ {4}(.*?) {4}REG_\w+ {4}(.*)$/.exec(line) ?? [];
    return name === undefined || text === undefined ? [] : [[name, text]];
  }));
}

/** A ledger in memory. */
export class ScratchLedger implements FilterLedger {
  readonly createdDirectories: string[] = [];
  readonly recordCreated = (path: string) => void this.createdDirectories.push(path);
}
