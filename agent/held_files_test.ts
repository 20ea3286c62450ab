/** Files that a user can hold; here the holder is a change that does not end. */
import assert from "node:assert/strict";
import { HeldFiles } from "./held_files.ts";

Deno.test("who holds a file keeps nobody up, and takes no more than a few of our threads", async () => {
  const { rename } = Deno;
  const released = Promise.withResolvers<void>();
  let begun = 0;
  Deno.rename = () => {
    begun++;
    return released.promise;
  };
  try {
    const files = new HeldFiles();
    const tries = Array.from({ length: 6 }, () => files.rename("/a", "/b"));
    const outcomes = await Promise.allSettled(tries);
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
    assert.equal(begun, 4);
    released.resolve();
    await released.promise;
    await files.rename("/a", "/b");
  } finally {
    Deno.rename = rename;
  }
});
