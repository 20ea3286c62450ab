import assert from "node:assert/strict";
import { BROWSER_START_TIME, FILTER_READ_TIME, filterReadAt } from "./filter_timing.ts";

const WRITTEN = 1_000_000;

for (
  const [what, startedAt, readAt] of [
    ["nobody's browser runs", [], WRITTEN],
    ["a browser started after it was written", [WRITTEN + 1], WRITTEN],
    [
      "a browser was watching when it was written",
      [WRITTEN - BROWSER_START_TIME],
      WRITTEN + FILTER_READ_TIME,
    ],
    [
      "a browser was starting when it was written",
      [WRITTEN - BROWSER_START_TIME + 1],
      WRITTEN + BROWSER_START_TIME + FILTER_READ_TIME,
    ],
    [
      "browsers of every kind run",
      [0, WRITTEN, WRITTEN + 1],
      WRITTEN + BROWSER_START_TIME + FILTER_READ_TIME,
    ],
  ] as const
) {
  Deno.test(`a filter counts as read in time when ${what}`, () => {
    const browsers = startedAt.map((startedAt) => ({ startedAt }));
    assert.equal(filterReadAt(WRITTEN, browsers), readAt);
  });
}
