/** Parts of the machine that come in Debian packages: whether they are there, and how they come. */
import type { RunCommand } from "../command.ts";

/** Something that a Debian package brings; the names are the same on Ubuntu. */
export interface PackagedPart {
  /** The Debian package. */
  package: string;
  /** The part is there when one of these programs is on the search path, */
  programs?: readonly string[];
  /** or when this library can be loaded. */
  library?: string;
}

/** The library that browsers keep certificates with. */
export const LIBNSS3: PackagedPart = { package: "libnss3", library: "libnss3.so" };

/** What {@link ensurePackages} depends on. */
export interface PackageWorld {
  isThere(part: PackagedPart): boolean;
  /** Whether this process may install packages. */
  isRoot: boolean;
  /** Whether the machine has apt. */
  hasApt: boolean;
  run: RunCommand;
  /** Takes one line, without its end. */
  log(line: string): void;
  /** Calls back every so many milliseconds until disposed of. */
  every(milliseconds: number, tick: () => void): Disposable;
}

/** This machine. */
export function machineWorld(run: RunCommand, log: (line: string) => void): PackageWorld {
  return {
    isThere: isOnThisMachine,
    isRoot: Deno.uid() === 0,
    hasApt: isProgram(APT),
    run,
    log,
    every(milliseconds, tick) {
      const timer = setInterval(tick, milliseconds);
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  };
}

/**
 * Sees that the parts are there: as root it installs what is missing through apt, otherwise it
 * names what is missing and the one command that installs it. Never asks anything.
 *
 * @returns the parts that are still missing
 */
export async function ensurePackages<Part extends PackagedPart>(
  parts: readonly Part[],
  world: PackageWorld,
): Promise<Part[]> {
  const missing = parts.filter((part) => !world.isThere(part));
  if (missing.length === 0) return [];
  const packages = [...new Set(missing.map((part) => part.package))];
  const names = packages.join(" ");
  if (!world.hasApt) {
    world.log(`Missing: ${names} (Debian's names). Install them with this system's own packages.`);
    return missing;
  }
  if (!world.isRoot) {
    world.log(`Missing: ${names}. To install: sudo apt-get install -y ${names}`);
    return missing;
  }
  world.log(`Missing: ${names}. Installing through apt-get.`);
  await apt(["update"], world);
  const all = await apt(["install", ...packages], world);
  // One package that this system's apt does not have must not keep the others out.
  if (!all && packages.length > 1) {
    for (const name of packages) await apt(["install", name], world);
  }
  const left = missing.filter((part) => !world.isThere(part));
  world.log(
    left.length === 0
      ? "Installed."
      : `Still missing: ${left.map((part) => part.package).join(" ")}.`,
  );
  return left;
}

/** Whether the program is on the search path, or the library can be loaded. */
export function isOnThisMachine(part: PackagedPart): boolean {
  if (part.library !== undefined) return canLoad(part.library);
  return part.programs?.some((name) => findProgram(name) !== undefined) ?? false;
}

/** Absolute path of a program on the search path. */
export function findProgram(name: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  return folders.map((folder) => `${folder}/${name}`).find(isProgram);
}

const APT = "/usr/bin/apt-get";
const HEARTBEAT_MS = 10_000;
const APT_TIMEOUT_MS = 15 * 60_000;
/** Lines of a failed apt-get that are shown. */
const SHOWN_LINES = 15;

/** Runs apt-get, saying every while that it still does; shows the end of it when it fails. */
async function apt(
  [action, ...packages]: [string, ...string[]],
  { run, log, every }: PackageWorld,
): Promise<boolean> {
  let seconds = 0;
  using _heartbeat = every(HEARTBEAT_MS, () => {
    seconds += HEARTBEAT_MS / 1000;
    log(`  apt-get ${action} is still running (${seconds} s)`);
  });
  const result = await run({
    argv: [
      APT,
      ...["-o", "DPkg::Lock::Timeout=300"],
      ...(packages.length === 0
        ? [action]
        : [action, "-y", "--no-install-recommends", ...packages]),
    ],
    env: { PATH: SYSTEM_PATH, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive", ...proxies() },
    timeoutMs: APT_TIMEOUT_MS,
  });
  if (result.code === 0) return true;
  log(`apt-get ${[action, ...packages].join(" ")} failed (exit code ${result.code}):`);
  const lines = `${result.stdoutTail}\n${result.stderrTail}`.split("\n").filter((line) => line);
  for (const line of lines.slice(-SHOWN_LINES)) log(`  ${line}`);
  return false;
}

const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** apt reaches its servers as its caller would. */
function proxies(): Record<string, string> {
  const names = ["http_proxy", "https_proxy", "no_proxy"];
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}

function isProgram(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && ((mode ?? 0) & 0o111) !== 0;
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
    error instanceof Deno.errors.PermissionDenied;
}

function canLoad(library: string): boolean {
  try {
    Deno.dlopen(library, {}).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  }
}
