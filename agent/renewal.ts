/** When a leaf is renewed. Pure. */
import type { RenewalWindow } from "./contract.ts";

/**
 * An instant drawn uniformly in the server's window (RFC 9773, section 4.2), milliseconds since
 * 1970; drawn once for each leaf and stored, so that a fleet spreads and a restart changes nothing.
 *
 * @param random uniform in [0, 1)
 */
export function drawRenewal(window: RenewalWindow, random: () => number): number {
  const start = Date.parse(window.start);
  return start + random() * (Date.parse(window.end) - start);
}
