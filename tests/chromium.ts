/** Debian's Chromium as one of a story's users sees it, headless, driven over its DevTools port. */
import { chromium, errors, type Page } from "playwright-core";
import { asUser, type LocalUser } from "./private_root.ts";

/** What a page came to. */
export interface Answer {
  status: number;
  body: string;
}

/** A running Chromium. Disposing of it ends it. */
export interface Chromium extends AsyncDisposable {
  /**
   * Opens a page in the browser's one tab.
   *
   * @throws Error when it is not there within 20 s: a headless browser that opens its certificate
   * chooser waits for ever for somebody to choose
   */
  open(url: string): Promise<Answer>;
}

/** How a browser is started. */
export interface ChromiumOptions {
  /** Folder of the user's own for the profile; another one is another browser. */
  profile: string;
  /** Base64 SHA-256 of the key of a server certificate to trust, beside those of the user's store. */
  trustedKey?: string;
}

/** Starts a Chromium with this user's rights, groups and home. */
export async function startChromium(
  user: LocalUser,
  { profile, trustedKey }: ChromiumOptions,
): Promise<Chromium> {
  const flags = [
    ...CHROMIUM_FLAGS,
    `--user-data-dir=${user.home}/${profile}`,
    ...(trustedKey === undefined ? [] : [`--ignore-certificate-errors-spki-list=${trustedKey}`]),
  ];
  const browser = new Deno.Command("setpriv", {
    ...asUser(user, "chromium", [...flags, "about:blank"]),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const devTools = await devToolsOf(browser);
  const connection = await chromium.connectOverCDP(devTools);
  const page = connection.contexts()[0]?.pages()[0];
  if (!page) throw new Error("Chromium opened no tab.");
  return {
    open: (url) => open(page, url),
    async [Symbol.asyncDispose]() {
      await connection.close();
      browser.kill("SIGTERM");
      await browser.status;
    },
  };
}

async function open(page: Page, url: string): Promise<Answer> {
  try {
    const response = await page.goto(url, { timeout: PATIENCE_MS });
    if (!response) throw new Error(`Chromium had no answer from ${url}.`);
    return { status: response.status(), body: await response.text() };
  } catch (error) {
    if (!(error instanceof errors.TimeoutError)) throw error;
    throw new Error(
      `Chromium has not opened ${url} within ${PATIENCE_MS / 1000} s. Most likely it asks its ` +
        "user which certificate to present, and nobody is there to choose.",
      { cause: error },
    );
  }
}

/** An answer takes a tenth of a second; a chooser never ends. */
const PATIENCE_MS = 20_000;

/** How Chromium is started here, but for its profile. */
export const CHROMIUM_FLAGS = [
  "--headless=new",
  // Its own sandbox needs rights that containers do not give; what it opens is ours.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-breakpad",
  "--remote-debugging-port=0",
];

/** Where it listens, from what it says on its standard error, which is read to its end. */
export function devToolsOf(browser: Deno.ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const reading = (async () => {
      for await (const text of browser.stderr.pipeThrough(new TextDecoderStream())) {
        said = (said + text).slice(-10_000);
        const address = /DevTools listening on ws:\/\/([^/\s]+)\//.exec(said)?.[1];
        if (address) resolve(`http://${address}`);
      }
    })();
    reading.then(() => reject(new Error(`Chromium ended early: ${said}`)), reject);
  });
}
