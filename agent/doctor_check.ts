/** A check of `doctor --json` (DESIGN section 7), and words that several checks share. */
import type { ProblemCode } from "../platform/errors.ts";
import { SET_CLOCK } from "./clock_skew.ts";
import { systemWords } from "./system_words.ts";

/** One link between server and browser. */
export interface Check {
  /** Kebab case; what it is about follows after a colon. */
  id: string;
  ok: boolean;
  /** What was seen. */
  detail: string;
  /** What to do about it, with the exact command; "" when all is well. */
  fix: string;
}

/** A link that holds. */
export function passed(id: string, detail: string): Check {
  return { id, ok: true, detail, fix: "" };
}

/** A link that does not. */
export function failed(id: string, detail: string, fix: string): Check {
  return { id, ok: false, detail, fix };
}

const WORDS = systemWords(Deno.build.os);

/** What makes the agent look again at once. */
export const LOOK_AGAIN = `The agent repairs this by itself; to have it now: ${WORDS.restart}`;

/** Where the agent says more. */
export const READ_LOG = WORDS.log;

/** That what browsers keep certificates with is there. */
export const LIBRARY_IS_THERE = WORDS.library;

/** A command as that user. */
export function asUser(username: string, command: string): string {
  return `${WORDS.asUser.replace("NAME", username)} ${command}`;
}

/** What starts the agent. `command`: how this program is called, with `--root` where given. */
export function startAgent(command: string): string {
  return command === "device-trust" ? WORDS.start : `${command} agent`;
}

/** What a person can do about a problem, with what it is about put in. */
export function remedy(code: ProblemCode, name = "NAME", path = "PATH"): string {
  return (WORDS.remedies[code] ?? REMEDIES[code]).replaceAll("NAME", name).replaceAll("PATH", path);
}

const REMEDIES: Readonly<Record<ProblemCode, string>> = {
  "no-local-account": "useradd -m NAME, or bind the user to another account at the agent server",
  "system-account": "Bind the user to a person's own account at the agent server.",
  "duplicate-binding": "Take one of the two bindings to 'NAME' away at the agent server.",
  "not-logged-on": "Let NAME log on once.",
  "home-missing": "Mount the home, or make it (mkhomedir_helper NAME); the agent goes on then.",
  "shared-home": "Give NAME a home on this computer's own disk; shared homes get no leaf.",
  "store-locked": "Close the program that holds the database: fuser -v 'PATH/cert9.db'",
  "store-password":
    "Take the database's password away: runuser -u NAME -- certutil -W -d 'sql:PATH' (new one empty)",
  "disk-full": "Free some space or quota: df -h 'PATH'; quota -u NAME",
  "bundle-rejected": `The agent server sent what cannot be believed; see ${READ_LOG}`,
  "server-refused": `Look at the agent server's events for this device, and at ${READ_LOG}`,
  "unreachable": "See the check 'server' of doctor; the agent tries again by itself.",
  "clock": SET_CLOCK,
  "internal": `The message says what to do; more is in ${READ_LOG}`,
};
