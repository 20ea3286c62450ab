/** Who may use the pages, and whose forms count. */
import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { ServerEnv } from "../context.ts";
import { RequestProblem } from "../problems.ts";
import type { AdminSession, AdminSessions } from "./sessions.ts";

/** Environment of the pages behind the sign-in. */
export interface PagesEnv extends ServerEnv {
  Variables: {
    session: AdminSession;
    /** What a form sent; empty for a request without a body. */
    form: URLSearchParams;
  };
}

/** A request for a page. */
export type PageRequest = Context<PagesEnv>;

/** Name of the session's cookie, after the `__Host-` that binds it to this host and to TLS. */
const COOKIE = "device-trust-admin";

/** The attributes that keep it from scripts, other sites, other hosts and plain HTTP. */
const COOKIE_ATTRIBUTES = {
  prefix: "host",
  secure: true,
  httpOnly: true,
  sameSite: "Strict",
  path: "/",
} as const;

/**
 * Reads the forms that come. Throws `forbidden` for one that another site's page sent, `invalid`
 * for a body that no form of ours makes.
 */
export function readForms(publicUrl: string): MiddlewareHandler<PagesEnv> {
  const ownHost = new URL(publicUrl).host;
  return async (c, next) => {
    c.set("form", new URLSearchParams());
    if (c.req.method === "POST") {
      requireOwnPage(c, [ownHost, new URL(c.req.url).host]);
      const type = c.req.header("content-type")?.split(";")[0];
      if (type !== "application/x-www-form-urlencoded") {
        throw new RequestProblem("invalid", "Send this form from the page that shows it.");
      }
      c.set("form", new URLSearchParams(await c.req.text()));
    }
    await next();
  };
}

/**
 * Sends whoever is not signed in to the sign-in page. Throws `forbidden` for a form that was not
 * made for this session.
 */
export function requireSession(sessions: AdminSessions): MiddlewareHandler<PagesEnv> {
  return async (c, next) => {
    const session = sessions.find(sessionSecret(c) ?? "");
    if (!session) return c.redirect(signInUrl(c), 303);
    if (c.req.method === "POST" && !equal(c.var.form.get("token") ?? "", session.formToken)) {
      throw new RequestProblem(
        "forbidden",
        "This form was made for another session. Nothing was changed: open the page again and " +
          "send it from there.",
      );
    }
    c.set("session", session);
    await next();
  };
}

/** The session's secret that the browser sent. */
export function sessionSecret(c: PageRequest): string | undefined {
  return getCookie(c, COOKIE, "host");
}

/** Has the browser keep the session's secret, or forget it. */
export function setSessionSecret(c: PageRequest, secret: string | undefined): void {
  if (secret === undefined) deleteCookie(c, COOKIE, COOKIE_ATTRIBUTES);
  else setCookie(c, COOKIE, secret, COOKIE_ATTRIBUTES);
}

/** A path below `/admin` to return to after the sign-in; anything else is no such path. */
export function returnPath(text: string | undefined | null): string {
  return text && /^\/admin(\/[\w./?=&%-]*)?$/.test(text) ? text : "/admin";
}

function signInUrl(c: PageRequest): string {
  const { pathname, search } = new URL(c.req.url);
  const next = c.req.method === "GET" ? returnPath(pathname + search) : "/admin";
  return next === "/admin" ? "/admin/sign-in" : `/admin/sign-in?${new URLSearchParams({ next })}`;
}

/** Browsers say where a form comes from, and no page can make them lie. */
function requireOwnPage(c: PageRequest, ownHosts: string[]): void {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  const known = origin !== undefined || site !== undefined;
  const fromHere = origin === undefined ||
    (URL.canParse(origin) && ownHosts.includes(new URL(origin).host));
  if (known && fromHere && (site === undefined || site === "same-origin")) return;
  throw new RequestProblem(
    "forbidden",
    "This form was sent from another site's page. Nothing was changed: open this page by its own " +
      "address and send it from there.",
  );
}

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
