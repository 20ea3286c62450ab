import assert from "node:assert/strict";
import { percentile, table, time } from "./measure.ts";

Deno.test("percentile() is a sample that the share of all samples does not exceed", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(hundred, 0.5), 50);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile([7], 0.5), 7);
  assert.equal(percentile([3, 1], 0.99), 3);
  assert.throws(() => percentile([], 0.5), RangeError);
});

Deno.test("time() gives one sample a call, each at least as long as the call", async () => {
  let calls = 0;
  assert.equal((await time(3, () => calls++)).length, 3);
  assert.equal(calls, 3);
});

Deno.test("table() gives median, p99, unit and target of every row", () => {
  const text = table([
    {
      what: "ON -> leaf",
      samples: [1.2345, 2, 1234.5],
      unit: "ms",
      target: { median: 250, p99: 500 },
    },
    { what: "idle", samples: [40], unit: "MB" },
  ]);
  assert.deepEqual(text.split("\n").map((line) => line.split("|").map((cell) => cell.trim())), [
    ["", "what", "n", "median", "p99", "target", ""],
    ["", ...["----------", "-", "------", "-------", "-------------------"], ""],
    ["", "ON -> leaf", "3", "2 ms", "1235 ms", "median 250, p99 500", ""],
    ["", "idle", "1", "40 MB", "40 MB", "", ""],
  ]);
});
