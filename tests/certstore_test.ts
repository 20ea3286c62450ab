/** certstore under Wine: what the files named here promise, on any machine that can run it. */
import { testInWindows } from "./wine.ts";

testInWindows([], "certstore keeps its promises on Windows", {
  files: ["certstore_story.ts", "certstore_keys_story.ts", "certstore_refusals_story.ts"],
  programs: [{ source: "certstore_witness.c", libraries: ["crypt32", "ncrypt", "advapi32"] }],
});
