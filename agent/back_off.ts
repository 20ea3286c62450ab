/** How long to wait after failures. Pure. */

/** First and longest bound of a pause, milliseconds. */
const BOUNDS = { first: 1000, longest: 300_000 } as const;

/** Never less, so that a lucky draw is no busy loop. Milliseconds. */
const LEAST = 100;

/**
 * The pause after the n-th failure in a row, whole milliseconds: full jitter, uniform up to a bound that
 * doubles from 1 s to 5 min, so that many who failed together do not come back together.
 *
 * @param random uniform in [0, 1)
 */
export function backOff(failures: number, random: () => number): number {
  const bound = Math.min(BOUNDS.longest, BOUNDS.first * 2 ** Math.max(0, failures - 1));
  return Math.round(Math.max(LEAST, random() * bound));
}

/** Longest pause that {@link backOff} gives, milliseconds. */
export const LONGEST_BACK_OFF = BOUNDS.longest;

/**
 * Whether a pause until `retryAt` goes on, both by the wall clock. One that would be longer than any
 * was planned before that clock was set back, and is over.
 */
export function isPausing(retryAt: number | undefined, now: number): boolean {
  return retryAt !== undefined && retryAt > now && retryAt <= now + LONGEST_BACK_OFF;
}
