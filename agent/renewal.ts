/** When a leaf is renewed. Pure. */
import type { RenewalWindow } from "./contract.ts";

/** The instant of a renewal, and the server's window that it was drawn in. */
export interface PlannedRenewal {
  /** Server time, whole milliseconds since 1970. */
  renewAt: number;
  window: RenewalWindow;
}

/**
 * An instant drawn uniformly in the server's window (RFC 9773, section 4.2); drawn once for each
 * leaf and window and stored, so that a fleet spreads and a restart changes nothing.
 *
 * @param random uniform in [0, 1)
 */
export function planRenewal(window: RenewalWindow, random: () => number): PlannedRenewal {
  const start = Date.parse(window.start);
  return { renewAt: Math.round(start + random() * (Date.parse(window.end) - start)), window };
}

/** The plan that counts: the one there is, unless the server moved the window since. */
export function followWindow(
  plan: PlannedRenewal | undefined,
  window: RenewalWindow | undefined,
  random: () => number,
): PlannedRenewal | undefined {
  if (!window || (plan && sameWindow(plan.window, window))) return plan;
  return planRenewal(window, random);
}

/** Whether two windows are the same. */
export function sameWindow(one: RenewalWindow, other: RenewalWindow): boolean {
  return one.start === other.start && one.end === other.end;
}
