/** What the agent needs of a macOS. Browsers' filters are each user's own there: user_platform.ts. */
import { type RunCommand, runCommand } from "../command.ts";
import { ourPattern } from "../filter_entries.ts";
import { readUserFile } from "../files.ts";
import { hashedMachineId } from "../machine_id.ts";
import { systemPaths } from "../paths.ts";
import type { DoctorPlatform } from "../platform.ts";
import { makeRunFolders, makeStateFolder } from "../run_folders.ts";
import { lookUpAccount } from "./accounts.ts";
import { launchdService } from "./service.ts";
import { readMachineId, readVersion } from "./system_info.ts";
import { MACOS } from "./system_commands.ts";
import { runUserAgentJob } from "./user_session.ts";

/** Everything of the Mac that this depends on. */
export interface MacDevice {
  run: RunCommand;
  /** The caller's own. */
  uid: number;
  home: string;
  hostname: () => string;
  now: () => number;
  pause: (milliseconds: number) => Promise<void>;
}

/** The agent's platform. */
export function macosDevice(
  root: string | undefined,
  mac: MacDevice = thisMac(),
): DoctorPlatform {
  const under = root === undefined ? {} : { root };
  const paths = systemPaths({ os: "macos", ...under });
  const accounts = { ...under, uid: mac.uid, run: mac.run };
  const service = root === undefined
    ? { service: launchdService({ ...mac, logDir: paths.logDir }) }
    : {};
  return {
    ...under,
    ...service,
    os: "macos",
    paths,
    privileged: mac.uid === 0,
    meeting: "sockets",
    async system() {
      const [osVersion, machineId] = await Promise.all([
        readVersion(mac.run),
        // A device under a root is none of this Mac's.
        root === undefined ? readMachineId(mac.run) : undefined,
      ]);
      const machine = machineId === undefined ? {} : { machine: await hashedMachineId(machineId) };
      return {
        os: "macos",
        hostname: mac.hostname().slice(0, 255) || "localhost",
        osVersion,
        ...machine,
      };
    },
    account: (username) => lookUpAccount(username, accounts),
    writeFilters: () => [],
    inspectFilters: () => [],
    touchFilters: () => [],
    removeFilters: () => ({ removed: [], removedDirectories: [], left: [] }),
    makeStateFolder: () => makeStateFolder(paths, root),
    makeRunFolders: (uid) => makeRunFolders(paths, root, uid),
    readUserFile,
    async startUserAgent(account, program, signal) {
      if (root === undefined) return await runUserAgentJob(account.uid, signal, mac);
      // Under a root there is no session to start it in, and no keychain that would need one.
      const env = { ...userEnvironment(account), ...program.env, DEVICE_TRUST_UID: account.uid };
      const result = await mac.run({ argv: program.argv, env, timeoutMs: DEADLINE_MS, signal });
      return { code: result.code, timedOut: result.timedOut, errors: result.stderrTail };
    },
    async runAsUser(account, program, timeoutMs) {
      const own = { ...userEnvironment(account), ...program.env };
      const env = root === undefined ? own : { ...own, DEVICE_TRUST_UID: account.uid };
      if (account.runAs === "self") return await mac.run({ argv: program.argv, env, timeoutMs });
      return await mac.run({
        argv: MACOS.asUser(account.uid, env, program.argv),
        env: {},
        timeoutMs,
      });
    },
    // The system's own, which every browser uses.
    hasCertificateLibrary: () => Promise.resolve(true),
    async installedPatterns() {
      const { CHROMIUM_BROWSERS: [chrome], look } = await import("./chromium_filters.ts");
      if (!chrome || root !== undefined) return [];
      const { user = [] } = await look(chrome, { run: mac.run, home: mac.home, username: "" });
      return user.flatMap((entry) => ourPattern(entry) ?? []);
    },
    async supportFacts() {
      const { gatherSupportFacts } = await import("./support_facts.ts");
      return await gatherSupportFacts({ run: mac.run, logDir: paths.logDir });
    },
  };
}

const DEADLINE_MS = 120_000;

function userEnvironment({ name, home }: { name: string; home: string }): Record<string, string> {
  const path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  return { HOME: home, USER: name, LOGNAME: name, SHELL: "/bin/sh", PATH: path, LANG: "C.UTF-8" };
}

function thisMac(): MacDevice {
  return {
    run: runCommand,
    uid: Deno.uid() ?? 0,
    home: Deno.env.get("HOME") ?? "/var/empty",
    hostname: Deno.hostname,
    now: Date.now,
    pause: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  };
}
