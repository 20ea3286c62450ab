/** `--since`: from when on, as people type it. Pure but for the local time zone. */
import { UsageError } from "./failure.ts";

/** Milliseconds of each unit of a duration. */
const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const DURATION = /^(\d{1,6})([smhd])$/;
const DAY = /^\d{4}-\d\d-\d\d$/;
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/i;

/**
 * The instant that `text` names, milliseconds since 1970: so long before `now` (`30m`, `12h`, `7d`),
 * or a day or time, in the local zone where it names none (RFC 3339 otherwise).
 *
 * @throws UsageError
 */
export function parseSince(text: string, now: number): number {
  const [, count, unit = ""] = DURATION.exec(text) ?? [];
  const size = UNITS[unit];
  if (size !== undefined) return now - Number(count) * size;
  // A day alone would be taken for one in UTC.
  const instant = DAY.test(text)
    ? Date.parse(`${text}T00:00`)
    : TIME.test(text)
    ? Date.parse(text.replace(" ", "T"))
    : NaN;
  if (!Number.isNaN(instant)) return instant;
  throw new UsageError(
    `--since '${text}' must be a duration such as 30m, 12h or 7d, a day such as 2026-11-25, or a ` +
      "time such as 2026-11-25T14:30:00Z.",
  );
}
