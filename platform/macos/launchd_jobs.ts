/** Our two jobs as launchd has them (launchd.plist(5)). Pure; installs nothing. */
import { type PropertyList, writePropertyList } from "./property_list.ts";

/** Name of the agent's job, which is the system's. */
export const AGENT_LABEL = "device-trust.agent";

/** Name of the user-agent's job, of which each session at the screen has one. */
export const USER_AGENT_LABEL = "device-trust.user-agent";

/** Where launchd finds a job. */
export const JOB_FILES = {
  agent: `/Library/LaunchDaemons/${AGENT_LABEL}.plist`,
  userAgent: `/Library/LaunchAgents/${USER_AGENT_LABEL}.plist`,
} as const;

/**
 * Seconds between a user-agent's runs that nobody asked for: they open the keychain again that
 * something locked, and see browsers that are new. One that a sleep held up follows after wake.
 */
export const TICK_SECONDS = 900;

/** The agent's job. `binary` and `logDir` are absolute. */
export function agentJob(binary: string, logDir: string): string {
  const log = `${logDir}/agent.log`;
  return writePropertyList({
    Label: AGENT_LABEL,
    ProgramArguments: [binary, "agent"],
    RunAtLoad: true,
    KeepAlive: true,
    ProcessType: "Background",
    ...HARDENING,
    StandardOutPath: log,
    StandardErrorPath: log,
  });
}

/** The user-agent's job; `binary` is absolute. What it has to say it tells the agent. */
export function userAgentJob(binary: string): string {
  return writePropertyList({
    Label: USER_AGENT_LABEL,
    ProgramArguments: [binary, "user-agent", "--once"],
    RunAtLoad: true,
    StartInterval: TICK_SECONDS,
    // It ends by itself, and the agent may want it again at once.
    ThrottleInterval: 1,
    // The login keychain is open in a session at the screen alone.
    LimitLoadToSessionType: "Aqua",
    ProcessType: "Background",
    ...HARDENING,
  });
}

/** 077 in decimal: what either makes is its owner's. */
const HARDENING: { readonly [key: string]: PropertyList } = { Umask: 63 };
