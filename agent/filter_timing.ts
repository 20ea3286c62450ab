/** When running browsers have read a selection filter (S15). Pure. Times are local milliseconds. */

/**
 * How long a running Chromium may take to read a changed policy file (11 to 12 s were seen). A leaf
 * that shows up earlier makes it ask its user which certificate to present.
 */
export const FILTER_READ_TIME = 15_000;

/**
 * How long a Chromium may take from its start until it watches its policy folder (3 to 6 s were
 * seen). It reads the folder when it starts and does not hear of a file that comes in between, so
 * the agent touches a new filter once this time is over (device_filters.ts).
 */
export const BROWSER_START_TIME = 15_000;

/** When all of these browsers have read a filter; `writtenAt` or earlier when they have already. */
export function filterReadAt(
  writtenAt: number,
  browsers: readonly { startedAt: number }[],
): number {
  return browsers.reduce((latest, { startedAt }) => {
    // It found the filter there.
    if (startedAt > writtenAt) return latest;
    const isWatching = startedAt + BROWSER_START_TIME <= writtenAt;
    const toldAt = isWatching ? writtenAt : writtenAt + BROWSER_START_TIME;
    return Math.max(latest, toldAt + FILTER_READ_TIME);
  }, writtenAt);
}
