/** Times as people read them. */
import assert from "node:assert/strict";
import { logTime, span, when } from "./time_text.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Runs a test in a time zone (tzset(3)). */
function inZone(zone: string, test: () => void): void {
  const before = Deno.env.get("TZ");
  Deno.env.set("TZ", zone);
  try {
    test();
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
}

Deno.test("a span has one unit, the largest of which it has two", () => {
  const rows: [number, string][] = [
    [0, "0 seconds"],
    [1000, "1 second"],
    [-59_600, "60 seconds"],
    [119_000, "2 minutes"],
    [90 * MINUTE, "90 minutes"],
    [2 * HOUR - 1, "2 hours"],
    [36 * HOUR, "36 hours"],
    [-13 * DAY, "13 days"],
    [700 * DAY, "700 days"],
    [3653 * DAY, "10 years"],
  ];
  for (const [milliseconds, text] of rows) assert.equal(span(milliseconds), text);
});

Deno.test("an instant is told by how far off it is, and by its day in the local zone", () => {
  const now = Date.parse("2026-11-25T23:30:00Z");
  inZone("UTC", () => {
    assert.equal(when(now + 13 * DAY, now), "in 13 days (8 Dec 2026)");
    assert.equal(when(now - 40 * DAY, now), "40 days ago (16 Oct 2026)");
    assert.equal(when(now + 20_400, now), "in 20 seconds (25 Nov 2026 23:30 +00:00)");
    assert.equal(when(now + 500, now), "now (25 Nov 2026 23:30 +00:00)");
  });
  inZone("Europe/Berlin", () => {
    assert.equal(when(now - 5 * MINUTE, now), "5 minutes ago (26 Nov 2026 00:25 +01:00)");
    assert.equal(when(now + 13 * DAY, now), "in 13 days (9 Dec 2026)");
  });
});

Deno.test("a logged time says which zone it is in, in summer and in winter", () => {
  inZone("America/St_Johns", () => {
    assert.equal(logTime(Date.parse("2026-01-02T03:04:05Z")), "2026-01-01 23:34:05 -03:30");
    assert.equal(logTime(Date.parse("2026-07-02T03:04:05Z")), "2026-07-02 00:34:05 -02:30");
  });
});
