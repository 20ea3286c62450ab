/** Finds a user's running browsers, which need time to read a new policy (S15). */
import { win32 } from "node:path";
import type { RunningBrowser } from "../findings.ts";
import { millisecondsOf } from "./registry.ts";
import { ownIdentity, userOf } from "./security.ts";
import { LastError, WindowsError } from "./windows_errors.ts";
import { cell, dword, type Handle, textIn, valueOf } from "./windows_memory.ts";

/** A process of the system, as a snapshot lists it. */
export interface SnapshotProcess {
  pid: number;
  parent: number;
  /** File name of its program. */
  name: string;
}

/** What one process tells beside. */
export interface ProcessDetails {
  /** SID. */
  user: string;
  /** Path of its program. */
  program: string;
  /** Milliseconds since 1970. */
  startedAt: number;
}

/** The browsers that run as the user of this process now. One that ends meanwhile is left out. */
export function findRunningBrowsers(): RunningBrowser[] {
  const { user } = ownIdentity();
  return browsersAmong(snapshot(), detailsOf, user);
}

/**
 * The main processes of browsers of a user: what a browser's process starts is its helper.
 *
 * @param details undefined for a process that has ended, or hides what it is
 */
export function browsersAmong(
  processes: readonly SnapshotProcess[],
  details: (pid: number) => ProcessDetails | undefined,
  user: string,
): RunningBrowser[] {
  const programs = new Map(processes.map(({ pid, name }) => [pid, name.toLowerCase()]));
  return processes.flatMap(({ pid, parent, name }): RunningBrowser[] => {
    const program = name.toLowerCase();
    if (!NAMES.has(program) || programs.get(parent) === program) return [];
    const known = details(pid);
    const browser = known?.user === user ? browserName(known.program) : undefined;
    return known && browser ? [{ name: browser, pid, startedAt: known.startedAt }] : [];
  });
}

/** Which browser a program's path is; undefined for any other program. */
function browserName(path: string): string | undefined {
  const name = NAMES.get(win32.basename(path).toLowerCase());
  return name === "chrome" && /\\chromium\\/i.test(path) ? "chromium" : name;
}

const NAMES = new Map([
  ["chrome.exe", "chrome"],
  ["msedge.exe", "edge"],
  ["brave.exe", "brave"],
  ["vivaldi.exe", "vivaldi"],
  ["opera.exe", "opera"],
]);

/** PROCESSENTRY32W: size at 0, id at 8, parent's id at 32, name at 44. */
const ENTRY = { size: 568, pid: 8, parent: 32, name: 44 } as const;
const TH32CS_SNAPPROCESS = 0x2;
const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;
const LONGEST_PATH = 32_768;
const INVALID_HANDLE = 0xffffffffffffffffn;

class Kernel32 extends LastError {
  readonly symbols = Deno.dlopen("kernel32.dll", {
    CreateToolhelp32Snapshot: { parameters: ["u32", "u32"], result: "usize" },
    Process32FirstW: { parameters: ["usize", "buffer"], result: "i32" },
    Process32NextW: { parameters: ["usize", "buffer"], result: "i32" },
    OpenProcess: { parameters: ["u32", "i32", "u32"], result: "usize" },
    QueryFullProcessImageNameW: {
      parameters: ["usize", "u32", "buffer", "buffer"],
      result: "i32",
    },
    GetProcessTimes: {
      parameters: ["usize", "buffer", "buffer", "buffer", "buffer"],
      result: "i32",
    },
    CloseHandle: { parameters: ["usize"], result: "i32" },
  }).symbols;

  static #loaded: Kernel32 | undefined;

  static load(): Kernel32 {
    return Kernel32.#loaded ??= new Kernel32();
  }
}

function snapshot(): SnapshotProcess[] {
  const kernel32 = Kernel32.load();
  const { symbols } = kernel32;
  const handle = symbols.CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
  if (handle === INVALID_HANDLE) throw kernel32.failure("CreateToolhelp32Snapshot");
  try {
    const entry = new Uint8Array(ENTRY.size);
    const view = new DataView(entry.buffer);
    view.setUint32(0, ENTRY.size, true);
    const processes: SnapshotProcess[] = [];
    let more = symbols.Process32FirstW(handle, entry);
    kernel32.check("Process32FirstW", more);
    for (; more !== 0; more = symbols.Process32NextW(handle, entry)) {
      processes.push({
        pid: view.getUint32(ENTRY.pid, true),
        parent: view.getUint32(ENTRY.parent, true),
        name: textIn(entry.slice(ENTRY.name)),
      });
    }
    return processes;
  } finally {
    symbols.CloseHandle(handle);
  }
}

function detailsOf(pid: number): ProcessDetails | undefined {
  const { symbols } = Kernel32.load();
  const process = symbols.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid);
  if (process === 0n) return undefined;
  try {
    return { user: userOf(process), program: programOf(process), startedAt: startOf(process) };
  } catch (error) {
    // It has ended, or is somebody else's.
    if (error instanceof WindowsError) return undefined;
    throw error;
  } finally {
    symbols.CloseHandle(process);
  }
}

function programOf(process: Handle): string {
  const kernel32 = Kernel32.load();
  const [path, length] = [new Uint8Array(2 * LONGEST_PATH), dword(LONGEST_PATH)];
  const ok = kernel32.symbols.QueryFullProcessImageNameW(process, 0, path, length);
  kernel32.check("QueryFullProcessImageNameW", ok);
  return textIn(path.subarray(0, 2 * (length[0] ?? 0)));
}

function startOf(process: Handle): number {
  const kernel32 = Kernel32.load();
  const started = cell();
  const ok = kernel32.symbols.GetProcessTimes(process, started, cell(), cell(), cell());
  kernel32.check("GetProcessTimes", ok);
  return millisecondsOf(valueOf(started));
}
