/** Runs a program: argument vector, no shell, clean environment, bounds on time and output. */

/** A program to run. */
export interface Command {
  /** Absolute path of the program and its arguments. Never a secret: others can read it. */
  argv: readonly [string, ...string[]];
  /** Its whole environment; nothing is inherited. */
  env: Readonly<Record<string, string>>;
  /** After this many milliseconds it and its process group get SIGTERM, then SIGKILL. */
  timeoutMs: number;
  /** Ends it early in the same way. */
  signal?: AbortSignal;
  /** Working directory; `/` by default. */
  cwd?: string;
}

/** How it ended. */
export interface CommandResult {
  /** Exit code; 128 plus the signal's number when a signal ended it. */
  code: number;
  /** Whether the deadline ended it. */
  timedOut: boolean;
  /** The last 64 KiB of each stream, UTF-8. */
  stdoutTail: string;
  stderrTail: string;
}

/**
 * Runs a command to its end. Rejects only when it cannot be started (`Problem` `internal`).
 * An argument everywhere, so that tests see every argument vector.
 */
export type RunCommand = (command: Command) => Promise<CommandResult>;
