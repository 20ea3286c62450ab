import assert from "node:assert/strict";
import fc from "fast-check";
import { backOff, LONGEST_BACK_OFF } from "./back_off.ts";

Deno.test("backOff() stays within its bounds and doubles its ceiling with each failure", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 5000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (n, r) => {
        const pause = backOff(n, () => r);
        assert.ok(pause >= 100 && pause <= LONGEST_BACK_OFF);
      },
    ),
  );
  const ceilings = [1, 2, 3, 4, 9, 10, 40].map((failures) =>
    Math.round(backOff(failures, () => 1))
  );
  assert.deepEqual(ceilings, [1000, 2000, 4000, 8000, 256_000, 300_000, 300_000]);
});
