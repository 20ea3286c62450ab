/** Local accounts: who a managed user is on this device, and whether we may serve that account. */
import type { RunCommand } from "./command.ts";

/** A local account that may hold certificates. */
export interface Account {
  /** Exactly as the agent server wrote it. */
  name: string;
  /** What the system knows it by: the uid, decimal; on Windows the SID. */
  uid: string;
  /**
   * Home folder, absolute, under `--root` where accounts come from there; on Windows "" until the
   * account signs on to this computer for the first time.
   */
  home: string;
  /**
   * Whose rights the account's processes get: its own, or (without root rights) the caller's.
   * `groups`: `own` when the operating system knows the account's supplementary groups, `none`
   * when it comes from a `passwd` file under `--root`. `session`: its own, in a session that only
   * its sign-on begins.
   */
  runAs: { uid: number; gid: number; groups: "own" | "none" } | "self" | "session";
}

/** What a look-up depends on. */
export interface AccountWorld {
  /** `--root`, absolute. */
  root?: string;
  /** The caller's own effective user id (`Deno.uid()`). */
  uid: number;
  run: RunCommand;
  /** The kernel's mount table; `/proc/self/mountinfo` by default. */
  mounts?: () => Promise<string>;
}

/**
 * Finds the account of exactly this name. Throws `Problem`:
 * `no-local-account` when there is none (or only one by another spelling);
 * `system-account` for uid 0, uids below UID_MIN, 65534 and 65535;
 * `home-missing` when it has no home at all;
 * `internal` when the name service fails, or the account is not the caller's and the caller not root.
 */
export type LookUpAccount = (name: string, world: AccountWorld) => Promise<Account>;

/**
 * Checks an account's home, touching nothing below it. Throws `Problem`: `home-missing` when there
 * is none on disk now (waits), `shared-home` on a network file system, `system-account` when it
 * belongs to another uid.
 */
export type CheckHome = (account: Account, world: AccountWorld) => Promise<void>;
