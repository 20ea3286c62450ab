/** What people type and where they look, by operating system. */
import type { ProblemCode } from "../platform/errors.ts";

/** One system's words. */
export interface SystemWords {
  /** Makes the agent look again at once. */
  restart: string;
  /** Shows what the agent logged. */
  log: string;
  /** Starts an agent that is installed. */
  start: string;
  /** That what browsers keep certificates with is there. */
  library: string;
  /** How a command is run as the user `NAME`. */
  asUser: string;
  /** What a person can do, where it is another thing than elsewhere. */
  remedies: Partial<Record<ProblemCode, string>>;
}

const LINUX: SystemWords = {
  restart: "systemctl restart device-trust",
  log: "journalctl -u device-trust --since -1h",
  start: "systemctl enable --now device-trust (not installed: device-trust service install)",
  library: "libnss3 is there",
  asUser: "runuser -u NAME --",
  remedies: {},
};

const MACOS: SystemWords = {
  restart: "sudo launchctl kickstart -k system/device-trust.agent",
  log: "/Library/Logs/Device Trust/agent.log",
  start: "sudo device-trust service install",
  library: "keychains are part of macOS",
  asUser: "sudo -u NAME",
  remedies: {
    "no-local-account":
      "Make the account in System Settings > Users & Groups, or bind the user to " +
      "another account at the agent server.",
    "home-missing": "Mount the home, or let NAME log in once; the agent goes on then.",
    "store-locked": "Let NAME log out and in, or unlock the login keychain in Keychain Access.",
    "disk-full": "Free some space: df -h 'PATH'",
  },
};

const WINDOWS: SystemWords = {
  restart: 'schtasks /end /tn "\\Device Trust\\Agent", then schtasks /run /tn the same',
  log: "%ProgramData%\\Device Trust\\logs\\agent.log",
  start: "as an administrator: device-trust service install",
  library: "certificate stores are part of Windows",
  asUser: "runas /user:NAME",
  remedies: {
    "no-local-account": "Make the account in Settings > Accounts, or bind the user to another " +
      "account at the agent server.",
    "home-missing": "Let NAME sign on with a profile that is kept; the agent goes on then.",
    "store-locked": "Close the program that holds the store, or let NAME sign out and in.",
    "disk-full": "Free some space on the drive of 'PATH'.",
  },
};

/** The words of a system, as Deno names it; of one that has none of its own, Linux's. */
export function systemWords(os: string): SystemWords {
  switch (os) {
    case "darwin":
      return MACOS;
    case "windows":
      return WINDOWS;
    default:
      return LINUX;
  }
}
