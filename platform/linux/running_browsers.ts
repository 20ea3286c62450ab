/** Finds a user's running browsers, which need time to read a new policy (S15). */
import fs from "node:fs";
import { basename } from "node:path";
import type { RunningBrowser } from "../findings.ts";

/**
 * The browsers that run as this user now, by `/proc` (proc(5)). A process that ends meanwhile, or
 * hides what it is, is left out: a browser's main process does not hide from its own user.
 */
export function findRunningBrowsers(uid: number, proc = "/proc"): RunningBrowser[] {
  const bootTime = Number(/^btime (\d+)$/m.exec(read(`${proc}/stat`) ?? "")?.[1] ?? 0);
  return fs.readdirSync(proc).filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    const process = `${proc}/${pid}`;
    if (fs.statSync(process, { throwIfNoEntry: false })?.uid !== uid) return [];
    const name = browserName(programOf(process));
    const commandLine = read(`${process}/cmdline`);
    if (name === undefined || commandLine === undefined || isHelper(commandLine)) return [];
    const startTicks = startOf(read(`${process}/stat`));
    if (startTicks === undefined) return [];
    const startedAt = (bootTime + startTicks / TICKS_PER_SECOND) * 1000;
    return [{ name, pid: Number(pid), startedAt }];
  });
}

/** Which browser a program's path is; undefined for any other program. */
export function browserName(program: string | undefined): string | undefined {
  // The kernel says so when an update replaced the program under its feet.
  const path = program?.replace(/ \(deleted\)$/, "") ?? "";
  const name = NAMES.get(basename(path));
  return name === "chrome" && path.includes("chromium") ? "chromium" : name;
}

/** `USER_HZ`: what the kernel counts in, on every architecture that Deno runs on. */
const TICKS_PER_SECOND = 100;

const NAMES = new Map([
  ["chrome", "chrome"],
  ["google-chrome", "chrome"],
  ["chromium", "chromium"],
  ["chromium-browser", "chromium"],
  ["msedge", "edge"],
  ["brave", "brave"],
  ["brave-browser", "brave"],
  ["vivaldi", "vivaldi"],
  ["vivaldi-bin", "vivaldi"],
  ["opera", "opera"],
]);

/** Renderers, zygotes and the like; some of them write their command line with spaces. */
function isHelper(commandLine: string): boolean {
  return /[\0 ]--type=[a-z]/.test(commandLine);
}

function programOf(process: string): string | undefined {
  try {
    return fs.readlinkSync(`${process}/exe`);
  } catch {
    return undefined; // ended, or not ours to look into
  }
}

/** Field 22; the name before it, in brackets, may itself hold spaces and brackets. */
function startOf(stat: string | undefined): number | undefined {
  const ticks = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return ticks === undefined || !/^\d{1,19}$/.test(ticks) ? undefined : Number(ticks);
}

function read(path: string): string | undefined {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return undefined; // ended, or not ours to look into
  }
}
