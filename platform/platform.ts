/**
 * The one switch between operating systems. The agent asks for a {@link DevicePlatform}, the
 * user-agent for a {@link UserPlatform}; both get the adapters of the system they run on.
 */
import type { Account } from "./accounts.ts";
import type { AnsweredChallenge, ChallengeOptions } from "./challenge.ts";
import { type CommandResult, runCommand } from "./command.ts";
import { Problem } from "./errors.ts";
import { checkHome, lookUpAccount } from "./linux/accounts.ts";
import type { InspectedStore } from "./linux/nss_inspection.ts";
import { findRunningBrowsers, type RunningBrowser } from "./linux/running_browsers.ts";
import {
  type DesiredFilters,
  type FilterRemoval,
  type FilterReport,
  type FilterWorld,
  inspectFilters,
  removeFilters,
  touchFilters,
  writeFilters,
} from "./linux/selection_filters.ts";
import type { SupportFacts } from "./linux/support_facts.ts";
import { readSystemInfo } from "./linux/system_info.ts";
import {
  canExecute,
  hasUserAgentUnit,
  startAsUser,
  startUserAgentUnit,
} from "./linux/user_process.ts";
import type { UnservedBrowser } from "./linux/unserved_browsers.ts";
import { type Os, type SystemPaths, systemPaths, userPaths } from "./paths.ts";
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
  writeFilters(desired: DesiredFilters, ledger: Omit<FilterWorld, "root">): FilterReport[];
  inspectFilters(desired: DesiredFilters): FilterReport[];
  /** Makes browsers read the filters once more. */
  touchFilters(desired: DesiredFilters): FilterReport[];
  removeFilters(brand: string, ledger: Omit<FilterWorld, "root">): FilterRemoval;
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
export function devicePlatform(root: string | undefined): DoctorPlatform {
  requireLinux();
  const paths = systemPaths({ os: "linux", ...(root === undefined ? {} : { root }) });
  const uid = Deno.uid() ?? 0;
  const under = root === undefined ? {} : { root };
  const accounts = { ...under, uid, run: runCommand };
  return {
    ...under,
    os: "linux",
    paths,
    privileged: uid === 0,
    async system() {
      const { hostname, osVersion, machineId } = readSystemInfo(root);
      const machine = machineId === undefined ? {} : { machine: await sha256(machineId) };
      return { os: "linux", hostname, osVersion, ...machine };
    },
    account: (username) => lookUpAccount(username, accounts),
    writeFilters: (desired, ledger) => writeFilters(desired, { ...ledger, ...under }),
    inspectFilters: (desired) => inspectFilters(desired, under),
    touchFilters: (desired) => touchFilters(desired, under),
    removeFilters: (brand, ledger) => removeFilters(brand, { ...ledger, ...under }),
    async startUserAgent(account, program, signal) {
      const world = { run: runCommand, ...under };
      const result = hasUserAgentUnit(world)
        ? await startUserAgentUnit(account, { signal }, world)
        : await startAsUser(
          await reachable(account, program, root),
          program.argv,
          { env: { ...program.env, ...accountOf(account, root) }, signal },
          world,
        );
      return { code: result.code, timedOut: result.timedOut, errors: result.stderrTail };
    },
    async runAsUser(account, program, timeoutMs) {
      const able = await reachable(account, program, root);
      const env = { ...program.env, ...accountOf(account, root) };
      return await startAsUser(
        able,
        program.argv,
        { env, timeoutMs },
        { run: runCommand, ...under },
      );
    },
    async hasCertificateLibrary() {
      const { isOnThisMachine, LIBNSS3 } = await import("./linux/packages.ts");
      return isOnThisMachine(LIBNSS3);
    },
    async installedPatterns(brand) {
      const { installedPatterns } = await import("./linux/installed_patterns.ts");
      return installedPatterns(brand, root);
    },
    async supportFacts() {
      const { gatherSupportFacts } = await import("./linux/support_facts.ts");
      return await gatherSupportFacts({ root, paths });
    },
  };

  /**
   * Under `--root` this program may lie where the account cannot read it (run from source in
   * root's own home): then the caller's own rights serve it. An installed agent never does that.
   */
  async function reachable(
    account: Account,
    program: SelfProgram,
    root: string | undefined,
  ): Promise<Account> {
    if (root === undefined || account.runAs === "self") return account;
    const able = await canExecute(account, program.files, { run: runCommand, root });
    return able ? account : { ...account, runAs: "self" };
  }
}

/** The user-agent's platform: the account is the one that this process runs as. */
export async function userPlatform(root: string | undefined): Promise<UserPlatform> {
  requireLinux();
  // Of no use to the agent and to commands, which open no store.
  const { fileSystemProbe, openNssdb, removeCreatedPaths } = await import("./linux/nssdb.ts");
  const under = root === undefined ? {} : { root };
  const home = Deno.env.get("HOME");
  const ownUid = Deno.uid() ?? 0;
  // Under --root without root's rights, accounts are served by a uid that is not theirs.
  const uid = root === undefined ? ownUid : Number(Deno.env.get("DEVICE_TRUST_UID") ?? ownUid);
  if (!home?.startsWith("/")) {
    throw new Problem("home-missing", "HOME is not set to an absolute path; nothing was done.");
  }
  const xdgDataHome = Deno.env.get("XDG_DATA_HOME");
  const place = { home, ...(xdgDataHome?.startsWith("/") ? { xdgDataHome } : {}) };
  return {
    uid: String(uid),
    paths: systemPaths({ os: "linux", ...under }),
    stateDir: userPaths({ os: "linux", home }).stateDir,
    checkHome: () =>
      checkHome(
        { name: Deno.env.get("USER") ?? "", uid, gid: Deno.gid() ?? 0, home, runAs: "self" },
        { ...under, uid: ownUid, run: runCommand },
      ),
    openStore: (options) => openNssdb({ ...place, ...options }),
    removeCreated: (created) => removeCreatedPaths(created),
    runningBrowsers: () => Promise.resolve(findRunningBrowsers(ownUid)),
    async inspectStores(timeoutMs) {
      const { inspectStores } = await import("./linux/nss_inspection.ts");
      return inspectStores({ ...place, uid: ownUid }, timeoutMs);
    },
    async unservedBrowsers() {
      const { findUnservedBrowsers } = await import("./linux/unserved_browsers.ts");
      return findUnservedBrowsers(home, fileSystemProbe);
    },
    async answerChallenge(options) {
      const { challengeFromNss } = await import("./linux/nss_handshake.ts");
      return await challengeFromNss(options);
    },
  };
}

/** Under `--root` a user-agent may run with a uid that is not its account's, so it is told. */
function accountOf(account: Account, root: string | undefined): Record<string, string> {
  return root === undefined ? {} : { DEVICE_TRUST_UID: String(account.uid) };
}

function requireLinux(): void {
  if (Deno.build.os === "linux") return;
  throw new Problem(
    "internal",
    `This version serves Linux; this machine runs ${Deno.build.os}. The mock agent server ` +
      "(device-trust mock-server) runs here.",
  );
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
