/**
 * Which process of a device is to be killed, and where: a file beside the device's root, between a
 * test and kill_probe.ts in the processes that it starts.
 */
import { fileURLToPath } from "node:url";
import type { Program } from "./product.ts";

/** What a process is called for: the first word of its command. */
export type Role = "enroll" | "agent" | "agent-worker" | "renew" | "unenroll";

/** Has the next process of this role kill itself when it is about to make its n-th change. */
export function planKill(root: string, role: Role, at: number): void {
  Deno.writeTextFileSync(planOf(root), `${role} ${at}`);
}

/** Calls a plan off; gives what was about to be done when the process was killed, if it was. */
export function killedAt(root: string): string | undefined {
  const plan = take(planOf(root));
  const killed = take(`${planOf(root)}ed`);
  if (plan === undefined && killed === undefined) {
    throw new Error(`Nothing was planned for ${root}`);
  }
  return killed;
}

/** The number of the change that a process of this role is to be killed at. */
export function plannedFor(root: string, role: string): number | undefined {
  const [planned, at] = read(planOf(root))?.split(" ") ?? [];
  return planned === role ? Number(at) : undefined;
}

/** Kills this process, for good and once: the plan is done. */
export function kill(root: string, what: string): void {
  Deno.writeTextFileSync(`${planOf(root)}ed`, what);
  Deno.removeSync(planOf(root));
  Deno.kill(Deno.pid, "SIGKILL");
}

/** The program from source with the probe before it. */
export function probed([executable, run, ...args]: Program): Program {
  return [executable, run ?? "run", "--preload", PROBE, ...args];
}

/** The arguments of a worker that the program starts, with the probe before it. */
export function probedWorker(args: readonly string[]): string[] {
  const [run = "run", ...rest] = args;
  return rest.at(-1) === "agent-worker" ? [run, "--preload", PROBE, ...rest] : [...args];
}

const PROBE = fileURLToPath(new URL("kill_probe.ts", import.meta.url));

const planOf = (root: string) => `${root}.kill`;

function take(path: string): string | undefined {
  const text = read(path);
  if (text !== undefined) Deno.removeSync(path);
  return text;
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
