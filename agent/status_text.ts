/** The status for people: aligned, in words, each trouble with what to do about it. Pure. */
import { NOTABLE_SKEW, SET_CLOCK, skewText } from "./clock_skew.ts";
import type { UserState } from "./contract.ts";
import { remedy, startAgent } from "./doctor_check.ts";
import type { RecordedProblem } from "./state.ts";
import type { StatusNotes, StatusReport, UserStatus } from "./status.ts";
import { alignedLines, type Cell, type Tone } from "./terminal_text.ts";
import { when } from "./time_text.ts";

/** What the text depends on beside the status. */
export interface StatusView {
  /** Local, milliseconds since 1970. */
  now: number;
  color: boolean;
  /** How this program is called, with `--root` where given. */
  command: string;
}

/** The text, each line with its end. */
export function statusText(report: StatusReport, view: StatusView): string {
  const { status: { device, users }, notes } = report;
  if (!device.enrolled) {
    const why = notes.problem ? `${told(notes.problem, notes)}\n` : "";
    return `${why}This device is not enrolled. Enrol it: ` +
      `${view.command} enroll --server URL --connect-key-file FILE\n`;
  }
  const lines = [
    ...alignedLines([...deviceRows(report, view), ...filterRows(report, view)], view.color),
    ...(users.length === 0 ? [] : ["", ...userLines(report, view)]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function deviceRows({ status, notes }: StatusReport, { now, command }: StatusView): Cell[][] {
  const { device, distribution, users } = status;
  const lastSync = distribution.lastSync ? Date.parse(distribution.lastSync) : undefined;
  const heard = lastSync === undefined ? "never heard" : `last heard ${when(lastSync, now)}`;
  const what = distribution.enabled ? "ON" : "OFF: nobody is to hold a leaf";
  return [
    row("device", `${device.id} at ${device.server}`),
    ...agentRows(status.agent, notes, command),
    row("distribution", notes.isOwnPart ? what : `${what}; ${heard}`),
    // What the difference was is worth nothing once the clock keeps the server from being heard.
    ...(notes.problem?.code === "clock" ? [] : clockRows(lastSync, notes.clockOffset, now)),
    ...(notes.problem
      ? [
        row("problem", { text: told(notes.problem, notes), tone: "bad" }),
        nextStep(remedy(notes.problem.code)),
      ]
      : []),
    ...(users.length > 0 ? [] : [row("users", "none is bound to this device")]),
  ];
}

function agentRows(
  { running, pid, version }: StatusReport["status"]["agent"],
  { isOwnPart }: StatusNotes,
  command: string,
): Cell[][] {
  if (isOwnPart) {
    return [row("agent", `version ${version}; whether it runs: sudo ${command} status`)];
  }
  if (running) return [row("agent", `running (pid ${pid ?? "?"}), version ${version}`)];
  const text = `not running, version ${version}`;
  return [row("agent", { text, tone: "waiting" }), nextStep(startAgent(command))];
}

function clockRows(lastSync: number | undefined, offset: number, now: number): Cell[][] {
  const text = lastSync !== undefined && lastSync > now + NOTABLE_SKEW
    ? "this computer's clock was set back since the agent server was last heard"
    : skewText(offset);
  return text === undefined ? [] : [row("clock", { text, tone: "bad" }), nextStep(SET_CLOCK)];
}

/** Policy files are the device's own: every user's line has the same. Others are each user's. */
function filterRows({ status: { users } }: StatusReport, { command }: StatusView): Cell[][] {
  const all = users.flatMap(({ filters }) => filters);
  const same = Map.groupBy(
    all,
    ({ browser, location, state }) => `${browser} ${state} ${location}`,
  );
  const filters = [...same.values()].flatMap(([first]) => first ?? []);
  return [
    ...filters.map(({ browser, state, location }, at) =>
      row(
        at === 0 ? "filters" : "",
        browser,
        { text: state, tone: state === "ok" ? "good" : "bad" },
        location,
      )
    ),
    ...(filters.every(({ state }) => state === "ok")
      ? []
      : [nextStep(`${command} doctor says which line is missing, and where`)]),
  ];
}

/** What a state means to who looks. */
const TONES: Partial<Record<UserState, Tone>> = {
  installed: "good",
  renewing: "waiting",
  waiting: "waiting",
  requesting: "waiting",
  removing: "waiting",
  failed: "bad",
};

/** A line for each user, with what is to be known beside below it. */
function userLines({ status: { users }, notes }: StatusReport, view: StatusView): string[] {
  const serverTime = view.now + notes.clockOffset;
  const instant = (text: string | null) => text === null ? "-" : when(Date.parse(text), serverTime);
  const heading = ["USER", "STATE", "LEAF", "EXPIRES", "RENEWAL"]
    .map((text): Cell => ({ text, tone: "faint" }));
  const rows = users.map(({ username, state, leafName, notAfter, renewAt }): Cell[] => [
    username,
    { text: state, tone: TONES[state] ?? "faint" },
    leafName ?? "-",
    instant(notAfter),
    instant(renewAt),
  ]);
  const [first = "", ...lines] = alignedLines([heading, ...rows], view.color);
  const indent = " ".repeat(Math.max(...users.map(({ username }) => [...username].length), 4));
  const below = users.map((user) => belowUser(user, indent, notes, view));
  return [first, ...lines.flatMap((line, at) => [line, ...below[at] ?? []])];
}

function belowUser(
  user: UserStatus,
  indent: string,
  notes: StatusNotes,
  { color }: StatusView,
): string[] {
  const { username, store, lastError } = user;
  const lines: Cell[][] = [];
  if (store) lines.push([indent, { text: `${store.kind} ${store.location}`, tone: "faint" }]);
  if (lastError) {
    const text = `${lastError.code}: ${told(lastError, notes)}`;
    lines.push([indent, { text, tone: "bad" }]);
    lines.push([indent, `-> ${remedy(lastError.code, username, store?.location)}`]);
  }
  return alignedLines(lines, color);
}

/** A problem's message, and where the audit log has it. */
function told({ message }: RecordedProblem, { events }: StatusNotes): string {
  const eventId = events.get(message);
  return eventId === undefined ? message : `${message} (event ${eventId})`;
}

function row(label: string, ...cells: Cell[]): Cell[] {
  return [{ text: label, tone: "faint" }, ...cells];
}

function nextStep(text: string): Cell[] {
  return ["", `-> ${text}`];
}
