/** A browser in front of the portal of a scratch context, for tests. */
import assert from "node:assert/strict";
import { ChallengeAnswer } from "./challenge.ts";
import type { Peer } from "./context.ts";
import { portal } from "./portal.tsx";
import type { Scratch } from "./scratch_context.ts";

/** Where the portal of a scratch context is. */
export const PORTAL = "https://localhost:8443";

/** A browser as far as the portal sees it: cookies of `localhost`, and a certificate. */
export class Browser {
  cookie: string | undefined;
  readonly #app;

  constructor(
    scratch: Scratch,
    readonly peer: Peer = { address: "127.0.0.1", certificates: [] },
    app = portal(scratch.context),
  ) {
    this.#app = app;
  }

  /** One request, redirects not followed. */
  async get(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const home = new URL(url).host === "localhost:8443";
    const response = await this.#app.request(url, {
      headers: { ...headers, ...(home && this.cookie ? { cookie: this.cookie } : {}) },
    }, { peer: this.peer });
    const set = response.headers.get("set-cookie");
    if (set && home) this.cookie = set.split(";")[0];
    return response;
  }

  /** Follows redirects; answers the last page and every address on the way. */
  async visit(url: string): Promise<{ response: Response; html: string; way: string[] }> {
    const way = [url];
    for (;;) {
      const response = await this.get(way.at(-1) ?? url);
      const next = response.headers.get("location");
      if (next === null) return { response, html: await response.text(), way };
      way.push(next);
      assert.ok(way.length < 10, "a loop of redirects");
    }
  }
}

/** A client with these certificates. */
export function holder(certificates: Uint8Array<ArrayBuffer>[], address = "127.0.0.1"): Peer {
  return { address, certificates };
}

/** Asks for the verdict on the connection; asserts that there is one. */
export async function challenge(
  browser: Browser,
  user: string,
  headers?: Record<string, string>,
): Promise<ChallengeAnswer> {
  const query = new URLSearchParams({ user, resource: "mail" });
  const response = await browser.get(`${PORTAL}/challenge?${query}`, headers);
  assert.equal(response.status, 200);
  return ChallengeAnswer.parse(await response.json());
}
