/** Agent and user-agent as tasks of Windows' Task Scheduler, which `schtasks.exe` registers. */
import { win32 } from "node:path";
import type { CommandResult, RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { writeFileAtomic } from "../files.ts";
import type { ServiceStatus, SystemService } from "../platform.ts";
import { strangersWhoMayChange } from "./access_rules.ts";
import { AGENT_TASK, agentTask, USER_AGENT_TASK, userAgentTask } from "./scheduled_tasks.ts";
import type { Security } from "./security.ts";

/** What installing depends on. */
export interface ServiceWorld {
  run: RunCommand;
  /** `%SystemRoot%`. */
  windows: string;
  /** A folder that only administrators can write; it is there. */
  stateDir: string;
  /** Owner and list of accesses of a file or folder; undefined when nothing is there. */
  security: (path: string) => Security | undefined;
}

/** The service of this computer. */
export function taskService(world: ServiceWorld): SystemService {
  const system32 = win32.join(world.windows, "System32");
  return {
    async install(binary) {
      refuseReplaceable(binary, world);
      const tasks = [
        [AGENT_TASK, agentTask(binary)],
        [USER_AGENT_TASK, userAgentTask(binary, win32.join(system32, "conhost.exe"))],
      ] as const;
      for (const [name, xml] of tasks) {
        // An older version of it gives way.
        await tryTo(world, ["/end", "/tn", name]);
        await register(world, name, xml);
      }
      await must(world, `start ${AGENT_TASK}`, ["/run", "/tn", AGENT_TASK]);
      // Whoever is signed on gets one where Windows lets that be; all others with their sign-on.
      await tryTo(world, ["/run", "/tn", USER_AGENT_TASK]);
    },
    async uninstall() {
      for (const name of [USER_AGENT_TASK, AGENT_TASK]) {
        if (!(await statusOf(world, name)).installed) continue;
        await tryTo(world, ["/end", "/tn", name]);
        await must(world, `remove ${name}`, ["/delete", "/tn", name, "/f"]);
      }
    },
    async status() {
      return [await statusOf(world, AGENT_TASK), await statusOf(world, USER_AGENT_TASK)];
    },
  };
}

const PATIENCE_MS = 30_000;

async function register(world: ServiceWorld, name: string, xml: string): Promise<void> {
  const file = win32.join(world.stateDir, "task.xml");
  writeFileAtomic(file, utf16(xml), { mode: 0o600 });
  try {
    await must(world, `register ${name}`, ["/create", "/tn", name, "/xml", file, "/f"]);
  } finally {
    Deno.removeSync(file);
  }
}

/** Where only administrators can change what runs as SYSTEM. @throws Problem `internal` */
function refuseReplaceable(binary: string, { security }: ServiceWorld): void {
  const folders: string[] = [];
  for (let at = win32.dirname(binary);; at = win32.dirname(at)) {
    folders.push(at);
    if (win32.dirname(at) === at) break;
  }
  const parts: { path: string; what: "program" | "folder" | "above" }[] = [
    { path: binary, what: "program" },
    ...folders.map((path, index) => ({
      path,
      what: index === 0 ? "folder" as const : "above" as const,
    })),
  ];
  for (const { path, what } of parts) {
    const found = security(path);
    if (!found) throw new Problem("internal", `There is no ${path} to make a service of.`);
    const [stranger] = strangersWhoMayChange(what, found);
    if (stranger === undefined) continue;
    throw new Problem(
      "internal",
      `${path} can be changed by ${stranger}, who would then be SYSTEM: put the binary where only ` +
        "administrators can write, such as C:\\Program Files\\Device Trust, and give it to them " +
        "(takeown /a /f)",
    );
  }
}

/** Whether a task runs, schtasks tells in words of the system's language alone. */
async function statusOf(world: ServiceWorld, name: string): Promise<ServiceStatus> {
  const { code } = await schtasks(world, ["/query", "/tn", name]);
  return { name, installed: code === 0 };
}

async function must(world: ServiceWorld, task: string, args: readonly string[]): Promise<void> {
  const { code, timedOut, stdoutTail, stderrTail } = await schtasks(world, args);
  if (code === 0) return;
  const why = timedOut
    ? `the Task Scheduler did not answer in ${PATIENCE_MS / 1000} s`
    : stderrTail.trim() || stdoutTail.trim() || `schtasks.exe ended with ${code}`;
  throw new Problem(
    "internal",
    `Cannot ${task}: ${why.replace(/\.$/, "")}. Run this as an administrator.`,
  );
}

/** How it ends does not matter. */
async function tryTo(world: ServiceWorld, args: readonly string[]): Promise<void> {
  await schtasks(world, args);
}

function schtasks(
  { run, windows }: ServiceWorld,
  args: readonly string[],
): Promise<CommandResult> {
  const program = win32.join(windows, "System32", "schtasks.exe");
  const env = { SystemRoot: windows };
  return run({ argv: [program, ...args], env, timeoutMs: PATIENCE_MS });
}

/** Little-endian, with its mark: what `schtasks` takes. */
function utf16(text: string): Uint8Array {
  const units = Uint16Array.from(`\ufeff${text}`, (_, index) => `\ufeff${text}`.charCodeAt(index));
  return new Uint8Array(units.buffer);
}
