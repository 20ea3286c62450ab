/** `--since`, as people type it. */
import assert from "node:assert/strict";
import { UsageError } from "./failure.ts";
import { parseSince } from "./since.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");

Deno.test("a duration is so long ago", () => {
  const seconds = { "0s": 0, "90s": 90, "30m": 1800, "12h": 43_200, "7d": 604_800 };
  for (const [text, ago] of Object.entries(seconds)) {
    assert.equal(parseSince(text, NOW), NOW - ago * 1000, text);
  }
});

Deno.test("a day begins, and a time without a zone is, in the local zone", () => {
  assert.equal(parseSince("2026-11-25", NOW), new Date(2026, 10, 25).getTime());
  assert.equal(parseSince("2026-11-25 14:30", NOW), new Date(2026, 10, 25, 14, 30).getTime());
  assert.equal(parseSince("2026-11-25T14:30:05", NOW), new Date(2026, 10, 25, 14, 30, 5).getTime());
});

Deno.test("a time with a zone is what RFC 3339 says", () => {
  assert.equal(parseSince("2026-11-25T14:30:00Z", NOW), Date.parse("2026-11-25T14:30:00Z"));
  assert.equal(
    parseSince("2026-11-25 14:30:00.250+01:00", NOW),
    Date.parse("2026-11-25T13:30:00.250Z"),
  );
});

Deno.test("anything else is refused with what to type", () => {
  const wrong = ["", "3x", "7", "d", "-1d", "yesterday", "1e3s", "2026-13-01", "2026-11-25T25:00Z"]
    .concat("25 Nov 2026", "1795586713", "2026-11-25Z", " 7d");
  for (const text of wrong) {
    assert.throws(() => parseSince(text, NOW), (error) => {
      assert.ok(error instanceof UsageError, text);
      assert.match(error.message, /30m, 12h or 7d, a day such as 2026-11-25/);
      return true;
    });
  }
});
