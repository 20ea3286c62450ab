/** An administrator in front of the pages of a scratch context, without JavaScript; for tests. */
import assert from "node:assert/strict";
import { serverApps } from "./agent_app.ts";
import { elements, fieldsOf, type HtmlElement, parseHtml, textOf } from "./scratch_html.ts";
import { type Scratch, SCRATCH_TOKEN, withScratch } from "./scratch_context.ts";

/** Where the pages of a scratch context are. */
export const PAGES = "https://localhost:8442";

/** An answer to a request for a page. */
export interface PageAnswer {
  status: number;
  headers: Headers;
  html: string;
  /** The parsed page; undefined where the answer is a redirect. */
  root: HtmlElement;
}

/** How a request differs from a browser's. */
export interface PageOptions {
  headers?: Record<string, string>;
  address?: string;
}

/** Sends a request to a server's first listener. */
export type PageFetch = (request: Request, address: string) => Promise<Response>;

/** A browser with its cookie. */
export class AdminBrowser {
  cookie: string | undefined;

  constructor(private readonly fetch: PageFetch) {}

  /** Signs in; asserts that it works. */
  async signIn(token = SCRATCH_TOKEN): Promise<void> {
    const answer = await this.post("/admin/sign-in", { token });
    assert.equal(answer.status, 303);
  }

  /** Opens a page; redirects are not followed. */
  async get(path: string, options: PageOptions = {}): Promise<PageAnswer> {
    return await this.#send(new Request(PAGES + path, { redirect: "manual" }), options);
  }

  /** Opens a page; asserts that it is there. */
  async open(path: string): Promise<HtmlElement> {
    const { status, root, html } = await this.get(path);
    assert.equal(status, 200, `${path}: ${html.slice(0, 200)}`);
    return root;
  }

  /** Sends these fields, as a form of this origin would. */
  async post(
    path: string,
    fields: Record<string, string> | URLSearchParams,
    options: PageOptions = {},
  ): Promise<PageAnswer> {
    const request = new Request(PAGES + path, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(fields).toString(),
    });
    const headers = { origin: PAGES, "sec-fetch-site": "same-origin", ...options.headers };
    return await this.#send(request, { ...options, headers });
  }

  /** Fills in the form with this action of a page and sends it; a list fills several of a name. */
  async submit(
    page: HtmlElement,
    action: string,
    typed: Record<string, string | string[]> = {},
  ): Promise<PageAnswer> {
    const form = formOf(page, action, Object.keys(typed));
    const fields = fieldsOf(form);
    for (const [name, value] of Object.entries(typed)) {
      fields.delete(name);
      for (const each of [value].flat()) fields.append(name, each);
    }
    if (form.attributes.get("method") === "get") return await this.get(`${action}?${fields}`);
    return await this.post(action, fields);
  }

  /** The same, and opens the page that it leads to. */
  async submitAndFollow(
    page: HtmlElement,
    action: string,
    typed: Record<string, string | string[]> = {},
  ): Promise<HtmlElement> {
    const { status, headers, html } = await this.submit(page, action, typed);
    assert.equal(status, 303, html.slice(html.indexOf("<main"), html.indexOf("<main") + 2000));
    return await this.open(headers.get("location") ?? "");
  }

  async #send(request: Request, { headers = {}, address = "192.0.2.1" }: PageOptions) {
    if (this.cookie) request.headers.set("cookie", this.cookie);
    for (const [name, value] of Object.entries(headers)) {
      if (value === "") request.headers.delete(name);
      else request.headers.set(name, value);
    }
    const response = await this.fetch(request, address);
    const set = response.headers.get("set-cookie");
    if (set) this.cookie = /Max-Age=0/.test(set) ? undefined : set.split(";")[0];
    const html = await response.text();
    const isPage = response.headers.get("content-type")?.startsWith("text/html") ?? false;
    const root = isPage ? parseHtml(html) : { name: "", attributes: new Map(), children: [] };
    return { status: response.status, headers: response.headers, html, root };
  }
}

/** The form of a page with this action that has all these fields, or buttons that send them. */
function formOf(page: HtmlElement, action: string, names: string[]): HtmlElement {
  const found = elements(page, "form").find((form) =>
    form.attributes.get("action") === action &&
    names.every((name) =>
      elements(form, "input", "select", "textarea", "button")
        .some(({ attributes }) => attributes.get("name") === name)
    )
  );
  assert.ok(found, `no form to ${action} with ${names} in '${textOf(page).slice(0, 200)}'`);
  return found;
}

/** Runs `test` with an administrator who has signed in to a scratch context. */
export async function withPages(
  test: (admin: AdminBrowser, scratch: Scratch & { newBrowser(): AdminBrowser }) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const { agentApp } = serverApps(scratch.context);
    const newBrowser = () =>
      new AdminBrowser(async (request, address) =>
        await agentApp.fetch(request, { peer: { address, certificates: [] } })
      );
    const admin = newBrowser();
    await admin.signIn();
    await test(admin, { ...scratch, newBrowser });
  });
}
