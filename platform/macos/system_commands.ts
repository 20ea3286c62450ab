/**
 * Every command that the product gives to a macOS beside those to `security`
 * (security_commands.ts): the other half of the conversation, on one page. None carries a secret,
 * and only those of launchd and `addToPolicy` to `deletePolicy` change anything.
 */

/** An argument vector. */
export type Argv = readonly [string, ...string[]];

/** What each program gets for its environment, with the user's home where it needs one. */
export function systemEnvironment(home?: string): Record<string, string> {
  const path = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" };
  return home === undefined ? path : { ...path, HOME: home };
}

/** Commands by what they are for. */
export const MACOS = {
  /** Prints what the directory (local, or one that this Mac is bound to) knows of an account. */
  account: (name: string): Argv => [
    ...["/usr/bin/dscl", "-plist", "/Search", "-read", `/Users/${name}`] as const,
    ...["RecordName", "UniqueID", "PrimaryGroupID", "NFSHomeDirectory"],
  ],

  /** Prints the uid of an account. */
  uidOf: (name: string): Argv => ["/usr/bin/id", "-u", "--", name],

  /** Prints what is mounted where: `THING on PLACE (TYPE, ...)`. */
  mounts: (): Argv => ["/sbin/mount"],

  /** Prints the system's name, version and build. */
  version: (): Argv => ["/usr/bin/sw_vers"],

  /** Prints the hardware's UUID, among others. */
  hardware: (): Argv => ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],

  /** Prints who is logged in; at the screen, behind a switched user too, is `console`. */
  sessions: (): Argv => ["/usr/bin/who"],

  /** Prints a user's processes: pid, start, path of the program. */
  processes: (uid: string): Argv => ["/bin/ps", "-U", uid, "-o", "pid=,lstart=,comm="],

  /** Prints who signed code, by what the code itself says. */
  signature: (path: string): Argv => ["/usr/bin/codesign", "--display", "--verbose=4", path],

  /** Prints an application's version. */
  applicationVersion: (application: string): Argv => [
    ...["/usr/bin/defaults", "read", `${application}/Contents/Info`] as const,
    "CFBundleShortVersionString",
  ],

  /** Prints the user's own preferences of a domain as a property list. */
  preferences: (domain: string): Argv => ["/usr/bin/defaults", "export", domain, "-"],

  /** Prints a file of preferences, whatever its form, as a property list in XML. */
  preferencesIn: (file: string): Argv => ["/usr/bin/plutil", "-convert", "xml1", "-o", "-", file],

  /** Adds one text to a list in the user's preferences, and makes the list where there is none. */
  addToPolicy: (domain: string, policy: string, entry: string): Argv => [
    ...["/usr/bin/defaults", "write", domain, policy, "-array-add", "-string", entry] as const,
  ],

  /** Replaces a list of texts in the user's preferences. */
  setPolicy: (domain: string, policy: string, entries: readonly string[]): Argv => [
    ...["/usr/bin/defaults", "write", domain, policy, "-array"] as const,
    ...entries.flatMap((entry) => ["-string", entry]),
  ],

  /** Removes a key from the user's preferences. */
  deletePolicy: (domain: string, policy: string): Argv => [
    ...["/usr/bin/defaults", "delete", domain, policy] as const,
  ],

  /** Prints a domain of launchd (`system`, `gui/501`) or a job in one (`gui/501/LABEL`). */
  jobs: (target: string): Argv => ["/bin/launchctl", "print", target],

  /** Loads a job into a domain. */
  loadJob: (domain: string, file: string): Argv => [
    "/bin/launchctl",
    "bootstrap",
    domain,
    file,
  ],

  /** Ends a job and takes it out of its domain. */
  unloadJob: (target: string): Argv => ["/bin/launchctl", "bootout", target],

  /** Runs a job now. */
  startJob: (target: string): Argv => ["/bin/launchctl", "kickstart", target],

  /** Sends a signal to a job that runs. */
  signalJob: (signal: "SIGTERM" | "SIGKILL", target: string): Argv => [
    "/bin/launchctl",
    "kill",
    signal,
    target,
  ],

  /** Runs a program in a user's session with that user's rights and nothing of our environment. */
  asUser: (
    uid: string,
    env: Readonly<Record<string, string>>,
    program: readonly string[],
  ): Argv => [
    ...["/bin/launchctl", "asuser", uid, "/usr/bin/sudo", "-n", "-u", `#${uid}`, "--"] as const,
    ...["/usr/bin/env", "-i", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
    ...program,
  ],
} as const;
