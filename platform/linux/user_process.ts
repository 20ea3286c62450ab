/** Starts programs with a user's rights: through setpriv, or the user-agent's systemd unit. */
import type { Account } from "../accounts.ts";
import type { CommandResult, RunCommand } from "../command.ts";

/** How {@link startAsUser} starts a program. */
export interface StartOptions {
  /** Added to HOME, USER, LOGNAME, SHELL, PATH and LANG. Never a secret. */
  env?: Readonly<Record<string, string>>;
  /** Milliseconds, 120 s by default; then SIGTERM and SIGKILL to the whole process group. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What starting depends on. */
export interface UserProcessWorld {
  run: RunCommand;
  /** `--root`; with one, systemd is never used. */
  root?: string;
}

/** Runs a program as the account's user to its end, umask 077, nothing inherited. */
export function startAsUser(
  _account: Account,
  _program: readonly [string, ...string[]],
  _options: StartOptions,
  _world: UserProcessWorld,
): Promise<CommandResult> {
  throw new Error("signature only");
}

/** Whether the user-agent runs as a systemd unit here: systemd runs and the template is installed. */
export function hasUserAgentUnit(_world: UserProcessWorld): boolean {
  throw new Error("signature only");
}

/** Runs `device-trust-user-agent@<uid>` to its end and stops it at the deadline. */
export function startUserAgentUnit(
  _account: Account,
  _options: StartOptions,
  _world: UserProcessWorld,
): Promise<CommandResult> {
  throw new Error("signature only");
}

/** Whether that user can reach and read every one of these files. */
export function canExecute(
  _account: Account,
  _files: readonly string[],
  _world: UserProcessWorld,
): Promise<boolean> {
  throw new Error("signature only");
}
