import assert from "node:assert/strict";
import { join } from "node:path";
import { filterFile } from "./filter_decision.ts";
import { asRoot, command, FOREIGN, scratch, states, wanted } from "./filter_scratch.ts";
import { writeFilters } from "./selection_filters.ts";

const chromium = asRoot && ["/usr/bin/chromium", "/usr/bin/unshare"].every((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

scratch(
  "Chromium itself takes our filter, and takes theirs where ours is said to be shadowed" +
    (chromium ? "" : " (skipped: needs root, chromium and unshare)"),
  async (world) => {
    world.make("etc/chromium");
    command("chmod", "-R", "u=rwX,go=rX", world.at("etc"));
    const folder = world.at("etc/chromium");
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok", "chromium ok"]);
    const ours = JSON.parse(new TextDecoder().decode(filterFile(wanted)));
    assert.deepEqual(await chromiumFilters(folder), ours.AutoSelectCertificateForUrls);

    Deno.writeTextFileSync(join(folder, "policies/managed/a.txt"), `// theirs\n${FOREIGN}`);
    Deno.chmodSync(join(folder, "policies/managed/a.txt"), 0o644);
    assert.deepEqual(states(writeFilters(wanted, world)), ["chrome ok", "chromium shadowed"]);
    assert.deepEqual(
      await chromiumFilters(folder),
      JSON.parse(FOREIGN).AutoSelectCertificateForUrls,
    );
  },
  !chromium,
);

/** The value of the policy in a Chromium that has `folder` for `/etc/chromium`. */
async function chromiumFilters(folder: string): Promise<unknown> {
  const profile = await Deno.makeTempDir({ prefix: "device-trust-profile-" });
  // The profile is in memory and goes with the last of the browser's processes.
  const script = 'mount --bind "$0" /etc/chromium && mount -t tmpfs tmpfs "$1" && shift && ' +
    'exec chromium "$@"';
  const browser = new Deno.Command("/usr/bin/unshare", {
    args: ["--mount", "/bin/sh", "-c", script, folder, profile]
      .concat(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
      .concat(["--disable-sync", "--disable-background-networking", "--disable-component-update"])
      .concat(["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"]),
    stdout: "null",
    stderr: "piped",
  }).spawn();
  try {
    let said = "";
    for await (const text of browser.stderr.pipeThrough(new TextDecoderStream())) {
      said += text;
      const port = /DevTools listening on ws:\/\/[^:]+:(\d+)/.exec(said)?.[1];
      if (port) return await policyValue(`http://127.0.0.1:${port}`);
    }
    throw new Error(`Chromium ended early: ${said}`);
  } finally {
    browser.kill("SIGTERM");
    await browser.status;
    await Deno.remove(profile, { recursive: true });
  }
}

/** Reads `chrome://policy` through the DevTools protocol. */
async function policyValue(devTools: string): Promise<unknown> {
  const page = await fetch(`${devTools}/json/new?chrome://policy`, { method: "PUT" });
  const socket = new WebSocket((await page.json()).webSocketDebuggerUrl);
  await new Promise((open) => socket.addEventListener("open", open, { once: true }));
  const expression = `new Promise((done) => {
    const rows = (node) => [...node.children, ...(node.shadowRoot?.children ?? [])]
      .flatMap((child) => child.tagName === "POLICY-ROW" ? [child.shadowRoot] : rows(child));
    const look = () => {
      const row = rows(document.documentElement).find((row) =>
        row.querySelector("#name")?.textContent === "AutoSelectCertificateForUrls");
      const value = row?.querySelector(".value.row .value")?.textContent;
      value ? done(value) : setTimeout(look, 50);
    };
    look();
  })`;
  try {
    for (;;) { // the first question may meet the page before the one that we asked for
      const answer = new Promise<MessageEvent>((resolve) =>
        socket.addEventListener("message", resolve, { once: true })
      );
      const params = { expression, awaitPromise: true, returnByValue: true };
      socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params }));
      const value = JSON.parse((await answer).data).result?.result?.value;
      if (typeof value === "string") return JSON.parse(value);
    }
  } finally {
    socket.close();
  }
}
