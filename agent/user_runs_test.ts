import assert from "node:assert/strict";
import { UserRuns } from "./user_runs.ts";

/** Runs that end when the test says so. */
function world(stillDue = true) {
  const open = new Map<string, () => void>();
  const begun: string[] = [];
  const runs = new UserRuns(
    (userId) => {
      begun.push(userId);
      return new Promise((resolve) => open.set(userId, resolve));
    },
    () => stillDue,
  );
  return { runs, begun, end: (userId: string) => open.get(userId)?.() };
}

/** Lets everything that can happen now happen. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("four run at once, and the next begins when one has ended", async () => {
  const { runs, begun, end } = world();
  for (const userId of ["a", "b", "c", "d", "e", "f"]) runs.start(userId);
  await turn();
  assert.deepEqual(begun, ["a", "b", "c", "d"]);
  end("b");
  await turn();
  assert.deepEqual(begun, ["a", "b", "c", "d", "e"]);
  for (const userId of ["a", "c", "d", "e"]) end(userId);
  await turn();
  end("f");
  await runs.settle();
  assert.deepEqual(begun, ["a", "b", "c", "d", "e", "f"]);
});

Deno.test("one run a user; news during it makes one more, if it is still due", async () => {
  const { runs, begun, end } = world();
  runs.start("a");
  runs.start("a");
  runs.start("a");
  await turn();
  assert.deepEqual(begun, ["a"]);
  end("a");
  await turn();
  assert.deepEqual(begun, ["a", "a"]);
  end("a");
  await runs.settle();
  assert.deepEqual(begun, ["a", "a"]);
});

Deno.test("news that the run dealt with makes no further run", async () => {
  const { runs, begun, end } = world(false);
  runs.start("a");
  runs.start("a");
  await turn();
  end("a");
  await runs.settle();
  assert.deepEqual(begun, ["a"]);
});

Deno.test("a run that nothing can be kept of fails the work, once the others have ended", async () => {
  const begun: string[] = [];
  const runs = new UserRuns(async (userId) => {
    await turn();
    begun.push(userId);
    if (userId === "a") throw new Error("the disk is full");
  }, () => true);
  runs.start("a");
  runs.start("b");
  await assert.rejects(runs.settle(), /the disk is full/);
  assert.deepEqual(begun, ["a", "b"]);
});
