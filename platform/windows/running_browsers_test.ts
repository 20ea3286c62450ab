import assert from "node:assert/strict";
import { browsersAmong, type ProcessDetails, type SnapshotProcess } from "./running_browsers.ts";

const ADA = "S-1-5-21-1-2-3-1001";

function browsers(list: [pid: number, parent: number, program: string, user?: string][]) {
  const processes = list.map(([pid, parent, program]): SnapshotProcess => {
    return { pid, parent, name: program.slice(program.lastIndexOf("\\") + 1) };
  });
  const details = (pid: number): ProcessDetails | undefined => {
    const [, , program = "", user] = list.find((one) => one[0] === pid) ?? [];
    return user === undefined ? undefined : { user, program, startedAt: 1000 + pid };
  };
  return browsersAmong(processes, details, ADA);
}

Deno.test("a browser is its first process: those that it starts are its helpers", () => {
  const chrome = "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe";
  const edge = "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe";
  assert.deepEqual(
    browsers([
      [4, 0, "System"],
      [10, 4, "C:\\Windows\\explorer.exe", ADA],
      [20, 10, chrome, ADA],
      [21, 20, chrome, ADA],
      [22, 20, chrome, ADA],
      [30, 10, edge.toUpperCase(), ADA],
      [31, 30, edge, ADA],
      [40, 10, "C:\\Users\\ada\\AppData\\Local\\Chromium\\Application\\chrome.exe", ADA],
      [50, 10, "C:\\Program Files\\BraveSoftware\\Brave-Browser\\Application\\brave.exe", ADA],
    ]),
    [
      { name: "chrome", pid: 20, startedAt: 1020 },
      { name: "edge", pid: 30, startedAt: 1030 },
      { name: "chromium", pid: 40, startedAt: 1040 },
      { name: "brave", pid: 50, startedAt: 1050 },
    ],
  );
});

Deno.test("another user's browser, and one that has ended, are left out", () => {
  const chrome = "C:\\chrome.exe";
  assert.deepEqual(browsers([[20, 10, chrome, "S-1-5-21-1-2-3-1002"], [30, 10, chrome]]), []);
});
