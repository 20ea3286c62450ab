/**
 * The one switch between operating systems. The agent asks for a {@link DevicePlatform}, the
 * user-agent for a {@link UserPlatform}; both get the adapters of the system they run on, and the
 * modules of no other system are loaded.
 */
import type { Account } from "./accounts.ts";
import type { AnsweredChallenge, ChallengeOptions } from "./challenge.ts";
import type { CommandResult } from "./command.ts";
import { Problem } from "./errors.ts";
import type {
  DesiredFilters,
  FilterLedger,
  FilterRemoval,
  FilterReport,
  UserFilters,
} from "./filters.ts";
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

/**
 * How agent and user-agents meet (DESIGN section 6): at Unix sockets, or by files in folders that
 * are each written by one side alone.
 */
export type Meeting = "sockets" | "folders";

/** What the agent needs of an operating system. */
export interface DevicePlatform {
  readonly os: Os;
  readonly paths: SystemPaths;
  /** `--root`, where given. */
  readonly root?: string;
  /** Whether this process may act as other users and own files as root. */
  readonly privileged: boolean;
  readonly meeting: Meeting;
  system(): Promise<SystemFacts>;
  /** @throws Problem `no-local-account`, `system-account` */
  account(username: string): Promise<Account>;
  writeFilters(desired: DesiredFilters, ledger: FilterLedger): FilterReport[];
  inspectFilters(desired: DesiredFilters): FilterReport[];
  /** Makes browsers read the filters once more. */
  touchFilters(desired: DesiredFilters): FilterReport[];
  removeFilters(brand: string, ledger: FilterLedger): FilterRemoval;
  /**
   * Opens what the device keeps for all its users, where there is such a thing: on Windows the root
   * is the computer's. @throws Problem
   */
  openDeviceStore?(): TrustStore;
  /**
   * Makes the folders that the agent is met in, and those of the account `uid` where given:
   * `usersRunDir/UID`, and where it is met in folders `in` and `out` below it, and below `control`.
   *
   * @throws UnsafePath when one is there that others may change
   */
  makeRunFolders(uid?: string): void;
  /**
   * The bytes of a file in a folder that a user may write: a regular file under this one name and
   * no other, no larger than `maxBytes`; no link is followed. Undefined when it is gone.
   *
   * @throws UnsafePath for anything else
   */
  readUserFile(path: string, maxBytes: number): Uint8Array | undefined;
  /**
   * Runs one user-agent to its end, as that user; undefined where it lives in the login session and
   * is told by its channel.
   *
   * @throws Problem `not-logged-on` where it needs a session and there is none
   */
  startUserAgent(
    account: Account,
    program: SelfProgram,
    signal: AbortSignal,
  ): Promise<UserAgentExit | undefined>;
}

/** What commands need beside, `doctor` most of all. */
export interface DoctorPlatform extends DevicePlatform {
  /** Makes the folder of the agent's state, root's alone. @throws UnsafePath */
  makeStateFolder(): void;
  /** Makes the folder of the agent's logs, where nothing else keeps what it writes; gives its path. */
  makeLogFolder?(): string;
  /** The system's own manager of services, where this version installs itself there. */
  readonly service?: SystemService;
  /** Runs this program as that user to its end, or to the end of the time. */
  runAsUser(account: Account, program: SelfProgram, timeoutMs: number): Promise<CommandResult>;
  /** Whether the library that browsers keep certificates with can be loaded. */
  hasCertificateLibrary(): Promise<boolean>;
  /** The patterns of the filters that are in place, for who may not read the desired state. */
  installedPatterns(brand: string): Promise<string[]>;
  /** What a support bundle tells of this system. */
  supportFacts(): Promise<SupportFacts>;
}

/** How a user-agent opens its user's store; the ledger's part is for stores that ask it. */
export interface OpenUserStore {
  /** Whether the store is wanted; without, nothing is made. */
  create: boolean;
  brand: string;
  /** Applications beside browsers that may use our keys (macOS): absolute paths. */
  macosApplications: readonly string[];
  /** What the ledger says was made. */
  created: readonly CreatedPath[];
  /** DER SubjectPublicKeyInfo of every key in the ledger. */
  publicKeys: () => readonly Uint8Array[];
  /** Called before a folder, database or keychain is made; when it throws, it is not made. */
  recordPath: (created: CreatedPath) => void;
}

/** Agent and user-agent as services of the operating system. Everything throws Problem. */
export interface SystemService {
  /** Installs both, or brings them up to date, and starts the agent. @param binary absolute */
  install(binary: string): Promise<void>;
  /** Ends and removes both; absent is success. */
  uninstall(): Promise<void>;
  status(): Promise<ServiceStatus[]>;
}

/** How one of the two is. */
export interface ServiceStatus {
  /** What the system calls it. */
  name: string;
  installed: boolean;
  /** Absent where the system does not say. */
  running?: boolean;
}

/** What a user-agent needs of an operating system. */
export interface UserPlatform {
  /** Ids that name the channel's folder. */
  readonly uid: string;
  readonly paths: SystemPaths;
  readonly meeting: Meeting;
  readonly stateDir: string;
  /**
   * Makes this process the one resident user-agent of its user, until it ends; false when another
   * is. Absent where none is resident.
   */
  claimResidence?(): boolean;
  /** @throws Problem `home-missing`, `shared-home`, `system-account` */
  checkHome(): Promise<void>;
  /** Opens the user's store; without `create` nothing is made. @throws Problem */
  openStore(options: OpenUserStore): TrustStore;
  /**
   * Removes the store itself once nothing of ours is in it, where it is ours alone (a keychain): at
   * every OFF. Absent is success, and what others keep in it keeps it. Gives what went, read back.
   *
   * @throws Problem
   */
  removeStore?(options: OpenUserStore): Promise<{ kind: "keychain" | "password"; id: string }[]>;
  /** Removes what is empty of everybody's things; returns the paths that went. */
  removeCreated(created: CreatedPath[]): Promise<string[]>;
  /** Filters in the user's own settings, where that is where browsers look. */
  readonly filters?: UserFilters;
  /** The password of the user's keychain, for that user to read. @throws Problem */
  keychainPassword?(brand: string): Promise<string | undefined>;
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
    case "darwin":
      return (await import("./macos/device_platform.ts")).macosDevice(root);
    case "windows":
      return (await import("./windows/device_platform.ts")).windowsDevice(root);
    default:
      throw unserved();
  }
}

/** The user-agent's platform: the account is the one that this process runs as. @throws Problem */
export async function userPlatform(root: string | undefined): Promise<UserPlatform> {
  switch (Deno.build.os) {
    case "linux":
      return (await import("./linux/user_platform.ts")).linuxUser(root);
    case "darwin":
      return (await import("./macos/user_platform.ts")).macosUser(root);
    case "windows":
      return (await import("./windows/user_platform.ts")).windowsUser(root);
    default:
      throw unserved();
  }
}

function unserved(): Problem {
  return new Problem(
    "internal",
    `This version serves Linux, macOS and Windows; this machine runs ${Deno.build.os}. The mock ` +
      "agent server (device-trust mock-server) runs here.",
  );
}
