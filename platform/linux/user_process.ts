/** Starts programs with a user's rights: through setpriv, or the user-agent's systemd unit. */
import fs from "node:fs";
import type { Account } from "../accounts.ts";
import type { CommandResult, RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { USER_AGENT_TEMPLATE, userAgentUnitName } from "./service.ts";

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
  /** Whether something is at a path; the file system by default. */
  exists?: (path: string) => boolean;
}

/**
 * Runs a program as the account's user to its end: uid, gid, supplementary groups and environment
 * are that user's and nothing of ours but the umask is inherited; it ends when we do. Throws `Problem`
 * `internal` when it cannot be started.
 */
export function startAsUser(
  account: Account,
  program: readonly [string, ...string[]],
  { env, timeoutMs = DEADLINE_MS, signal }: StartOptions,
  { run }: UserProcessWorld,
): Promise<CommandResult> {
  const { runAs } = account;
  const argv = typeof runAs === "string" ? program : dropRights(runAs, program);
  return run({ argv, env: { ...userEnvironment(account), ...env }, timeoutMs, signal });
}

/** Whether the user-agent runs as a systemd unit here: systemd runs and the template is installed. */
export function hasUserAgentUnit({ root, exists = fs.existsSync }: UserProcessWorld): boolean {
  return root === undefined && exists("/run/systemd/system") &&
    UNIT_FOLDERS.some((folder) => exists(`${folder}/${USER_AGENT_TEMPLATE}`));
}

/**
 * Runs `device-trust-user-agent@<uid>` to its end and stops it at the deadline or the signal. The
 * program and its environment are the unit's; what it says is in the journal.
 */
export async function startUserAgentUnit(
  account: Account,
  { timeoutMs = DEADLINE_MS, signal }: Omit<StartOptions, "env">,
  { run }: UserProcessWorld,
): Promise<CommandResult> {
  const unit = userAgentUnitName(account.uid);
  const systemctl = (...args: string[]): [string, ...string[]] => ["/usr/bin/systemctl", ...args];
  const env = { PATH: SYSTEM_PATH, LANG: "C.UTF-8" };
  // The unit is of type oneshot, so this returns when it has ended; `--wait` would need D-Bus.
  const started = await run({
    argv: systemctl("start", "--no-ask-password", "--", unit),
    env,
    timeoutMs,
    signal,
  });
  if (!started.timedOut && !signal?.aborted) return started;
  // Ending systemctl ends the waiting, not the unit.
  const stopped = await run({
    argv: systemctl("stop", "--no-ask-password", "--", unit),
    env,
    timeoutMs: STOP_MS,
  });
  if (stopped.code === 0) return started;
  throw new Problem("internal", `Cannot stop ${unit}: ${stopped.stderrTail.trim()}`);
}

/** Whether that user can reach and read every one of these files. */
export async function canExecute(
  account: Account,
  files: readonly string[],
  world: UserProcessWorld,
): Promise<boolean> {
  const script = 'for file; do [ -r "$file" ] || exit 3; done';
  const { code, stderrTail } = await startAsUser(
    account,
    ["/bin/sh", "-c", script, "sh", ...files],
    { timeoutMs: 10_000 },
    world,
  );
  if (code === 0 || code === 3) return code === 0;
  throw new Problem(
    "internal",
    `Cannot run a program as '${account.name}' (uid ${account.uid}): ${stderrTail.trim()}`,
  );
}

const DEADLINE_MS = 120_000;
/** Above the unit's own time from SIGTERM to SIGKILL. */
const STOP_MS = 20_000;
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Where systemd reads units that administrators and packages put there (systemd.unit(5)). */
const UNIT_FOLDERS = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];

/**
 * The rights of one user for good: setpriv(1) changes groups, gid and uid in this order, then
 * replaces itself. Deno's own `uid` and `gid` would leave the user without supplementary groups.
 */
function dropRights(
  { uid, gid, groups }: Extract<Account["runAs"], object>,
  program: readonly string[],
): [string, ...string[]] {
  return [
    "/usr/bin/setpriv",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups === "own" ? "--init-groups" : "--clear-groups",
    "--inh-caps=-all",
    "--no-new-privs",
    "--pdeathsig=TERM",
    "--",
    ...program,
  ];
}

function userEnvironment({ name, home }: Account): Record<string, string> {
  return {
    HOME: home,
    USER: name,
    LOGNAME: name,
    SHELL: "/bin/sh",
    PATH: SYSTEM_PATH,
    LANG: "C.UTF-8",
  };
}
