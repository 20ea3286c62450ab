/** Lives of small fleets in virtual time: whatever goes wrong, the invariants hold. */
import assert from "node:assert/strict";
import { live } from "./life.ts";
import { liveAll } from "./lives.ts";

/** As many as are lived in two minutes by two processors. */
const SEEDS = 1000;

Deno.test("the same seed gives the same life, whatever keys were drawn", async () => {
  for (const seed of [1, 2, 3]) {
    const [once, again] = [await live(seed), await live(seed)];
    assert.equal(once.digest, again.digest);
  }
});

Deno.test(`${SEEDS} fleets get into every trouble there is, and break no invariant`, async () => {
  const seeds = Array.from({ length: SEEDS }, (_, at) => at + 1);
  const umask = Deno.umask();
  const { count, counts, failed } = await liveAll(seeds, { jobs: navigator.hardwareConcurrency });
  assert.equal(Deno.umask(), umask, "threads share it with every test that comes after");
  const { seed, failure } = failed ?? {};
  assert.equal(
    failure,
    undefined,
    `${failure?.message}\n${
      failure?.last.join("\n")
    }\nTo see it again: deno task soak --seed ${seed}`,
  );
  assert.equal(count, SEEDS);
  for (const kind of ["calm looks", "issued renewal", "kill device", "message lost reply"]) {
    assert.ok((counts.get(kind) ?? 0) > 20, `${kind} occurred`);
  }
});
