/** Finds a user's running browsers, which need time to read a new policy (S15). */

/** A browser's main process. */
export interface RunningBrowser {
  /** `chrome`, `chromium`, `edge`, `brave`, `vivaldi` or `opera`. */
  name: string;
  pid: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** The browsers that run as this user now. Processes that end meanwhile are left out. */
export function findRunningBrowsers(_uid: number, _proc = "/proc"): RunningBrowser[] {
  throw new Error("signature only");
}
