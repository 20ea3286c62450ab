/** Times as people read them, in the local time zone. Pure but for that zone. */

const DAY = 86_400_000;

/** Units of a span, largest first, milliseconds. */
const UNITS = [
  ["year", 365.25 * DAY],
  ["day", DAY],
  ["hour", 3_600_000],
  ["minute", 60_000],
] as const;

/** A span of time, whatever its sign, to one unit: `90 minutes`, and `2 hours` from there on. */
export function span(milliseconds: number): string {
  const length = Math.abs(milliseconds);
  // What measures as a hair less than two of a unit is two of it.
  const [name, size] = UNITS.find(([, size]) => length >= 1.95 * size) ?? ["second", 1000];
  const count = Math.round(length / size);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

/**
 * An instant, how far off first: `in 13 days (8 Dec 2026)`; with the time of day and the zone's
 * distance from UTC within two days: `5 minutes ago (25 Nov 2026 14:30 +01:00)`.
 *
 * @param at milliseconds since 1970
 * @param now by the same clock
 */
export function when(at: number, now: number): string {
  const distance = at - now;
  const off = distance >= 1000
    ? `in ${span(distance)}`
    : distance <= -1000
    ? `${span(distance)} ago`
    : "now";
  const date = new Date(at);
  const day = `${date.getDate()} ${MONTHS[date.getMonth()]} ${date.getFullYear()}`;
  if (Math.abs(distance) >= 2 * DAY) return `${off} (${day})`;
  return `${off} (${day} ${two(date.getHours())}:${two(date.getMinutes())} ${zone(date)})`;
}

/** An instant in a form that sorts: `2026-11-25 14:30:05 +01:00`. */
export function logTime(at: number): string {
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${day} ${time} ${zone(date)}`;
}

const MONTHS = [
  ...["Jan", "Feb", "Mar", "Apr", "May", "Jun"],
  ...["Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
];

/** How far the zone is from UTC then. */
function zone(date: Date): string {
  const ahead = -date.getTimezoneOffset();
  const minutes = Math.abs(ahead);
  return `${ahead < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
