/** Runs a program: argument vector, no shell, clean environment, bounds on time and output. */
import { Problem } from "./errors.ts";

/** A program to run. */
export interface Command {
  /** Absolute path of the program and its arguments. Never a secret: others can read it. */
  argv: readonly [string, ...string[]];
  /** Its whole environment; nothing is inherited. Never a secret. */
  env: Readonly<Record<string, string>>;
  /**
   * After this many milliseconds it and its process group get SIGTERM, then SIGKILL. Windows has no
   * such groups: the program alone is ended there.
   */
  timeoutMs: number;
  /** Ends it early in the same way. */
  signal?: AbortSignal;
  /** Working directory; `/` by default. */
  cwd?: string;
  /** All of its standard input, the only place for a secret; without it there is none. */
  input?: string;
  /** How many bytes of the end of each stream are kept; 64 KiB by default. */
  keptBytes?: number;
}

/** How it ended. */
export interface CommandResult {
  /** Exit code; 128 plus the signal's number when a signal ended it. */
  code: number;
  /** Whether the deadline ended it. */
  timedOut: boolean;
  /** The last 64 KiB (or `keptBytes`) of each stream, UTF-8. */
  stdoutTail: string;
  stderrTail: string;
}

/**
 * Runs a command to its end. Rejects only when it cannot be started (`Problem` `internal`).
 * An argument everywhere, so that tests see every argument vector.
 */
export type RunCommand = (command: Command) => Promise<CommandResult>;

/**
 * {@link RunCommand} on the real system. The program leads a session and process group of its own,
 * has no standard input but `input`.
 */
export const runCommand: RunCommand = async ({ timeoutMs, signal, ...command }) => {
  const child = start(command);
  let exited = false;
  let timedOut = false;
  let killing: ReturnType<typeof setTimeout> | undefined;
  const send = (name: Deno.Signal) => signalGroup(child.pid, name, exited);
  const stop = () => {
    send("SIGTERM");
    killing ??= setTimeout(() => send("SIGKILL"), GRACE_MS);
  };
  const deadline = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  const streams = [child.stdout, child.stderr].map((stream) => tailOf(stream, command.keptBytes));
  const writing = command.input === undefined ? undefined : write(child.stdin, command.input);
  try {
    const [{ code }] = await Promise.all([child.status, writing]);
    exited = true;
    // Whoever ignored the polite signal does not outlive the program that started it.
    if (killing !== undefined) send("SIGKILL");
    const [stdoutTail, stderrTail] = await Promise.all(streams.map((tail) => tail.end()));
    return { code, timedOut, stdoutTail: stdoutTail ?? "", stderrTail: stderrTail ?? "" };
  } finally {
    clearTimeout(deadline);
    clearTimeout(killing);
    signal?.removeEventListener("abort", stop);
  }
};

/** Between SIGTERM and SIGKILL, and for output that is still in the pipe after the end. */
const GRACE_MS = 2000;
const TAIL_BYTES = 64 * 1024;

function start(
  { argv, env, cwd, input }: Omit<Command, "timeoutMs" | "signal">,
): Deno.ChildProcess {
  const [program, ...args] = argv;
  const windows = Deno.build.os === "windows";
  try {
    return new Deno.Command(program, {
      args,
      env: { ...env },
      clearEnv: true,
      cwd: cwd ?? (windows ? undefined : "/"),
      detached: true,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Problem("internal", `Cannot start ${program}: ${why}`, { cause: error });
  }
}

/** Reaches the whole group; the program alone where there is none. Gone already is success. */
function signalGroup(pid: number, name: Deno.Signal, exited: boolean): void {
  const program = exited ? [] : [pid];
  for (const target of Deno.build.os === "windows" ? program : [-pid, ...program]) {
    try {
      Deno.kill(target, name);
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !isEnding(error)) throw error;
    }
  }
}

/** What Windows says of a program that is just ending; elsewhere it means what it says. */
function isEnding(error: unknown): boolean {
  return Deno.build.os === "windows" && error instanceof Deno.errors.PermissionDenied;
}

/** Gives a program its input; one that ends without reading all of it has had enough. */
async function write(stream: WritableStream<Uint8Array>, input: string): Promise<void> {
  const writer = stream.getWriter();
  try {
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/** Reads a stream all the time, so that its writer never waits, and keeps the end of it. */
function tailOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  keptBytes = TAIL_BYTES,
): { end(): Promise<string> } {
  const reader = stream.getReader();
  let tail = new Uint8Array();
  const reading = (async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const joined = new Uint8Array(tail.length + next.value.length);
      joined.set(tail);
      joined.set(next.value, tail.length);
      tail = joined.slice(-keptBytes);
    }
  })();
  return {
    /** What was left by a process that outlives the program and keeps the pipe open is not waited for. */
    async end() {
      const patience = setTimeout(() => reader.cancel(), GRACE_MS);
      await reading;
      clearTimeout(patience);
      return new TextDecoder().decode(tail);
    },
  };
}
