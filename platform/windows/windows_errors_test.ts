import assert from "node:assert/strict";
import { Problem, type ProblemCode } from "../errors.ts";
import { checkStatus, toStoreProblem, WindowsError } from "./windows_errors.ts";

const MEANINGS: readonly [code: number, ProblemCode, RegExp][] = [
  [0x5, "internal", /ERROR_ACCESS_DENIED \(0x5\).*administrator/],
  [0x80070005, "internal", /E_ACCESSDENIED \(0x80070005\).*administrator/],
  [0x80090010, "internal", /NTE_PERM.*administrator/],
  [0x20, "store-locked", /ERROR_SHARING_VIOLATION.*tried again later/],
  [0x80070020, "store-locked", /tried again later/],
  [0x70, "disk-full", /ERROR_DISK_FULL.*Make room/],
  [0x80090022, "store-password", /NTE_SILENT_CONTEXT.*strong key protection/],
  [0x80090024, "internal", /NTE_TEMPORARY_PROFILE.*profile/],
  [0x80091234, "internal", /code \(0x80091234\)/],
];

for (const [code, expected, words] of MEANINGS) {
  Deno.test(`0x${code.toString(16)} of Windows is ${expected}, in words`, () => {
    const error = new WindowsError("NCryptFinalizeKey", code);
    const problem = toStoreProblem(error, "CurrentUser\\MY");
    assert.ok(problem instanceof Problem);
    assert.equal(problem.code, expected);
    assert.match(problem.message, words);
    assert.match(problem.message, /^CurrentUser\\MY: NCryptFinalizeKey failed: /);
    assert.equal(problem.cause, error);
  });
}

Deno.test("what is no failure of Windows stays what it is", () => {
  const error = new Error("the ledger's disk is full");
  assert.equal(toStoreProblem(error, "CurrentUser\\MY"), error);
});

Deno.test("a negative status is told as the code that Windows documents", () => {
  checkStatus("NCryptOpenKey", 0);
  assert.throws(
    () => checkStatus("NCryptOpenKey", 0x80090016 | 0),
    { name: "WindowsError", call: "NCryptOpenKey", code: 0x80090016 },
  );
});
