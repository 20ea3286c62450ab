import assert from "node:assert/strict";
import { browsersIn } from "./running_browsers.ts";

Deno.test("browsers are told by the paths of their programs, helpers left out", () => {
  const helper = "/Applications/Google Chrome.app/Contents/Frameworks/Google Chrome Framework" +
    ".framework/Versions/1/Helpers/Google Chrome Helper (Renderer).app/Contents/MacOS/" +
    "Google Chrome Helper (Renderer)";
  const found = browsersIn(`
  310 Wed Nov 25 10:41:40 2026     /sbin/launchd
 4711 Wed Nov 25 10:41:40 2026     /Applications/Google Chrome.app/Contents/MacOS/Google Chrome
 4712 Wed Nov 25 10:41:41 2026     ${helper}
99999 Tue Nov  3 01:02:03 2026     /Users/ada/Applications/Safari.app/Contents/MacOS/Safari
  500 Wed Nov 25 10:41:40 2026     /Applications/Other.app/Contents/MacOS/Safari
  501 Wed Nov 25 10:41:40 2026     /usr/bin/Safari
nonsense
`);
  assert.deepEqual(found, [
    { name: "chrome", pid: 4711, startedAt: new Date(2026, 10, 25, 10, 41, 40).getTime() },
    { name: "safari", pid: 99999, startedAt: new Date(2026, 10, 3, 1, 2, 3).getTime() },
  ]);
});
