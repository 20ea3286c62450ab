/** Admin API: the authority's generations, and how the next one begins. */
import { createRoute, z } from "@hono/zod-openapi";
import { Instant } from "../agent/contract.ts";
import { type Generation, renewAuthority } from "../ca/authority.ts";
import { parseCertificate } from "../ca/certificate.ts";
import { sha256Hex } from "../ca/signature.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
} from "./admin_routes.ts";
import { instant, recordEvent, type ServerContext } from "./context.ts";

const PATH = "/admin/v1/authority";

const AuthorityCertificate = z.object({
  sha256: z.string(),
  notAfter: Instant,
  pem: z.string(),
});

const AuthorityState = z.object({
  generations: z.array(z.object({
    generation: z.number().int(),
    status: z.enum(["current", "former"]).openapi({ description: "Only the current one issues" }),
    root: AuthorityCertificate,
    intermediate: AuthorityCertificate,
    liveCertificates: z.number().int(),
  })).openapi({ description: "Newest first" }),
}).openapi("Authority");
type AuthorityState = z.infer<typeof AuthorityState>;

const AuthorityRenewal = z.strictObject({
  renew: z.enum(["intermediate", "root"]).openapi({
    description: "A new intermediate under the same root, or a new, cross-signed root as well",
  }),
}).openapi("AuthorityRenewal");

const showRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "The authority's generations, and how many live leaves hang on each",
  responses: { 200: answerOf("The generations", AuthorityState), ...adminRefusals() },
});

const renewRoute = createRoute({
  method: "post",
  path: `${PATH}/renew`,
  security: ADMIN_TOKEN,
  summary: "Begin a new generation; leaves move to it as they are renewed",
  request: bodyOf(AuthorityRenewal),
  responses: { 200: answerOf("The generations", AuthorityState), ...bodyRefusals() },
});

/** Adds the routes. */
export function authorityRoutes(app: AdminApp, context: ServerContext): void {
  app.openapi(showRoute, async (c) => c.json(await authorityState(context), 200));
  app.openapi(renewRoute, async (c) => {
    await beginGeneration(context, c.req.valid("json").renew);
    return c.json(await authorityState(context), 200);
  });
}

/** Begins the authority's next generation and tells every device. */
export async function beginGeneration(
  context: ServerContext,
  what: "intermediate" | "root",
): Promise<void> {
  context.authority = await renewAuthority(context.authority, what, context.now());
  recordEvent(context, "authority.renewed", {}, {
    renewed: what,
    generation: context.authority.number,
  });
  context.changes.wakeAll();
}

async function authorityState(context: ServerContext): Promise<AuthorityState> {
  const { authority, store, now } = context;
  const live = store.certificates.countLiveByIssuer(now().getTime());
  const generations = [authority, ...authority.elders];
  return {
    generations: await Promise.all(generations.map(async (generation) => ({
      generation: generation.number,
      status: generation === authority ? "current" as const : "former" as const,
      root: await describe(generation.root),
      intermediate: await describe(generation.intermediate),
      liveCertificates: (live.get(generation.intermediate.keyIdentifier) ?? 0) +
        // Leaves from before the issuer was noted are all of the first generation.
        (generation.number === 1 ? live.get(null) ?? 0 : 0),
    }))),
  };
}

async function describe({ der, pem }: Generation["root"]) {
  const { notAfter } = parseCertificate(der);
  return { sha256: await sha256Hex(der), notAfter: instant(notAfter.getTime()), pem };
}
