/**
 * The support bundle: what a person who helps from afar wants to see of a device, in one file that
 * standard tools open, without a secret. Every part is had on its own, so that what is broken is
 * shown by the rest.
 */
import { basename } from "node:path";
import { Problem, toProblem } from "../platform/errors.ts";
import { readRegularFile, writeFileAtomic } from "../platform/files.ts";
import type { DoctorPlatform, SystemFacts } from "../platform/platform.ts";
import type { SupportFacts } from "../platform/findings.ts";
import { isThere } from "../platform/presence.ts";
import { readConfig, shownConfig } from "./config.ts";
import { doctorText } from "./doctor.ts";
import type { Check } from "./doctor_check.ts";
import { type LoggedEvent, readEventLog } from "./event_log.ts";
import { userInfo, withoutSecrets } from "./redaction.ts";
import { readStatus } from "./status.ts";
import { statusText } from "./status_text.ts";
import { tarArchive } from "./tar.ts";
import { jsonText, oneLine } from "./text_lines.ts";
import { VERSION } from "./version.ts";

/** What a bundle is made of. */
export interface BundleWorld {
  platform: DoctorPlatform;
  now: () => number;
  /** How this program is called, with `--root` where given. */
  command: string;
  /** What `doctor` found; rejected when it could not look. */
  checks: Promise<readonly Check[]>;
}

/** Events in a bundle: the newest of them. */
const EVENTS = 5000;

/** @throws Problem when there is something at `path` already */
export function refuseExisting(path: string): void {
  if (!isThere(path)) return;
  throw new Problem(
    "internal",
    `Cannot write the support bundle: '${path}' is there already. Name a new file.`,
  );
}

/** Writes the bundle (gzip of tar, 0600) to a file that is not there yet. @throws Problem */
export async function writeSupportBundle(path: string, world: BundleWorld): Promise<void> {
  refuseExisting(path);
  const folder = basename(path).replace(/(\.tar)?\.t?gz$/, "") || "device-trust";
  const secrets = knownSecrets(world);
  const files = (await parts(world)).map(({ name, text }) => ({
    path: `${folder.slice(0, 60)}/${name}`,
    content: new TextEncoder().encode(withoutSecrets(text, secrets)),
  }));
  const archive = new Blob([tarArchive(files, world.now())]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  writeFileAtomic(path, await new Response(archive).bytes(), { mode: 0o600 });
}

interface Part {
  name: string;
  text: string;
}

async function parts(world: BundleWorld): Promise<Part[]> {
  const { platform, now, command } = world;
  const { stateDir, configFile } = platform.paths;
  const [checks, report, system, facts] = await Promise.allSettled([
    world.checks,
    readStatus(platform, now),
    platform.system(),
    platform.supportFacts(),
  ]);
  return [
    { name: "README.txt", text: README },
    part("doctor.txt", () => doctorText(had(checks))),
    part("doctor.json", () => jsonText({ checks: had(checks) })),
    part("status.txt", () => statusText(had(report), { now: now(), color: false, command })),
    part("status.json", () => jsonText(had(report).status)),
    part("events.json", () => jsonText({ events: lastEvents(stateDir, had(system)) })),
    part("versions.txt", () => versionsText(had(facts).versions)),
    part("config.json", () => jsonText(shownConfig(readConfig(configFile)))),
    part("policies.txt", () => policiesText(had(facts).policies)),
    part("log.txt", () => had(facts).log || "No log was found.\n"),
  ];
}

function part(name: string, text: () => string): Part {
  try {
    return { name, text: text() };
  } catch (error) {
    return { name, text: `This could not be had: ${toProblem(error).message}\n` };
  }
}

/** What was to be had, or why it was not. */
function had<T>(result: PromiseSettledResult<T>): T {
  if (result.status === "fulfilled") return result.value;
  throw result.reason;
}

function lastEvents(stateDir: string, system: SystemFacts): LoggedEvent[] {
  const path = `${stateDir}/state.db`;
  return isThere(path) ? readEventLog(path, 0, system).events.slice(-EVENTS) : [];
}

const README = `What device-trust knows of a device, written by: device-trust doctor --bundle FILE

doctor.txt, doctor.json   every link from the agent server to the browsers, as checked just now
status.txt, status.json   the device, its users and their certificates
events.json               the audit log
versions.txt              of this program, the system, and packages of browsers
config.json               config.json, without what is secret in it
policies.txt              policy files of browsers: names, and what is in those of device-trust
log.txt                   the end of the agent's log

No private key, connect key, token or password is in here. Names are: of this computer, of its
users and their accounts, of servers, and of files. Look through it before you send it.
`;

function versionsText(lines: readonly string[]): string {
  const { deno, v8 } = Deno.version;
  return [`device-trust ${VERSION}`, `deno ${deno}, v8 ${v8}`, ...lines]
    .map((line) => `${oneLine(line)}\n`).join("");
}

function policiesText(policies: SupportFacts["policies"]): string {
  if (policies.length === 0) return "No browser has a policy file.\n";
  return policies.map((policy) => {
    if ("problem" in policy) return `${oneLine(policy.problem)}\n`;
    const { path, filters } = policy;
    return filters === undefined
      ? `${oneLine(path)} (not of device-trust)\n`
      : `${oneLine(path)}\n  ${oneLine(filters)}\n`;
  }).join("");
}

/** Secrets that this device holds and that can be told by where they are. */
function knownSecrets({ platform }: BundleWorld): string[] {
  const { configFile, stateDir } = platform.paths;
  const config = attempt(() => readConfig(configFile)) ?? {};
  const texts = [config.connectKeyFile, `${stateDir}/device.key`].flatMap((path) => {
    const bytes = path === undefined ? undefined : attempt(() => readRegularFile(path, 64 * 1024));
    return bytes ? new TextDecoder().decode(bytes).split("\n").map((line) => line.trim()) : [];
  });
  return [...texts.filter((line) => !line.startsWith("-----")), ...userInfo(config.proxy ?? "")];
}

/** Undefined where it does not work: what cannot be read cannot be told either. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
