/**
 * The portal: the second listener, whose TLS asks for a client certificate and does without one
 * (DESIGN section 5, "Portal", and S17).
 *
 * A browser remembers per host and port which certificate it presented, or that it presented none.
 * The page therefore sends it to a name that it has never met, takes the certificate there, and
 * has it bring a one-time code back to the session that asked; the verdict is formed when the code
 * comes back, so that it is as fresh as can be.
 */
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { answerChallenge, type Asked, ChallengeAnswer, type Origin } from "./challenge.ts";
import {
  clientAddress,
  type ForwardedFields,
  isTrustedProxy,
  type PresentedCertificate,
  presentedCertificate,
} from "./client_cert.ts";
import { newSecret, recordEvent, type ServerContext, type ServerEnv } from "./context.ts";
import { misbehave } from "./faults.ts";
import { refusals } from "./openapi.ts";
import { pageHeaders } from "./pages/security_headers.ts";
import { RefusalPage, VerdictPage } from "./portal_page.tsx";
import { PortalVisits } from "./portal_visits.ts";
import { answerProblem, refuseInvalid, RequestProblem } from "./problems.ts";
import { requestOs } from "./request_os.ts";

const AskedQuery = z.object({
  user: z.string().max(320).default("").openapi({ description: "E-mail address of the session" }),
  resource: z.string().max(255).default(""),
});

const pageRoute = createRoute({
  method: "get",
  path: "/",
  summary: "Whether this browser's device is managed, as a page; redirects over a fresh name",
  request: { query: AskedQuery.extend({ code: z.string().max(100).optional() }) },
  responses: {
    200: { description: "The verdict", content: { "text/html": { schema: z.string() } } },
    302: { description: "To the fresh name, and back" },
    403: {
      description: "The code is another session's",
      content: { "text/html": { schema: z.string() } },
    },
    ...refusals("invalid"),
  },
});

const challengeRoute = createRoute({
  method: "get",
  path: "/challenge",
  summary: "The verdict on the certificate of this very connection",
  request: { query: AskedQuery },
  responses: {
    200: {
      description: "The verdict, and what the policies decide",
      content: { "application/json": { schema: ChallengeAnswer } },
    },
    ...refusals("invalid"),
  },
});

/** A step of the page on the fresh name, not a part of the API. */
const presentRoute = createRoute({
  method: "get",
  path: "/present",
  hide: true,
  request: { query: AskedQuery.extend({ visit: z.string().max(100).default("") }) },
  responses: { 302: { description: "Back to the page" } },
});

/** Name of the session's cookie, after the `__Host-` that binds it to this host and to TLS. */
const COOKIE = "device-trust-portal";

/** The portal's app. Who is connected comes in as `env.peer`. */
export function portal(context: ServerContext): OpenAPIHono<ServerEnv> {
  const app = new OpenAPIHono<ServerEnv>({ defaultHook: refuseInvalid });
  const visits = new PortalVisits(context.random, context.now);
  app.onError(answerProblem((error) => context.log.error("portal request failed", { error })));
  app.use(pageHeaders({
    url: context.portalUrl,
    formAction: "'none'",
    referrerPolicy: "no-referrer",
  }));
  app.use("/challenge", misbehave(context));

  app.openapi(challengeRoute, async (c) => {
    const { user, resource } = c.req.valid("query");
    return c.json(await answer(context, c, { user, resource }, presented(context, c)), 200);
  });

  app.openapi(pageRoute, async (c) => {
    const { user, resource, code } = c.req.valid("query");
    const asked = { user, resource };
    if (isForeignName(context, c)) return c.redirect(pageUrl(context, asked), 302);
    const session = sessionOf(c);
    if (code === undefined) return begin(context, c, visits, asked, session);
    const redemption = visits.redeem(code, session);
    if (redemption === "unknown" && session) return begin(context, c, visits, asked, session);
    const again = pageUrl(context, asked);
    if (typeof redemption === "string") {
      const eventId = recordEvent(context, "portal.visit-refused", {}, { redemption, ...asked });
      return c.html(<RefusalPage eventId={eventId} again={again} />, 403);
    }
    const { visit } = redemption;
    const verdict = await answer(context, c, visit.asked, visit.presented);
    const leafName = verdict.deviceId && verdict.serial
      ? context.store.certificates.get(verdict.serial)?.commonName
      : undefined;
    return c.html(
      <VerdictPage asked={visit.asked} answer={verdict} leafName={leafName} again={again} />,
      200,
    );
  });

  app.openapi(presentRoute, (c) => {
    const { visit, user, resource } = c.req.valid("query");
    const code = visits.present(visit, presented(context, c));
    return c.redirect(pageUrl(context, { user, resource }, code), 302);
  });

  // Not `notFound`, which would be lost where this app is put into another one.
  app.all("*", () => {
    throw new RequestProblem("not-found", "The portal has no such page");
  });
  return app;
}

type PortalRequest = Context<ServerEnv>;

/** Sends the browser to a name that it has never met; its session is remembered by a cookie. */
function begin(
  context: ServerContext,
  c: PortalRequest,
  visits: PortalVisits,
  asked: Asked,
  known: string | undefined,
) {
  const session = known ?? newSecret(context.random);
  setCookie(c, COOKIE, session, {
    prefix: "host",
    secure: true,
    httpOnly: true,
    sameSite: "Lax",
    path: "/",
  });
  const fresh = new URL(context.portalUrl);
  fresh.hostname = `${context.random(16).toHex()}.challenge.${fresh.hostname}`;
  fresh.pathname = presentRoute.path;
  fresh.search = `${new URLSearchParams({ visit: visits.begin(session, asked), ...asked })}`;
  return c.redirect(fresh.href, 302);
}

function pageUrl(context: ServerContext, asked: Asked, code?: string): string {
  const query = new URLSearchParams({ ...asked, ...(code === undefined ? {} : { code }) });
  return `${context.portalUrl}/?${query}`;
}

function sessionOf(c: PortalRequest): string | undefined {
  const session = getCookie(c, COOKIE, "host");
  return session && /^[A-Za-z0-9_-]{43}$/.test(session) ? session : undefined;
}

/**
 * Whether the browser came by another name than the portal's own, whose cookie it then cannot
 * have. A trusted proxy may talk to us by any name.
 */
function isForeignName(context: ServerContext, c: PortalRequest): boolean {
  return new URL(c.req.url).host !== new URL(context.portalUrl).host &&
    !isTrustedProxy(c.env.peer.address, context.trustedProxies);
}

function forwarded(c: PortalRequest): ForwardedFields {
  return {
    clientCert: c.req.header("client-cert"),
    forwardedFor: c.req.header("x-forwarded-for"),
  };
}

function presented(context: ServerContext, c: PortalRequest): PresentedCertificate {
  return presentedCertificate(c.env.peer, forwarded(c), context.trustedProxies);
}

function answer(
  context: ServerContext,
  c: PortalRequest,
  asked: Asked,
  certificate: PresentedCertificate,
): Promise<ChallengeAnswer> {
  const origin: Origin = {
    ip: clientAddress(c.env.peer, forwarded(c), context.trustedProxies),
    os: requestOs({
      platform: c.req.header("sec-ch-ua-platform"),
      userAgent: c.req.header("user-agent"),
    }),
  };
  return answerChallenge(context, asked, certificate, origin);
}
