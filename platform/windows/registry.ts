/**
 * The registry (advapi32.dll), through FFI: checked calls, no policy. Always the 64-bit view, which
 * is the one that browsers read.
 */
import {
  checkStatus,
  ERROR_FILE_NOT_FOUND,
  ERROR_NO_MORE_ITEMS,
  WindowsError,
} from "./windows_errors.ts";
import { cell, dword, type Handle, textIn, valueOf, wide } from "./windows_memory.ts";

/** Roots of the registry, by the names that people know. */
const HIVES = {
  HKEY_CURRENT_USER: 0xffffffff80000001n,
  HKEY_LOCAL_MACHINE: 0xffffffff80000002n,
  HKEY_USERS: 0xffffffff80000003n,
} as const;

/** A key's full name, such as `HKEY_LOCAL_MACHINE\SOFTWARE\Policies`. */
export type KeyName = keyof typeof HIVES | `${keyof typeof HIVES}\\${string}`;

/** A value as it is. */
export interface RegistryValue {
  /** "" is the key's default value. */
  name: string;
  /** Its text; undefined for a value that is no text (neither REG_SZ nor REG_EXPAND_SZ). */
  text?: string;
  /** Its number, for a REG_DWORD. */
  number?: number;
}

/** What a key is, but for what is below it. */
export interface RegistryKey {
  values: RegistryValue[];
  subkeys: string[];
  /** When a value or a subkey changed last, milliseconds since 1970, rounded up. */
  changedAt: number;
}

/** The registry of this computer; its methods throw WindowsError. */
export class Registry {
  readonly #advapi32 = Deno.dlopen("advapi32.dll", REGISTRY_SYMBOLS).symbols;

  /** Undefined when there is no such key. */
  read(name: KeyName): RegistryKey | undefined {
    using key = this.#open(name, KEY_READ);
    if (!key) return undefined;
    const info = this.#info(key.handle);
    return {
      values: this.#values(key.handle, info),
      subkeys: this.#subkeys(key.handle, info),
      changedAt: info.changedAt,
    };
  }

  /** One value; undefined when the key or the value is not there. */
  value(name: KeyName, value: string): RegistryValue | undefined {
    const wanted = value.toLowerCase();
    return this.read(name)?.values.find((found) => found.name.toLowerCase() === wanted);
  }

  /** Makes a key whose parent is there; there already is success. */
  create(name: KeyName): void {
    const [hive, path] = split(name);
    const made = cell();
    const status = this.#advapi32.RegCreateKeyExW(
      hive,
      wide(path),
      0,
      null,
      0,
      KEY_READ | KEY_WOW64_64KEY,
      null,
      made,
      null,
    );
    checkStatus("RegCreateKeyExW", status);
    this.#advapi32.RegCloseKey(valueOf(made));
  }

  /** Sets a value of a key that is there, to a text (REG_SZ). */
  set(name: KeyName, value: string, text: string): void {
    using key = this.#existing(name);
    const data = wide(text);
    const status = this.#advapi32.RegSetValueExW(
      key.handle,
      wide(value),
      0,
      REG_SZ,
      data,
      data.length,
    );
    checkStatus("RegSetValueExW", status);
  }

  /** Removes a value of a key; absent is success. */
  remove(name: KeyName, value: string): void {
    using key = this.#open(name, KEY_WRITE);
    if (!key) return;
    const status = this.#advapi32.RegDeleteValueW(key.handle, wide(value));
    if (status !== ERROR_FILE_NOT_FOUND) checkStatus("RegDeleteValueW", status);
  }

  /** Removes a key that has no values and no subkeys; absent is success. */
  removeKey(name: KeyName): void {
    const [hive, path] = split(name);
    const status = this.#advapi32.RegDeleteKeyExW(hive, wide(path), KEY_WOW64_64KEY, 0);
    if (status !== ERROR_FILE_NOT_FOUND) checkStatus("RegDeleteKeyExW", status);
  }

  #existing(name: KeyName) {
    const key = this.#open(name, KEY_WRITE);
    if (!key) throw new WindowsError("RegOpenKeyExW", ERROR_FILE_NOT_FOUND);
    return key;
  }

  #open(name: KeyName, access: number): { handle: Handle } & Disposable | undefined {
    const [hive, path] = split(name);
    const opened = cell();
    const status = this.#advapi32.RegOpenKeyExW(
      hive,
      wide(path),
      0,
      access | KEY_WOW64_64KEY,
      opened,
    );
    if (status === ERROR_FILE_NOT_FOUND) return undefined;
    checkStatus("RegOpenKeyExW", status);
    const handle = valueOf(opened);
    return { handle, [Symbol.dispose]: () => void this.#advapi32.RegCloseKey(handle) };
  }

  #info(key: Handle): { longestSubkey: number; longestValue: number; changedAt: number } {
    const [longestSubkey, longestName, longestValue] = [dword(), dword(), dword()];
    const time = cell();
    const status = this.#advapi32.RegQueryInfoKeyW(
      key,
      null,
      null,
      null,
      null,
      longestSubkey,
      null,
      null,
      longestName,
      longestValue,
      null,
      time,
    );
    checkStatus("RegQueryInfoKeyW", status);
    return {
      longestSubkey: longestSubkey[0] ?? 0,
      longestValue: longestValue[0] ?? 0,
      changedAt: millisecondsOf(valueOf(time)),
    };
  }

  #values(key: Handle, { longestValue }: { longestValue: number }): RegistryValue[] {
    const values: RegistryValue[] = [];
    const name = new Uint8Array(2 * (LONGEST_NAME + 1));
    // It may have grown since it was measured.
    let data = new Uint8Array(longestValue + 2);
    for (let index = 0;;) {
      const [nameLength, type, size] = [dword(LONGEST_NAME + 1), dword(), dword(data.length)];
      const status = this.#advapi32.RegEnumValueW(
        key,
        index,
        name,
        nameLength,
        null,
        type,
        data,
        size,
      );
      if (status === ERROR_NO_MORE_ITEMS) return values;
      if (status === ERROR_MORE_DATA && data.length < MOST_BYTES) {
        data = new Uint8Array(data.length * 2);
        continue;
      }
      checkStatus("RegEnumValueW", status);
      const bytes = data.slice(0, size[0] ?? 0);
      values.push({
        name: textIn(name.slice(0, 2 * (nameLength[0] ?? 0))),
        ...meaning(type[0] ?? 0, bytes),
      });
      index++;
    }
  }

  #subkeys(key: Handle, { longestSubkey }: { longestSubkey: number }): string[] {
    const names: string[] = [];
    const name = new Uint8Array(2 * (Math.max(longestSubkey, LONGEST_KEY) + 1));
    for (;;) {
      const length = dword(name.length / 2);
      const status = this.#advapi32.RegEnumKeyExW(
        key,
        names.length,
        name,
        length,
        null,
        null,
        null,
        null,
      );
      if (status === ERROR_NO_MORE_ITEMS) return names;
      checkStatus("RegEnumKeyExW", status);
      names.push(textIn(name.slice(0, 2 * (length[0] ?? 0))));
    }
  }
}

/** Milliseconds since 1970 of a FILETIME (100 ns since 1601), rounded up. */
export function millisecondsOf(fileTime: bigint): number {
  return Number((fileTime - FILE_TIME_OF_1970 + 9999n) / 10_000n);
}

const FILE_TIME_OF_1970 = 116_444_736_000_000_000n;

const KEY_READ = 0x20019;
const KEY_WRITE = 0x20006;
const KEY_WOW64_64KEY = 0x100;
const REG_SZ = 1;
const REG_EXPAND_SZ = 2;
const REG_DWORD = 4;
const ERROR_MORE_DATA = 0xea;

/** Longest names, in UTF-16 units (registry element size limits). */
const LONGEST_NAME = 16_383;
const LONGEST_KEY = 255;
const MOST_BYTES = 16 * 1024 * 1024;

const REGISTRY_SYMBOLS = {
  RegOpenKeyExW: { parameters: ["usize", "buffer", "u32", "u32", "buffer"], result: "i32" },
  RegCreateKeyExW: {
    parameters: [
      ...["usize", "buffer", "u32", "pointer", "u32"] as const,
      ...["u32", "pointer", "buffer", "pointer"] as const,
    ],
    result: "i32",
  },
  RegCloseKey: { parameters: ["usize"], result: "i32" },
  RegQueryInfoKeyW: {
    parameters: [
      ...["usize", "pointer", "pointer", "pointer", "pointer", "buffer"] as const,
      ...["pointer", "pointer", "buffer", "buffer", "pointer", "buffer"] as const,
    ],
    result: "i32",
  },
  RegEnumValueW: {
    parameters: ["usize", "u32", "buffer", "buffer", "pointer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  RegEnumKeyExW: {
    parameters: ["usize", "u32", "buffer", "buffer", "pointer", "pointer", "pointer", "pointer"],
    result: "i32",
  },
  RegSetValueExW: {
    parameters: ["usize", "buffer", "u32", "u32", "buffer", "u32"],
    result: "i32",
  },
  RegDeleteValueW: { parameters: ["usize", "buffer"], result: "i32" },
  RegDeleteKeyExW: { parameters: ["usize", "buffer", "u32", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

function split(name: KeyName): [Handle, string] {
  const end = name.indexOf("\\");
  const hive = end === -1 ? name : name.slice(0, end);
  const found = Object.entries(HIVES).find(([known]) => known === hive);
  if (!found) throw new Error(`${hive} is no root of the registry.`);
  return [found[1], end === -1 ? "" : name.slice(end + 1)];
}

function meaning(type: number, bytes: Uint8Array): { text?: string; number?: number } {
  if (type === REG_SZ || type === REG_EXPAND_SZ) return { text: textIn(bytes) };
  if (type !== REG_DWORD || bytes.length !== 4) return {};
  return { number: new DataView(bytes.buffer).getUint32(0, true) };
}
