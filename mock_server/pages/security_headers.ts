/** Header fields of every page: no script, no frame, no cache, no guessing of types. */
import type { MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { STYLE_SOURCE } from "./style.ts";

/** How two sets of pages differ. */
export interface PageHeaders {
  /** Where the pages are. */
  url: string;
  /** Where their forms may be sent. */
  formAction: "'self'" | "'none'";
  /** Browsers name the origin of a form only under a policy that lets them. */
  referrerPolicy: "same-origin" | "no-referrer";
}

/**
 * Sets them. Loopback names get no HSTS: it would bind every other server that somebody runs on
 * `localhost`.
 */
export function pageHeaders<E extends object>(
  { url, formAction, referrerPolicy }: PageHeaders,
): MiddlewareHandler<E> {
  const loopback = /(^|\.)localhost$/.test(new URL(url).hostname);
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      styleSrc: [STYLE_SOURCE],
      baseUri: ["'none'"],
      formAction: [formAction],
      frameAncestors: ["'none'"],
    },
    strictTransportSecurity: loopback ? false : "max-age=15552000",
    xFrameOptions: "DENY",
    referrerPolicy,
  });
  return async (c, next) => {
    await headers(c, next);
    c.header("cache-control", "no-store");
  };
}
