/** Agent and user-agent as jobs of launchd, of which the user-agent's is in every session. */
import fs from "node:fs";
import { dirname } from "node:path";
import type { CommandResult, RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { checkRootOwnedDir, ensureRootOwnedDir, UnsafePath, writeFileAtomic } from "../files.ts";
import type { ServiceStatus, SystemService } from "../platform.ts";
import { isThere } from "../presence.ts";
import {
  AGENT_LABEL,
  agentJob,
  JOB_FILES,
  USER_AGENT_LABEL,
  userAgentJob,
} from "./launchd_jobs.ts";
import { type Argv, MACOS, systemEnvironment } from "./system_commands.ts";
import { jobStateIn } from "./user_session.ts";

/** What installing depends on. */
export interface ServiceWorld {
  run: RunCommand;
  /** The caller's own uid. */
  uid: number;
  logDir: string;
  now: () => number;
  pause: (milliseconds: number) => Promise<void>;
  /** Prefix of every path of the system, for tests. */
  root?: string;
}

/** What people type. */
const COMMAND = "/usr/local/bin/device-trust";

/** launchd ends a job in its own time, and takes no other of that name before it has. */
const END_MS = 30_000;
const LOOK_MS = 100;

/** The service of this Mac. */
export function launchdService(world: ServiceWorld): SystemService {
  const files = {
    agent: (world.root ?? "") + JOB_FILES.agent,
    userAgent: (world.root ?? "") + JOB_FILES.userAgent,
  };
  const link = (world.root ?? "") + COMMAND;
  return {
    async install(binary) {
      needRoot(world);
      refuseReplaceable(binary, world);
      ensureRootOwnedDir(world.logDir, { mode: 0o755, ...rootOf(world) });
      write(files.agent, agentJob(binary, world.logDir), world);
      write(files.userAgent, userAgentJob(binary), world);
      linkCommand(link, binary, world);
      await load("system", AGENT_LABEL, files.agent, world);
      for (const session of await sessions(world)) {
        await load(session, USER_AGENT_LABEL, files.userAgent, world);
      }
    },
    async uninstall() {
      needRoot(world);
      for (const session of await sessions(world)) {
        await unload(`${session}/${USER_AGENT_LABEL}`, world);
      }
      await unload(`system/${AGENT_LABEL}`, world);
      unlinkCommand(link, files.agent);
      for (const file of [files.userAgent, files.agent]) fs.rmSync(file, { force: true });
    },
    async status() {
      const targets = (await sessions(world)).map((session) => `${session}/${USER_AGENT_LABEL}`);
      return [
        await statusOf(AGENT_LABEL, files.agent, [`system/${AGENT_LABEL}`], world),
        await statusOf(USER_AGENT_LABEL, files.userAgent, targets, world),
      ];
    },
  };
}

/** Sessions at the screen, those behind a switched user too, as launchd names their domains. */
async function sessions(world: ServiceWorld): Promise<string[]> {
  const text = (await must(MACOS.sessions(), "see who is logged in", world)).stdoutTail;
  const names = new Set(
    text.split("\n").flatMap((line) => /^(\S+)\s+console\s/.exec(line)?.[1] ?? []),
  );
  const domains: string[] = [];
  for (const name of names) {
    const { code, stdoutTail } = await command(MACOS.uidOf(name), world);
    if (code === 0 && /^\d+\n?$/.test(stdoutTail)) domains.push(`gui/${stdoutTail.trim()}`);
  }
  return domains;
}

/** Puts the job of now in the place of an older one. */
async function load(domain: string, label: string, file: string, world: ServiceWorld) {
  await unload(`${domain}/${label}`, world);
  await must(MACOS.loadJob(domain, file), `start ${label} in ${domain}`, world);
}

/** Absent is success. */
async function unload(target: string, world: ServiceWorld): Promise<void> {
  if (!await isLoaded(target, world)) return;
  await command(MACOS.unloadJob(target), world);
  const end = world.now() + END_MS;
  while (await isLoaded(target, world)) {
    if (world.now() >= end) {
      throw new Problem(
        "internal",
        `launchd did not end ${target} in ${END_MS / 1000} s. Try again.`,
      );
    }
    await world.pause(LOOK_MS);
  }
}

async function isLoaded(target: string, world: ServiceWorld): Promise<boolean> {
  return (await command(MACOS.jobs(target), world)).code === 0;
}

async function statusOf(
  name: string,
  file: string,
  targets: readonly string[],
  world: ServiceWorld,
): Promise<ServiceStatus> {
  if (!isThere(file)) return { name, installed: false };
  for (const target of targets) {
    const { code, stdoutTail } = await command(MACOS.jobs(target), world);
    if (code === 0 && jobStateIn(stdoutTail).running) {
      return { name, installed: true, running: true };
    }
  }
  return { name, installed: true, running: false };
}

/** launchd takes no job that others than root may write, and shows none that it may not read. */
function write(file: string, text: string, world: ServiceWorld): void {
  ensureRootOwnedDir(dirname(file), { mode: 0o755, ...rootOf(world) });
  writeFileAtomic(file, new TextEncoder().encode(text), { mode: 0o644 });
}

/** Has people find the command. What is there already stays: another program, or a link of theirs. */
function linkCommand(link: string, binary: string, world: ServiceWorld): void {
  if (link === binary || isThere(link)) return;
  try {
    ensureRootOwnedDir(dirname(link), { mode: 0o755, ...rootOf(world) });
  } catch (error) {
    // Homebrew has made that folder some user's, who could make the link lead elsewhere.
    if (error instanceof UnsafePath) return;
    throw error;
  }
  fs.symlinkSync(binary, link);
}

/** Takes the link away that leads to the program which the agent's job is of. */
function unlinkCommand(link: string, agentJob: string): void {
  const target = fs.lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink()
    ? fs.readlinkSync(link)
    : undefined;
  if (target === undefined || !isThere(agentJob)) return;
  if (fs.readFileSync(agentJob, "utf8").includes(`<string>${target}</string>`)) fs.rmSync(link);
}

function needRoot({ uid, root }: ServiceWorld): void {
  if (uid === 0 || root !== undefined) return;
  throw new Problem("internal", "Only root can change the service: run this with sudo.");
}

/** Where only root can change what runs as root. @throws Problem `internal`, UnsafePath */
function refuseReplaceable(binary: string, world: ServiceWorld): void {
  if (!checkRootOwnedDir(dirname(binary), world.root)) {
    throw new Problem("internal", `There is no ${binary} to make a service of.`);
  }
  const info = fs.lstatSync(binary, { throwIfNoEntry: false });
  if (info?.isFile() && (info.uid === 0 || info.uid === world.uid) && !(info.mode & 0o022)) return;
  throw new Problem(
    "internal",
    `${binary} can be changed by others than root, who would then be root: put the binary into ` +
      "/Library/Application Support/Device Trust/bin, owned by root and writable by nobody else",
  );
}

function rootOf({ root }: ServiceWorld) {
  return root === undefined ? {} : { root };
}

async function must(argv: Argv, task: string, world: ServiceWorld): Promise<CommandResult> {
  const result = await command(argv, world);
  if (result.code === 0) return result;
  const why = result.stderrTail.trim() || `'${argv[0]} ${argv[1] ?? ""}' ended with ${result.code}`;
  throw new Problem("internal", `Cannot ${task}: ${why}. Run this as root (sudo).`);
}

async function command(argv: Argv, { run }: ServiceWorld): Promise<CommandResult> {
  return await run({ argv, env: systemEnvironment(), timeoutMs: 30_000 });
}
