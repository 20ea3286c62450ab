/** What people are told of a clock that is wrong. Pure. */
import { span } from "./time_text.ts";

/** A difference between this clock and the agent server's that people are told of, milliseconds. */
export const NOTABLE_SKEW = 60_000;

/**
 * By how much and in which direction this computer's clock is wrong; undefined when it is right
 * enough.
 *
 * @param skew server time minus local time, milliseconds
 */
export function skewText(skew: number): string | undefined {
  if (Math.abs(skew) <= NOTABLE_SKEW) return undefined;
  const direction = skew > 0 ? "behind" : "ahead of";
  return `this computer's clock is ${span(skew)} ${direction} the agent server's`;
}

/** What to do about it. */
export const SET_CLOCK = "timedatectl set-ntp true";
