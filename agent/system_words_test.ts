import assert from "node:assert/strict";
import { PROBLEM_CODES } from "../platform/errors.ts";
import { systemWords } from "./system_words.ts";

Deno.test("nobody is told to type what their system does not have", () => {
  const others = {
    darwin: /systemctl|journalctl|runuser|useradd|libnss3|mkhomedir/,
    linux: /launchctl/,
  };
  for (const [os, foreign] of Object.entries(others)) {
    assert.doesNotMatch(JSON.stringify(systemWords(os)), foreign, os);
  }
});

Deno.test("remedies are for problems that there are", () => {
  const codes: readonly string[] = PROBLEM_CODES;
  for (const code of Object.keys(systemWords("darwin").remedies)) assert.ok(codes.includes(code));
});
