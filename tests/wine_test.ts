import assert from "node:assert/strict";
import { readTap } from "./wine.ts";

const FAILED = `TAP version 14\r
# ./a.js\r
ok 1 - keeps what it promised\r
not ok 2 - item \\#2 goes\r
  ---\r
  {"message":"Error: it is still there\\nat a.js:1","severity":"fail"}\r
  ...\r
ok 3 - P-256 [skipped: this machine has none] # SKIP\r
1..3\r
`;

Deno.test("what the tests in Windows say is read as it was meant", () => {
  assert.deepEqual(readTap(FAILED), [
    { name: "keeps what it promised", skipped: false },
    { name: "item #2 goes", skipped: false, error: "Error: it is still there\nat a.js:1" },
    { name: "P-256 [skipped: this machine has none]", skipped: true },
  ]);
});

Deno.test("tests in Windows that broke off, or never began, are no success", () => {
  for (const text of [FAILED.replace("1..3", ""), "TAP version 14\r\n1..0\r\n", ""]) {
    assert.throws(() => readTap(text), /broke off after/);
  }
});
