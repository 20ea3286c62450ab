/**
 * Which applications may use our keys without asking, and what macOS knows each by. A key has two
 * guards and an application passes both: the access list, fixed when the key is imported, names
 * applications by path; the partition list, which can be set again, names signatures (Apple's
 * securityd, clientid.cpp and acls.cpp of release 61901).
 */
import type { RunCommand } from "../command.ts";
import { LINE_BYTES, LINE_WORDS, wordBytes } from "./security_command.ts";
import { MACOS } from "./system_commands.ts";

/** What finding applications needs. */
export interface ApplicationWorld {
  run: RunCommand;
  /** The user's home folder, absolute. */
  home: string;
  /** What the agent server names: absolute paths. */
  macosApplications: readonly string[];
  /** This program, which signs renewals. */
  ownProgram: string;
  /** Prefix of every path of the system, for tests. */
  root?: string;
  /** Path of Apple's `codesign`. */
  codesign?: string;
}

/** Applications that get access, and those that cannot. */
export interface ApplicationAccess {
  /** Absolute paths, most important first. */
  paths: string[];
  /** Partition ids of their signatures, and of `security` itself. */
  partitions: string[];
  /** What the agent server named and cannot have access, with the reason for people. */
  refused: { path: string; reason: string }[];
}

/** Bundles of browsers by file name, in `/Applications` and in the user's own. */
const BROWSERS = [
  "Google Chrome.app",
  "Safari.app",
  "Microsoft Edge.app",
  "Brave Browser.app",
  "Chromium.app",
  "Vivaldi.app",
  "Opera.app",
] as const;

/** The process that speaks TLS for Safari, in the system and in its separately updated part. */
const SAFARI_NETWORKING = ["", "/System/Cryptexes/OS"].map((system) =>
  `${system}/System/Library/Frameworks/WebKit.framework/Versions/A/XPCServices/` +
  "com.apple.WebKit.Networking.xpc"
);

/** `security` itself, which manages the keys. */
const SECURITY_PARTITION = "apple-tool:";

/** Looks at the applications that are there now, and at their signatures. */
export async function findApplications(world: ApplicationWorld): Promise<ApplicationAccess> {
  const root = world.root ?? "";
  const browsers = [`${root}/Applications`, `${world.home}/Applications`]
    .flatMap((folder) => BROWSERS.map((name) => `${folder}/${name}`));
  const system = [...browsers, ...SAFARI_NETWORKING.map((path) => root + path)];
  const present = [world.ownProgram, ...system].filter(exists);
  const access: ApplicationAccess = { paths: [], partitions: [SECURITY_PARTITION], refused: [] };
  for (const path of new Set([...present, ...world.macosApplications])) {
    const partition = path.startsWith("/") && exists(path)
      ? await partitionOf(path, world)
      : undefined;
    if (partition !== undefined) {
      access.paths.push(path);
      if (!access.partitions.includes(partition)) access.partitions.push(partition);
    } else if (world.macosApplications.includes(path)) {
      access.refused.push({ path, reason: reasonAgainst(path) });
    }
  }
  return access;
}

/**
 * As many of `paths`, the first ones, as fit behind `words` into one line of `security -i`.
 *
 * @param option what stands before each path in its word
 */
export function fitting(
  paths: readonly string[],
  words: readonly string[],
  option: string,
): string[] {
  let free = LINE_BYTES - words.reduce((sum, word) => sum + wordBytes(word), 0);
  const taken: string[] = [];
  for (const path of paths.slice(0, LINE_WORDS - words.length)) {
    free -= wordBytes(option + path);
    if (free < 0) break;
    taken.push(path);
  }
  return taken;
}

/**
 * The partition of code by what `codesign --display` tells of it: Apple's own, else the team that
 * signed it, else this very build of it. Undefined for code that nobody signed.
 */
export function partitionFrom(description: string): string | undefined {
  const value = (name: string) => new RegExp(`^${name}=(.+)$`, "m").exec(description)?.[1];
  if (value("Authority") === "Software Signing") return "apple:";
  const team = value("TeamIdentifier");
  if (team !== undefined && /^[A-Z0-9]{10}$/.test(team)) return `teamid:${team}`;
  const hash = value("CDHash");
  return hash !== undefined && /^[0-9a-f]{40}$/.test(hash) ? `cdhash:${hash}` : undefined;
}

async function partitionOf(path: string, world: ApplicationWorld): Promise<string | undefined> {
  const [program, ...args] = MACOS.signature(path);
  const { code, stderrTail } = await world.run({
    argv: [world.codesign ?? program, ...args],
    env: { HOME: world.home, PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
    timeoutMs: 30_000,
  });
  // It writes everything to standard error.
  return code === 0 ? partitionFrom(stderrTail) : undefined;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function reasonAgainst(path: string): string {
  if (!path.startsWith("/")) return "it is not named by an absolute path";
  return exists(path) ? "it is not signed" : "it is not installed";
}
