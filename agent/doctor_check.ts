/** A check of `doctor --json` (DESIGN section 7), and words that several checks share. */

/** One link between server and browser. */
export interface Check {
  /** Kebab case; what it is about follows after a colon. */
  id: string;
  ok: boolean;
  /** What was seen. */
  detail: string;
  /** What to do about it, with the exact command; "" when all is well. */
  fix: string;
}

/** A link that holds. */
export function passed(id: string, detail: string): Check {
  return { id, ok: true, detail, fix: "" };
}

/** A link that does not. */
export function failed(id: string, detail: string, fix: string): Check {
  return { id, ok: false, detail, fix };
}

/** What makes the agent look again at once. */
export const LOOK_AGAIN =
  "The agent repairs this by itself; to have it now: systemctl restart device-trust";

/** Where the agent says more. */
export const READ_LOG = "journalctl -u device-trust --since -1h";

/** A span of time for people, to one unit. */
export function span(milliseconds: number): string {
  const units = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"]] as const;
  const [size, unit] = units.find(([size]) => Math.abs(milliseconds) >= size) ?? [1000, "s"];
  return `${Math.round(milliseconds / size)} ${unit}`;
}
