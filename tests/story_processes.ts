/** Processes of a story, as the kernel sees them (proc(5)). */

/** What the kernel says of a process. */
export interface ProcessFacts {
  pid: number;
  commandLine: string[];
  environment: Record<string, string>;
  /** Lines of `/proc/PID/status` by name, white space collapsed. */
  status: Record<string, string>;
}

/** All processes whose command line has this word as an argument. */
export function processesWith(word: string): ProcessFacts[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const facts = processFacts(Number(name));
      return facts.commandLine.includes(word) ? [facts] : [];
    } catch (error) {
      // It ended meanwhile.
      if (error instanceof Deno.errors.NotFound || isGone(error)) return [];
      throw error;
    }
  });
}

/** One process. @throws Deno.errors.NotFound */
export function processFacts(pid: number): ProcessFacts {
  const read = (name: string) => Deno.readTextFileSync(`/proc/${pid}/${name}`);
  const pairs = (text: string, between: string, after: string) =>
    Object.fromEntries(
      text.split(after).filter((item) => item.includes(between)).map((item) => {
        const at = item.indexOf(between);
        return [item.slice(0, at), item.slice(at + 1).trim().replace(/\s+/g, " ")];
      }),
    );
  return {
    pid,
    commandLine: read("cmdline").split("\0"),
    environment: pairs(read("environ"), "=", "\0"),
    status: pairs(read("status"), ":", "\n"),
  };
}

/** Resident memory, now and at its height, in MiB. */
export function memoryOf({ status }: Pick<ProcessFacts, "status">): { now: number; most: number } {
  const mebibytes = (name: string) => Number.parseInt(status[name] ?? "", 10) / 1024;
  return { now: mebibytes("VmRSS"), most: mebibytes("VmHWM") };
}

/** The kernel's word for a process that ended while it was read. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.message.includes("(os error 3)");
}
