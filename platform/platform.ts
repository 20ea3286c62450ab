/**
 * The one switch between operating systems. The agent asks for a {@link DevicePlatform}, the
 * user-agent for a {@link UserPlatform}; both get the adapters of the system they run on, and the
 * modules of no other system are loaded.
 */
import type { Account } from "./accounts.ts";
import type { AnsweredChallenge, ChallengeOptions } from "./challenge.ts";
import type { CommandResult } from "./command.ts";
import { Problem } from "./errors.ts";
import type { DesiredFilters, FilterLedger, FilterRemoval, FilterReport } from "./filters.ts";
import type { InspectedStore, RunningBrowser, SupportFacts, UnservedBrowser } from "./findings.ts";
import type { Os, SystemPaths } from "./paths.ts";
import type { CreatedPath, TrustStore } from "./trust_store.ts";

/** Facts about the device. */
export interface SystemFacts {
  os: Os;
  /** 1 to 255 characters. */
  hostname: string;
  /** For people, at most 255 characters. */
  osVersion: string;
  /** SHA-256 of the machine id (hexadecimal); absent where the system has none. */
  machine?: string;
}

/** How a user-agent that the agent started ended. */
export interface UserAgentExit {
  code: number;
  timedOut: boolean;
  /** The end of what it wrote to standard error. */
  errors: string;
}

/** What the agent needs of an operating system. */
export interface DevicePlatform {
  readonly os: Os;
  readonly paths: SystemPaths;
  /** `--root`, where given. */
  readonly root?: string;
  /** Whether this process may act as other users and own files as root. */
  readonly privileged: boolean;
  system(): Promise<SystemFacts>;
  /** @throws Problem `no-local-account`, `system-account` */
  account(username: string): Promise<Account>;
  writeFilters(desired: DesiredFilters, ledger: FilterLedger): FilterReport[];
  inspectFilters(desired: DesiredFilters): FilterReport[];
  /** Makes browsers read the filters once more. */
  touchFilters(desired: DesiredFilters): FilterReport[];
  removeFilters(brand: string, ledger: FilterLedger): FilterRemoval;
  /** Runs one user-agent to its end, as that user. */
  startUserAgent(
    account: Account,
    program: SelfProgram,
    signal: AbortSignal,
  ): Promise<UserAgentExit>;
}

/** What `doctor` needs beside. */
export interface DoctorPlatform extends DevicePlatform {
  /** Runs this program as that user to its end, or to the end of the time. */
  runAsUser(account: Account, program: SelfProgram, timeoutMs: number): Promise<CommandResult>;
  /** Whether the library that browsers keep certificates with can be loaded. */
  hasCertificateLibrary(): Promise<boolean>;
  /** The patterns of the filters that are in place, for who may not read the desired state. */
  installedPatterns(brand: string): Promise<string[]>;
  /** What a support bundle tells of this system. */
  supportFacts(): Promise<SupportFacts>;
}

/** What a user-agent needs of an operating system. */
export interface UserPlatform {
  /** Ids that name the channel's folder. */
  readonly uid: string;
  readonly paths: SystemPaths;
  readonly stateDir: string;
  /** @throws Problem `home-missing`, `shared-home`, `system-account` */
  checkHome(): Promise<void>;
  /** Opens the user's store; without `create` nothing is made. @throws Problem */
  openStore(options: {
    create: boolean;
    recordPath: (created: CreatedPath) => void;
  }): TrustStore;
  /** Removes what is empty of everybody's things; returns the paths that went. */
  removeCreated(created: CreatedPath[]): Promise<string[]>;
  runningBrowsers(): Promise<RunningBrowser[]>;
  /** What the stores hold now, changing nothing; blocks, see `inspectStores`. */
  inspectStores(timeoutMs: number): Promise<InspectedStore[]>;
  /** Browsers that present no leaf, and why. */
  unservedBrowsers(): Promise<UnservedBrowser[]>;
  /** Answers a portal's challenge from a store, as a browser would. @throws ChallengeFailed */
  answerChallenge(options: ChallengeOptions): Promise<AnsweredChallenge>;
}

/** This very program, to be started again. */
export interface SelfProgram {
  argv: readonly [string, ...string[]];
  /** What it needs of the environment beside the user's own. */
  env: Readonly<Record<string, string>>;
  /** Files that whoever runs it must be able to read. */
  files: readonly string[];
}

/** The agent's platform on this machine. @throws Problem `internal` on another system */
export async function devicePlatform(root: string | undefined): Promise<DoctorPlatform> {
  switch (Deno.build.os) {
    case "linux":
      return (await import("./linux/device_platform.ts")).linuxDevice(root);
    default:
      throw unserved();
  }
}

/** The user-agent's platform: the account is the one that this process runs as. @throws Problem */
export async function userPlatform(root: string | undefined): Promise<UserPlatform> {
  switch (Deno.build.os) {
    case "linux":
      return (await import("./linux/user_platform.ts")).linuxUser(root);
    default:
      throw unserved();
  }
}

function unserved(): Problem {
  return new Problem(
    "internal",
    `This version serves Linux; this machine runs ${Deno.build.os}. The mock agent server ` +
      "(device-trust mock-server) runs here.",
  );
}
