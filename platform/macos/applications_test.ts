import assert from "node:assert/strict";
import { fitting, partitionFrom } from "./applications.ts";
import { LINE_BYTES, LINE_WORDS, securityLine } from "./security_command.ts";

Deno.test("code is known by Apple, by its team, or by its build", () => {
  const cases: [string[], string | undefined][] = [
    [["Authority=Software Signing", "TeamIdentifier=not set", HASH], "apple:"],
    [["Authority=Developer ID Application: Google LLC", TEAM, HASH], "teamid:EQHXZ8M8AV"],
    [["Authority=Apple Mac OS Application Signing", TEAM, HASH], "teamid:EQHXZ8M8AV"],
    [["Signature=adhoc", "TeamIdentifier=not set", HASH], `cdhash:${"0a".repeat(20)}`],
    // A name that somebody gave to a file or to their own certificate.
    [
      ["Executable=/x/Authority=Software Signing", "TeamIdentifier=not set", HASH],
      `cdhash:${"0a".repeat(20)}`,
    ],
    [["Authority=Software Signing (not really)", TEAM, HASH], "teamid:EQHXZ8M8AV"],
    [["Authority=My own", "TeamIdentifier=a,apple:", HASH], `cdhash:${"0a".repeat(20)}`],
    [["/x: code object is not signed at all"], undefined],
    [[], undefined],
  ];
  for (const [lines, partition] of cases) {
    assert.equal(partitionFrom(lines.join("\n")), partition, lines.join(" | "));
  }
});

Deno.test("as many applications are named as one line takes, the first ones", () => {
  const words = ["import", "/file", "-k/keychain"];
  for (const length of [10, 150, 1000, 5000]) {
    const paths = Array.from({ length: 60 }, (_, n) => `/${n}${"a".repeat(length)}`);
    const taken = fitting(paths, words, "-T");
    assert.deepEqual(taken, paths.slice(0, taken.length));
    const line = (all: string[]) => securityLine([...words, ...all.map((path) => `-T${path}`)]);
    line(taken);
    assert.throws(() => line(paths.slice(0, taken.length + 1)));
    assert.ok(taken.length <= LINE_WORDS && taken.join("").length <= LINE_BYTES);
  }
});

const TEAM = "TeamIdentifier=EQHXZ8M8AV";
const HASH = `CDHash=${"0a".repeat(20)}`;
