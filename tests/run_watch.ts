/**
 * Watches a run while it goes on: argument vectors and environments of every process that this one
 * started, directly or not, and every file in the given folders.
 */
import type { Program } from "./product.ts";
import type { Evidence } from "./secret_search.ts";

/** A watch that is kept until it is disposed of. */
export interface RunWatch extends AsyncDisposable {
  /** Looks at every file now. */
  look(): void;
}

/** Between looks at processes, milliseconds: short against the life of a process of the runtime. */
const PROCESS_PAUSE = 3;
/** Looks at processes for each look at files. */
const FILE_EVERY = 20;

/** Starts to watch. What is seen goes to `evidence`; places begin with the folder's own name. */
export function watchRun(
  evidence: Evidence,
  folders: Readonly<Record<string, string>>,
): RunWatch {
  const processes = new ProcessWatch(evidence);
  const files = new Map<string, string>();
  const look = () => {
    for (const [name, folder] of Object.entries(folders)) {
      lookAtFiles(evidence, name, folder, files);
    }
  };
  let ended = false;
  const watching = (async () => {
    for (let count = 0; !ended; count++) {
      processes.look();
      if (count % FILE_EVERY === 0) look();
      await new Promise((resolve) => setTimeout(resolve, PROCESS_PAUSE));
    }
  })();
  return {
    look,
    async [Symbol.asyncDispose]() {
      ended = true;
      await watching;
    },
  };
}

class ProcessWatch {
  /** Processes that are there, and whether they are of this run. */
  readonly #known = new Map<string, boolean>([[String(Deno.pid), false]]);

  constructor(private readonly evidence: Evidence) {}

  look(): void {
    const there = new Set<string>();
    for (const { name } of Deno.readDirSync("/proc")) if (/^\d+$/.test(name)) there.add(name);
    for (const pid of this.#known.keys()) if (!there.has(pid)) this.#known.delete(pid);
    for (const pid of there) {
      // In the order of their numbers a parent mostly comes before its children; if not, next time.
      if (!this.#known.has(pid) && this.#isOurs(pid)) this.#known.set(pid, true);
      if (this.#known.get(pid)) this.#lookAt(pid);
    }
  }

  #isOurs(pid: string): boolean {
    const stat = readIfThere(`/proc/${pid}/stat`);
    if (stat === undefined) return false;
    const [, parent = ""] = /^.*\) \S+ (\d+)/s.exec(new TextDecoder().decode(stat)) ?? [];
    if (parent === String(Deno.pid) || this.#known.get(parent)) return true;
    // Somebody else's, whose parent is no process of this run now and never becomes one.
    if (this.#known.has(parent) || parent === "0" || parent === "1") this.#known.set(pid, false);
    return false;
  }

  /** Its arguments and environment are those of its last exec, so they are looked at again. */
  #lookAt(pid: string): void {
    const argv = readIfThere(`/proc/${pid}/cmdline`);
    const environment = readIfThere(`/proc/${pid}/environ`);
    const command = commandOf(argv);
    if (argv?.length) this.evidence.add(`argv of ${command}`, argv);
    if (environment?.length) this.evidence.add(`environment of ${command}`, environment);
  }
}

/** The command of this product that a process runs, or the name of another program. */
function commandOf(argv: Uint8Array | undefined): string {
  const [program = "", ...args] = new TextDecoder().decode(argv).split("\0");
  const main = args.findIndex((arg) => arg.endsWith("/main.ts"));
  const own = args.slice(main + 1).filter((arg, at, all) =>
    arg !== "--root" && all[at - 1] !== "--root"
  );
  return main < 0 ? program.split("/").at(-1) ?? "" : own[0] ?? "";
}

/** A process may end, or change its user, while it is looked at. */
function readIfThere(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return undefined;
    }
    // No such process: it ended between being opened and being read.
    if (error instanceof Error && error.message.includes("os error 3")) return undefined;
    throw error;
  }
}

/** Notes every file that is new or has changed. */
function lookAtFiles(
  evidence: Evidence,
  place: string,
  path: string,
  known: Map<string, string>,
): void {
  for (const { name, isDirectory, isFile } of entriesIfThere(path)) {
    const [child, where] = [`${path}/${name}`, `${place}/${name}`];
    if (isDirectory) lookAtFiles(evidence, where, child, known);
    if (!isFile) continue;
    const stamp = stampIfThere(child);
    if (stamp === undefined || known.get(child) === stamp) continue;
    const content = readIfThere(child);
    if (content === undefined) continue;
    known.set(child, stamp);
    evidence.add(where, content);
  }
}

function entriesIfThere(path: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(path)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function stampIfThere(path: string): string | undefined {
  try {
    const { mtime, size, ino } = Deno.lstatSync(path);
    return `${ino} ${size} ${mtime?.getTime()}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * The same program with every exec of it and of what it starts written to `file`, where strace(1)
 * can do that; else the program itself: then those are seen that live long enough.
 */
export function withExecTrace(program: Program, file: string): Program {
  if (!canTrace()) return program;
  return ["strace", ...TRACE, "-v", "-s", "65536", "-A", "-o", file, ...program];
}

/** `-D`: the program stays the child of who starts it, so that signals reach it. */
const TRACE = ["-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=execve", "-e", "signal=none"];

function canTrace(): boolean {
  try {
    const args = [...TRACE, "-o", "/dev/null", "true"];
    return new Deno.Command("strace", { args, stderr: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
