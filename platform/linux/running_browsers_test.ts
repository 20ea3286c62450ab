import assert from "node:assert/strict";
import { join } from "node:path";
import { browserName, findRunningBrowsers } from "./running_browsers.ts";

const linux = Deno.build.os === "linux";
const uid = linux ? Deno.uid() ?? 0 : 0;
const chromium = linux && exists("/usr/bin/chromium");

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

Deno.test("browsers are known by their programs, also when an update deleted them", () => {
  const expected: [string, string | undefined][] = [
    ["/opt/google/chrome/chrome", "chrome"],
    ["/opt/google/chrome/chrome (deleted)", "chrome"],
    ["/opt/google/chrome-beta/chrome", "chrome"],
    ["/usr/lib/chromium/chromium", "chromium"],
    ["/snap/chromium/3000/usr/lib/chromium-browser/chrome", "chromium"],
    ["/opt/microsoft/msedge/msedge", "edge"],
    ["/opt/brave.com/brave/brave", "brave"],
    ["/opt/vivaldi/vivaldi-bin", "vivaldi"],
    ["/usr/lib/x86_64-linux-gnu/opera/opera", "opera"],
    ["/opt/google/chrome/chrome_crashpad_handler", undefined],
    ["/usr/share/code/code", undefined],
    ["/usr/lib/firefox/firefox", undefined],
    ["/usr/bin/chrome/bash", undefined],
    ["", undefined],
  ];
  for (const [path, name] of expected) assert.equal(browserName(path), name, path);
  assert.equal(browserName(undefined), undefined);
});

Deno.test({
  name: "a running Chromium is found once, with its start, and gone when it ended" +
    (chromium ? "" : " (skipped: needs chromium)"),
  ignore: !chromium,
  async fn() {
    const profile = Deno.makeTempDirSync({ prefix: "device-trust-profile-" });
    const before = Date.now();
    const browser = new Deno.Command("/usr/bin/chromium", {
      args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        .concat(["--disable-background-networking", "--remote-debugging-port=0"])
        .concat([`--user-data-dir=${profile}`, "about:blank"]),
      stdout: "null",
      stderr: "piped",
    }).spawn();
    try {
      let said = "";
      for await (const text of browser.stderr.pipeThrough(new TextDecoderStream())) {
        said += text;
        if (said.includes("DevTools listening")) break;
      }
      const ofTest = () => {
        const children = descendants(browser.pid);
        return findRunningBrowsers(uid).filter(({ pid }) => children.has(pid));
      };
      const [found, ...others] = ofTest();
      assert.ok(descendants(browser.pid).size > 1, "Chromium has helpers, which are not counted");
      assert.deepEqual(others, []);
      assert.equal(found?.name, "chromium");
      assert.equal(found?.pid, browser.pid);
      assert.ok(found && found.startedAt > before - 1100 && found.startedAt < Date.now());
      assert.deepEqual(findRunningBrowsers(uid + 1).filter(({ pid }) => pid === browser.pid), []);
    } finally {
      const processes = descendants(browser.pid);
      browser.kill("SIGTERM");
      await browser.status;
      for (
        const end = Date.now() + 10_000;
        [...processes].some((pid) => exists(`/proc/${pid}/stat`));
      ) {
        assert.ok(Date.now() < end, "Chromium's helpers did not end");
        await new Promise((done) => setTimeout(done, 5));
      }
    }
    assert.deepEqual(findRunningBrowsers(uid).filter(({ pid }) => pid === browser.pid), []);
    Deno.removeSync(profile, { recursive: true });
  },
});

/** A process and everything below it. */
function descendants(top: number): Set<number> {
  const { stdout } = new Deno.Command("ps", { args: ["-eo", "pid=,ppid="] }).outputSync();
  const pairs = new TextDecoder().decode(stdout).trim().split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = new Set([top]);
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const [pid, parent] of pairs) {
      if (pid !== undefined && parent !== undefined && found.has(parent)) found.add(pid);
    }
  }
  return found;
}

Deno.test({
  name: "a browser whose program was replaced is still found, a helper is not",
  ignore: !linux,
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "device-trust-browser-" });
    const program = join(dir, "msedge");
    Deno.copyFileSync("/bin/sh", program);
    Deno.chmodSync(program, 0o755);
    const start = (...args: string[]) =>
      new Deno.Command(program, {
        args: ["-c", "echo ready; read end", ...args],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
    const [browser, helper] = [start("main"), start("--type=renderer")];
    try {
      for (const { stdout } of [browser, helper]) {
        const reader = stdout.getReader();
        await reader.read();
        reader.releaseLock();
      }
      Deno.removeSync(dir, { recursive: true });
      const found = findRunningBrowsers(uid)
        .filter(({ pid }) => pid === browser.pid || pid === helper.pid);
      assert.deepEqual(found.map(({ name, pid }) => ({ name, pid })), [{
        name: "edge",
        pid: browser.pid,
      }]);
    } finally {
      for (const child of [browser, helper]) {
        await child.stdin.close();
        await child.stdout.cancel();
        await child.status;
      }
    }
  },
});
