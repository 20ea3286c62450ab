/**
 * Misbehaviour on demand: integrators see how their own agents take it. It is kept in memory, so a
 * restart ends it, and the admin API is never affected: whoever turned it on can turn it off.
 */
import { createRoute, z } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { parseCertificatePem } from "../ca/certificate.ts";
import { issueLeaf } from "../ca/issue.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
} from "./admin_routes.ts";
import { recordEvent, type ServerContext } from "./context.ts";

/** What a fault can be about; `*` is all of it. Each is a request of the contract. */
const ROUTES = {
  "enroll": /^POST \/v1\/devices$/,
  "desired-state": /^GET \/v1\/devices\/[^/]+\/desired-state$/,
  "certificates": /^POST \/v1\/devices\/[^/]+\/users\/[^/]+\/certificates$/,
  "reports": /^POST \/v1\/devices\/[^/]+\/reports$/,
  "unenroll": /^DELETE \/v1\/devices\/[^/]+$/,
  "crl": /^GET \/v1\/crl$/,
  "challenge": /^GET \/challenge$/,
  "*": /^/,
} as const satisfies Record<string, RegExp>;

const where = {
  route: z.enum(["*", ...Object.keys(ROUTES).filter(isRoute)]).default("*"),
  rate: z.number().min(0).max(1).default(1).openapi({ description: "Share of the requests" }),
};

const Fault = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("latency").openapi({ description: "The answer comes later" }),
    ...where,
    milliseconds: z.number().int().min(1).max(300_000),
  }),
  z.strictObject({
    kind: z.literal("error").openapi({ description: "Answered without being looked at" }),
    ...where,
    status: z.number().int().min(400).max(599),
  }),
  z.strictObject({
    kind: z.literal("too-many").openapi({ description: "429 with Retry-After" }),
    ...where,
    retryAfterSeconds: z.number().int().min(1).max(3600),
  }),
  z.strictObject({
    kind: z.literal("cut").openapi({ description: "Done, but the answer breaks off" }),
    ...where,
  }),
  z.strictObject({
    kind: z.literal("garbage").openapi({ description: "Done, but answered with a page of HTML" }),
    ...where,
  }),
  z.strictObject({
    kind: z.literal("wrong-chain").openapi({
      description: "Done, but the certificates in the answer are another authority's",
    }),
    ...where,
  }),
]).openapi("Fault");
type Fault = z.infer<typeof Fault>;

/** How the server misbehaves. */
export const Faults = z.strictObject({
  clockSkewSeconds: z.number().int().min(-315_360_000).max(315_360_000).default(0).openapi({
    description: "What the server's clock is ahead, with all that follows from it",
  }),
  faults: z.array(Fault).max(100).default([]),
}).openapi("Faults");
export type Faults = z.infer<typeof Faults>;

/** The faults in force, and the chance by which they happen. */
export class FaultBoard {
  current: Faults = { clockSkewSeconds: 0, faults: [] };

  /** @param random uniform in [0, 1) */
  constructor(private readonly random: () => number) {}

  /** What happens to this request: each fault that is about it, by its rate. */
  drawn(method: string, path: string): Fault[] {
    const request = `${method} ${path}`;
    return this.current.faults.filter(({ route, rate }) =>
      ROUTES[route].test(request) && this.random() < rate
    );
  }
}

/** Lets what was asked for happen to device API and challenge. */
export function misbehave(context: ServerContext): MiddlewareHandler {
  return async (c, next) => {
    const faults = context.faults.drawn(c.req.method, c.req.path);
    for (const fault of faults) {
      if (fault.kind === "latency") await delay(fault.milliseconds);
    }
    const refusal = faults.find(({ kind }) => kind === "error" || kind === "too-many");
    if (refusal) return refused(refusal);
    await next();
    for (const fault of faults) await spoil(context, c, fault);
  };
}

const getRoute = createRoute({
  method: "get",
  path: "/admin/v1/faults",
  security: ADMIN_TOKEN,
  summary: "How the server misbehaves (mock only)",
  responses: { 200: answerOf("The faults", Faults), ...adminRefusals() },
});

const putRoute = createRoute({
  method: "put",
  path: "/admin/v1/faults",
  security: ADMIN_TOKEN,
  summary: "Misbehave from the next request on; an empty object ends it (mock only)",
  request: bodyOf(Faults),
  responses: { 200: answerOf("The faults now in force", Faults), ...bodyRefusals() },
});

/** Adds the routes of faults. */
export function faultRoutes(app: AdminApp, context: ServerContext): void {
  app.openapi(getRoute, (c) => c.json(context.faults.current, 200));
  app.openapi(putRoute, (c) => {
    context.faults.current = c.req.valid("json");
    recordEvent(context, "faults.changed", {}, { ...context.faults.current });
    return c.json(context.faults.current, 200);
  });
}

function isRoute(name: string): name is keyof typeof ROUTES {
  return name in ROUTES;
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function refused(fault: Fault): Response {
  const status = fault.kind === "error" ? fault.status : 429;
  const body = { type: "about:blank", title: "A fault that an administrator asked for", status };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(fault.kind === "too-many" ? { "retry-after": `${fault.retryAfterSeconds}` } : {}),
    },
  });
}

async function spoil(context: ServerContext, c: Context, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "cut":
      c.res = brokenOff(await c.res.arrayBuffer());
      break;
    case "garbage":
      await c.res.body?.cancel();
      c.res = new Response("<!doctype html><title>Sign in</title><p>Welcome to the hotel.", {
        headers: { "content-type": "text/html" },
      });
      break;
    case "wrong-chain":
      if (c.res.headers.get("content-type")?.startsWith("application/json")) {
        c.res = await ofStrangers(context, c.res);
      }
  }
}

/** Half of an answer whose whole length was announced. */
function brokenOff(whole: ArrayBuffer): Response {
  const half = new Uint8Array(whole).subarray(0, whole.byteLength / 2);
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(half);
      controller.error(new Error("A fault that an administrator asked for"));
    },
  });
  return new Response(body, {
    headers: { "content-type": "application/json", "content-length": `${whole.byteLength + 1}` },
  });
}

const Certified = z.looseObject({
  serial: z.string(),
  leaf: z.string(),
  intermediate: z.string(),
  root: z.string(),
});
const Anchored = z.looseObject({ trustAnchors: z.looseObject({}) });

/** The same answer, as another authority would have given it. */
async function ofStrangers(context: ServerContext, response: Response): Promise<Response> {
  const { status, headers } = response;
  const json: unknown = await response.json();
  const { root, intermediate, authority } = await strangers(context);
  const certified = Certified.safeParse(json);
  const anchored = Anchored.safeParse(json);
  const anchors = { root, intermediate };
  if (certified.success) {
    const { serial, leaf } = await strangersLeaf(context, authority, certified.data.leaf);
    return Response.json({ ...certified.data, ...anchors, serial, leaf }, { status, headers });
  }
  if (anchored.success) {
    return Response.json({ ...anchored.data, trustAnchors: anchors }, { status, headers });
  }
  return Response.json(json, { status, headers });
}

async function strangersLeaf(context: ServerContext, authority: Authority, pem: string) {
  const { spki, serial, notAfter } = parseCertificatePem(pem);
  const known = context.store.certificates.get(serial);
  const now = context.now();
  const leaf = await issueLeaf(authority, {
    spki,
    deviceId: known?.deviceId ?? "",
    userId: known?.userId ?? "",
    nameSuffix: context.random(4).toHex(),
    crlUrl: `${context.publicUrl}/v1/crl`,
    now,
    ttlSeconds: Math.round((notAfter.getTime() - now.getTime()) / 1000),
  });
  return { serial: leaf.serial, leaf: leaf.pem };
}

/** An authority of the same names whose keys are forgotten with this process. */
async function strangers({ authority: { brand }, now }: ServerContext) {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-fault-" });
  try {
    const authority = await openAuthority(`${folder}/ca`, { brand, now: now() });
    return {
      authority,
      root: authority.root.pem,
      intermediate: authority.intermediate.pem,
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
