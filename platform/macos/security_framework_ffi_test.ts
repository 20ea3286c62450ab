import assert from "node:assert/strict";
import { Problem } from "../errors.ts";
import { loadSecurityFramework } from "./security_framework_ffi.ts";

Deno.test({
  name: "elsewhere than on a Mac, the Security framework is a Problem and no crash",
  ignore: Deno.build.os === "darwin",
  fn() {
    const isProblem = (error: unknown) => error instanceof Problem && error.code === "internal";
    assert.throws(() => loadSecurityFramework(), isProblem);
  },
});
