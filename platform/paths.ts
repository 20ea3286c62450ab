/**
 * Every path of the product that does not depend on a user-made file (DESIGN section 8). Pure: the
 * same answers on every operating system, so that each is tested on all.
 */
import { posix, win32 } from "node:path";

/** Operating systems that the product runs on. */
export type Os = "linux" | "macos" | "windows";

/** Environment variables that some paths follow. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What {@link systemPaths} depends on. */
export interface SystemPathsInput {
  os: Os;
  /** `--root`: absolute; every path comes out under it. */
  root?: string;
  /** Windows: `ProgramData` and `ProgramFiles`; ignored elsewhere and under a root. */
  env?: Environment;
}

/** The device's own paths, absolute, without a trailing separator. */
export interface SystemPaths {
  /** The installed binary. */
  binary: string;
  /** `config.json`, which the administrator writes. */
  configFile: string;
  /** Root's own state, 0700: ledger, events, device key. */
  stateDir: string;
  /** What lives as long as the agent. */
  runDir: string;
  /** Parent of one directory per managed user, 0711. */
  usersRunDir: string;
  /** Where `renew` and `unenroll` reach the agent: a Unix socket; on Windows a folder. */
  control: string;
  /** Where logs go when the system has no journal. */
  logDir: string;
}

/** One user's own paths. */
export interface UserPaths {
  /** The user-agent's ledger, 0700. */
  stateDir: string;
}

/** The device's paths. */
export function systemPaths({ os, root, env = {} }: SystemPathsInput): SystemPaths {
  if (os === "windows") return windowsPaths(root, env);
  const at = (path: string) => underRoot(path, root);
  const apple = "/Library/Application Support/Device Trust";
  const runDir = at(os === "macos" ? "/var/run/device-trust" : "/run/device-trust");
  return {
    binary: at(os === "macos" ? `${apple}/bin/device-trust` : "/usr/local/bin/device-trust"),
    configFile: at(os === "macos" ? `${apple}/config.json` : "/etc/device-trust/config.json"),
    stateDir: at(os === "macos" ? `${apple}/state` : "/var/lib/device-trust"),
    runDir,
    usersRunDir: posix.join(runDir, "users"),
    control: posix.join(runDir, "control.sock"),
    logDir: at(os === "macos" ? "/Library/Logs/Device Trust" : "/var/log/device-trust"),
  };
}

/** A user's paths. `home` is absolute; on Windows `LOCALAPPDATA` wins over it where set. */
export function userPaths(
  { os, home, env = {} }: { os: Os; home: string; env?: Environment },
): UserPaths {
  switch (os) {
    case "linux":
      return { stateDir: posix.join(home, ".local/state/device-trust") };
    case "macos":
      return { stateDir: posix.join(home, "Library/Application Support/Device Trust") };
    case "windows": {
      const local = env.LOCALAPPDATA || win32.join(home, "AppData", "Local");
      return { stateDir: win32.join(local, "Device Trust") };
    }
  }
}

/** `path` (POSIX, absolute) under `root`, or itself without one. */
export function underRoot(path: string, root: string | undefined): string {
  return root === undefined ? path : posix.join(root, path);
}

function windowsPaths(root: string | undefined, env: Environment): SystemPaths {
  const folder = (variable: string, usual: string) =>
    win32.join(
      root === undefined ? env[variable] || `C:\\${usual}` : win32.join(root, usual),
      "Device Trust",
    );
  const data = folder("ProgramData", "ProgramData");
  const users = win32.join(data, "users");
  return {
    binary: win32.join(folder("ProgramFiles", "Program Files"), "device-trust.exe"),
    configFile: win32.join(data, "config.json"),
    stateDir: win32.join(data, "state"),
    runDir: users,
    usersRunDir: users,
    control: win32.join(data, "control"),
    logDir: win32.join(data, "logs"),
  };
}
