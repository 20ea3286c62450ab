/** A strict model of `launchctl` (its manual page), and of the jobs that launchd has. */
import {
  memberOf,
  type ReadPropertyList,
  readPropertyList,
} from "../../platform/macos/property_list.ts";
import type { MacState, ModelJob } from "./model_state.ts";
import type { ProgramResult } from "./security_program.ts";
import { failed, forbidden, printed } from "./system_programs.ts";

/** Times that a job is still there after it was unloaded: launchd ends it in its own time. */
const ENDING = 2;

/** Keys that launchd.plist(5) has; others are ignored there, and a mistake here. */
const KEYS = [
  ...["Label", "ProgramArguments", "RunAtLoad", "KeepAlive", "StartInterval", "ThrottleInterval"],
  ...["ProcessType", "Umask", "StandardOutPath", "StandardErrorPath", "LimitLoadToSessionType"],
];

/** Runs the program. A job that is to run is only marked so: who has the Mac runs it. */
export function runLaunchctl(state: MacState, args: readonly string[]): ProgramResult {
  const [verb, ...rest] = args;
  switch (verb) {
    case "print":
      return print(state, only(rest, args));
    case "bootstrap": {
      const [domain = "", file = "", ...more] = rest;
      if (more.length > 0) throw forbidden("launchctl", args);
      return bootstrap(state, domain, file);
    }
    case "bootout": {
      const target = only(rest, args);
      const job = state.jobs[target];
      if (!job) return failed(3, "Boot-out failed: 3: No such process\n");
      job.running = false;
      job.ending = ENDING;
      return printed("");
    }
    case "kickstart": {
      const target = only(rest, args);
      const job = state.jobs[target];
      if (!job) return notFound(target);
      if (!job.running) start(job);
      return printed("");
    }
    case "kill": {
      const [signal, target = "", ...more] = rest;
      if (!/^SIG(TERM|KILL)$/.test(signal ?? "") || more.length > 0) {
        throw forbidden("launchctl", args);
      }
      const job = state.jobs[target];
      if (!job) return notFound(target);
      if (!job.running) return failed(3, "No process to signal.\n");
      if (job.obeys.includes(signal ?? "")) Object.assign(job, { running: false, exitCode: 143 });
      return printed("");
    }
    default:
      throw forbidden("launchctl", args);
  }
}

function print(state: MacState, target: string): ProgramResult {
  const [, uid] = /^gui\/(\d+)$/.exec(target) ?? [];
  if (uid !== undefined) {
    return hasSession(state, uid)
      ? printed(`${target} = {\n\ttype = login\n}\n`)
      : failed(125, "Domain does not support specified action\n");
  }
  const job = state.jobs[target];
  if (!job) return notFound(target);
  const { running, runs, exitCode, ending } = job;
  if (ending !== undefined) {
    if (ending === 0) {
      delete state.jobs[target];
      return notFound(target);
    }
    job.ending = ending - 1;
  }
  const pid = running ? `\tpid = ${4000 + runs}\n` : "";
  // What runs inside has lines of the same names, further in.
  return printed(
    `${target} = {\n\tactive count = 1\n\tstate = ${running ? "running" : "not running"}\n\n` +
      `\tdefault environment = {\n\t\tpid = 1\n\t\truns = 99\n\t}\n\n\truns = ${runs}\n${pid}` +
      `\tlast exit code = ${exitCode ?? "(never exited)"}\n}\n`,
  );
}

function bootstrap(state: MacState, domain: string, file: string): ProgramResult {
  const uid = domain.startsWith("gui/") ? domain.slice(4) : undefined;
  if (uid === undefined ? domain !== "system" : !hasSession(state, uid)) {
    return failed(125, "Bootstrap failed: 125: Domain does not support specified action\n");
  }
  const { mode } = Deno.lstatSync(file);
  if (((mode ?? 0) & 0o777) !== 0o644) {
    return failed(122, "Bootstrap failed: 122: Path had bad ownership/permissions\n");
  }
  const list = readPropertyList(Deno.readTextFileSync(file));
  if (typeof list !== "object") throw forbidden("launchctl", [file]);
  const strange = Object.keys(list).filter((key) => !KEYS.includes(key));
  if (strange.length > 0) throw forbidden("launchd.plist:", strange);
  const label = textOf(memberOf(list, "Label"));
  const target = `${domain}/${label}`;
  if (state.jobs[target]) return failed(5, "Bootstrap failed: 5: Input/output error\n");
  const job: ModelJob = { running: false, runs: 0, obeys: ["SIGTERM", "SIGKILL"] };
  if (memberOf(list, "RunAtLoad") === true) start(job);
  state.jobs[target] = job;
  return printed("");
}

function start(job: ModelJob): void {
  job.running = true;
  job.runs++;
}

function notFound(target: string): ProgramResult {
  return failed(113, `Could not find service "${target.split("/").at(-1)}" in domain\n`);
}

function hasSession(state: MacState, uid: string): boolean {
  return state.accounts.some((account) =>
    String(account.uid) === uid && state.sessions.includes(account.names[0] ?? "")
  );
}

function textOf(value: ReadPropertyList | undefined): string {
  if (typeof value !== "string") throw forbidden("launchd.plist", ["without a label"]);
  return value;
}

function only([operand = "", ...more]: readonly string[], args: readonly string[]): string {
  if (operand === "" || more.length > 0) throw forbidden("launchctl", args);
  return operand;
}
