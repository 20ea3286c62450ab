/** Debian's Chromium for pages that need no user of their own: headless, in a scratch home. */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { CHROMIUM_FLAGS, devToolsOf } from "./chromium.ts";
import { until } from "./until.ts";

/** A running Chromium. Disposing of it ends it, and removes its home. */
export interface PageBrowser extends AsyncDisposable {
  /** A tab of a new private session, and all that its pages complain of. */
  tab(options?: BrowserContextOptions): Promise<{ page: Page; complaints: string[] }>;
}

/** Starts a Chromium; it takes the certificates of test servers as they are. */
export async function startPageBrowser(): Promise<PageBrowser> {
  const home = await Deno.makeTempDir({ prefix: "device-trust-browser-" });
  const process = new Deno.Command("chromium", {
    args: [...CHROMIUM_FLAGS, `--user-data-dir=${home}/profile`, "about:blank"],
    env: { HOME: home, TMPDIR: home },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let ended = false;
  process.status.then(() => ended = true);
  const end = async () => {
    if (!ended) process.kill("SIGTERM");
    await process.status;
    // Its helpers may write for a moment longer than it lives.
    await until("Chromium's home is gone", () => isRemoved(home));
  };
  try {
    const browser = await chromium.connectOverCDP(await devToolsOf(process));
    return {
      tab: (options) => openTab(browser, options),
      async [Symbol.asyncDispose]() {
        await browser.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function isRemoved(folder: string): Promise<boolean> {
  return await Deno.remove(folder, { recursive: true }).then(() => true, () => false);
}

async function openTab(browser: Browser, options: BrowserContextOptions = {}) {
  const session = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await session.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return { page, complaints };
}
