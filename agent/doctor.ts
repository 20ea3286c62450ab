/**
 * What `doctor` says: every link from server to browser, in order. Pure: facts in, checks out; they
 * are gathered in doctor_facts.ts.
 */
import type { ProblemCode } from "../platform/errors.ts";
import type { FilterReport } from "../platform/filters.ts";
import { SET_CLOCK, skewText } from "./clock_skew.ts";
import {
  type Check,
  failed,
  LIBRARY_IS_THERE,
  LOOK_AGAIN,
  passed,
  READ_LOG,
  remedy,
  startAgent,
} from "./doctor_check.ts";
import {
  browserChecks,
  type PinnedAuthorities,
  storeChecks,
  type UserFacts,
} from "./doctor_user.ts";
import { EXIT } from "./exit.ts";
import { oneLine } from "./text_lines.ts";
import { span } from "./time_text.ts";

/** Something that did not work, as a `Problem` says it. */
interface Trouble {
  code: ProblemCode;
  message: string;
}

/** Everything that was looked at. What nobody may see without root's rights is absent. */
export interface DoctorFacts {
  /** Local, milliseconds since 1970. */
  now: number;
  /** How this program is called, with `--root` where given. */
  command: string;
  /** Whether the device's own state could be read. */
  privileged: boolean;
  /** Why the configuration cannot be used. */
  config?: string;
  device?: DeviceFacts;
  agent?: { running: boolean; pid?: number };
  server?: ServerFacts;
  sync?: SyncFacts;
  desired?: { enabled: boolean };
  /** Why libnss3 cannot be used. */
  library?: string;
  filters: FilterReport[];
  users: UserFacts[];
}

/** Who this device is. */
export interface DeviceFacts {
  deviceId?: string;
  server: string;
  cloned: boolean;
  leaving: boolean;
  /** `missing`, or why the key cannot be used. */
  key?: "ok" | "missing" | Trouble;
  pinned: PinnedAuthorities;
}

/** What the agent server answered just now. */
export interface ServerFacts {
  url: string;
  /** `/healthz`; `skew` is server minus local, milliseconds. */
  health: { status: number; skew?: number } | Trouble;
  /** A signed request; absent where the key cannot be read. */
  signed?: { status: number; problemType?: string } | Trouble;
}

/** What the agent heard last. Milliseconds since 1970. */
export interface SyncFacts {
  lastSync?: number;
  error?: Trouble;
}

/** Age of a last exchange that a running agent never reaches while all is well: it asks for 4 min. */
const STALE = 15 * 60_000;

/** Every check, from server to browser. */
export function doctorChecks(facts: DoctorFacts): Check[] {
  const { device } = facts;
  const isMember = device?.deviceId !== undefined && !device.cloned;
  if (!isMember) return [...configCheck(facts), enrolledCheck(facts), libraryCheck(facts)];
  return unique([
    ...configCheck(facts),
    enrolledCheck(facts),
    ...leavingCheck(facts),
    ...keyCheck(device),
    ...agentCheck(facts),
    ...serverChecks(facts),
    ...desiredCheck(facts),
    ...distributionCheck(facts),
    libraryCheck(facts),
    ...boundCheck(facts),
    ...facts.users.flatMap((user) => storeChecks(user, device.pinned, facts.now)),
    ...facts.filters.map((filter) => filterCheck(filter)),
    ...facts.users.flatMap(({ username, wanted, row: { details } }) =>
      wanted ? (details.filters ?? []).map((filter) => filterCheck(filter, username)) : []
    ),
    ...facts.users.flatMap(browserChecks),
    ...viewCheck(facts),
  ]);
}

/** 0 all is well, 3 not enrolled, 4 something needs attention (DESIGN section 7). */
export function doctorExitCode(checks: readonly Check[]): number {
  if (checks.some(({ id, ok }) => id === "enrolled" && !ok)) return EXIT.notEnrolled;
  return checks.every(({ ok }) => ok) ? EXIT.done : EXIT.attention;
}

/** The checks for people. */
export function doctorText(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ id, ok, detail, fix }) => [
    `${ok ? "ok  " : "FAIL"}  ${id}: ${detail}`,
    ...(fix === "" ? [] : [`      -> ${fix}`]),
  ]);
  const wrong = checks.filter(({ ok }) => !ok).length;
  const sum = wrong === 0 ? "All links hold." : `${wrong} of ${checks.length} need attention.`;
  return `${[...lines, sum].map(oneLine).join("\n")}\n`;
}

function configCheck({ config }: DoctorFacts): Check[] {
  return config === undefined ? [] : [failed("config", config, "Correct that file.")];
}

function enrolledCheck({ device, command, privileged }: DoctorFacts): Check {
  const enrol = (server = "URL") =>
    `${command} enroll --server ${server} --connect-key-file FILE (an administrator makes the key)`;
  if (!device) {
    return privileged ? failed("enrolled", "this device is not enrolled", enrol()) : failed(
      "enrolled",
      "nothing of this user's own shows that the device is enrolled",
      `Look as root: sudo ${command} doctor`,
    );
  }
  if (device.cloned) {
    return failed(
      "enrolled",
      "the identity here was made on another machine: this is a cloned image, and the copied " +
        "identity is never used",
      enrol(device.server),
    );
  }
  if (device.deviceId === undefined) {
    return failed("enrolled", `enrolment at ${device.server} began and was not finished`, enrol());
  }
  return passed("enrolled", `as ${device.deviceId} at ${device.server}`);
}

function leavingCheck({ device, command }: DoctorFacts): Check[] {
  if (!device?.leaving) return [];
  return [
    failed(
      "leaving",
      "the device is leaving its server: everything is being removed",
      `Let it end (${command} unenroll), then enrol again.`,
    ),
  ];
}

function keyCheck({ key, server }: DeviceFacts): Check[] {
  if (key === undefined) return [];
  if (key === "ok") return [passed("device-key", "the device key is there and can sign")];
  const again = `device-trust enroll --server ${server} --connect-key-file FILE`;
  if (key === "missing") return [failed("device-key", "the device key is missing", again)];
  return [failed("device-key", key.message, again)];
}

function agentCheck({ agent, command }: DoctorFacts): Check[] {
  if (!agent) return [];
  if (agent.running) return [passed("agent", `running (pid ${agent.pid ?? "?"})`)];
  return [
    failed(
      "agent",
      "the agent does not run: nothing is installed, renewed or removed",
      startAgent(command),
    ),
  ];
}

function serverChecks({ server }: DoctorFacts): Check[] {
  if (!server) return [];
  const { url, health, signed } = server;
  const ask = `curl -v ${url}/healthz`;
  if ("code" in health) {
    const fix = health.code === "clock" ? SET_CLOCK : `Check name, network and proxy: ${ask}`;
    return [failed("server", health.message, fix)];
  }
  if (health.status !== 200) {
    const detail = `${url} answered ${health.status}`;
    return [failed("server", detail, `Something may stand between, or it is down: ${ask}`)];
  }
  return [
    passed("server", `${url} answers`),
    ...clockCheck(health.skew),
    ...(signed ? [acceptedCheck(signed)] : []),
  ];
}

function clockCheck(skew: number | undefined): Check[] {
  if (skew === undefined) return [];
  const wrong = skewText(skew);
  if (wrong !== undefined) return [failed("clock", wrong, SET_CLOCK)];
  return [passed("clock", `this clock and the server's differ by ${span(skew)}`)];
}

function acceptedCheck(signed: NonNullable<ServerFacts["signed"]>): Check {
  if ("code" in signed) return failed("accepted", signed.message, remedy(signed.code));
  const { status, problemType = "" } = signed;
  if (status === 200 || status === 304) return passed("accepted", "the server knows this device");
  const type = problemType.replace("urn:device-trust:", "");
  const detail = `the server refuses this device: ${status} ${type}`.trimEnd();
  return failed(
    "accepted",
    detail,
    type === "device-deleted" || type === "unknown-device"
      ? "An administrator deleted it: device-trust unenroll, then enrol again."
      : `Look at the agent server's events for this device, and at ${READ_LOG}`,
  );
}

function desiredCheck({ sync, now, agent }: DoctorFacts): Check[] {
  if (!sync) return [];
  const { code = "internal", message } = sync.error ?? {};
  const look = code === "internal" ? READ_LOG : remedy(code);
  const fix = agent?.running === false ? "Start the agent (see the check 'agent')." : look;
  if (message !== undefined) return [failed("desired-state", message, fix)];
  if (sync.lastSync === undefined) {
    return [failed("desired-state", "the server was never heard", fix)];
  }
  const age = Math.max(0, now - sync.lastSync);
  const detail = `last heard ${span(age)} ago`;
  return [age > STALE ? failed("desired-state", detail, fix) : passed("desired-state", detail)];
}

function distributionCheck({ desired }: DoctorFacts): Check[] {
  if (!desired) return [];
  return [
    passed(
      "distribution",
      desired.enabled ? "ON" : "OFF: no device holds a leaf until an administrator turns it on " +
        "(Security Management > Conditional Policies > Settings > Device Certificates)",
    ),
  ];
}

function libraryCheck({ library }: DoctorFacts): Check {
  if (library === undefined) return passed("library", LIBRARY_IS_THERE);
  return failed(
    "library",
    library,
    "apt-get install libnss3 (Debian, Ubuntu), dnf install nss (Fedora), pacman -S nss (Arch)",
  );
}

function boundCheck({ users, desired }: DoctorFacts): Check[] {
  if (users.length > 0 || !desired?.enabled) return [];
  return [
    failed(
      "users",
      "no user is bound to this device, so there is nobody to hold a leaf",
      "An administrator binds users to their accounts on this device at the agent server.",
    ),
  ];
}

/** @param username whose browser it is, where filters are users' own */
function filterCheck(
  { browser, location, state, hint }: FilterReport,
  username?: string,
): Check {
  const id = username === undefined ? `filter:${browser}` : `filter:${browser}:${username}`;
  if (state === "ok") return passed(id, `${browser} presents the leaf by itself (${location})`);
  const detail = `${state}: ${browser} would ask which certificate to present (${location})`;
  if (state === "missing") return failed(id, detail, [hint, LOOK_AGAIN].filter(Boolean).join(". "));
  return failed(id, detail, hint ?? LOOK_AGAIN);
}

function viewCheck({ privileged, command }: DoctorFacts): Check[] {
  if (privileged) return [];
  return [
    passed("view", `only this user's own part was looked at; all of it: sudo ${command} doctor`),
  ];
}

/** Two folders of one browser have checks of their own. */
function unique(checks: Check[]): Check[] {
  const seen = new Map<string, number>();
  return checks.map((check) => {
    const count = (seen.get(check.id) ?? 0) + 1;
    seen.set(check.id, count);
    return count === 1 ? check : { ...check, id: `${check.id}:${count}` };
  });
}
