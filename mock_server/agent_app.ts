/** The app of the first listener: device API, admin API and pages, and what is nobody's. */
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { LIMITS } from "../agent/contract.ts";
import { adminApi } from "./admin_api.ts";
import type { ServerContext, ServerEnv } from "./context.ts";
import { deviceApi } from "./device_api.ts";
import { boundedBody } from "./limits.ts";
import { Metrics, requireMetricsReader } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { adminPages, isPagePath } from "./pages/admin_pages.tsx";
import { portal } from "./portal.tsx";
import { answerProblem, problemResponse, refuseInvalid, RequestProblem } from "./problems.ts";

/** The apps of both listeners. */
export interface ServerApps {
  agentApp: OpenAPIHono<ServerEnv>;
  portalApp: OpenAPIHono<ServerEnv>;
}

/** Both apps of a server; `/openapi.json` of the first describes the second, too. */
export function serverApps(context: ServerContext): ServerApps {
  const portalApp = serverTime(context, new OpenAPIHono<ServerEnv>()).route("/", portal(context));
  return { agentApp: agentApp(context, portalApp), portalApp };
}

function agentApp(
  context: ServerContext,
  portalApp: OpenAPIHono<ServerEnv>,
): OpenAPIHono<ServerEnv> {
  const app = serverTime(context, new OpenAPIHono<ServerEnv>({ defaultHook: refuseInvalid }));
  const metrics = new Metrics(context);
  app.onError(answerProblem((error) => context.log.error("request failed", { error })));
  app.notFound((c) => refuseUnrouted(app, c.req.path));
  app.use(metrics.count());
  const pages = adminPages(context);
  app.use("/admin/*", async (c, next) => {
    if (!isPagePath(c.req.path)) return await next();
    return await pages.fetch(c.req.raw, c.env);
  });
  app.use("/admin/v1/*", boundedBody(LIMITS.bodyBytes));
  app.route("/", deviceApi(context));
  app.route("/", adminApi(context));
  app.openapi(healthRoute, (c) => c.json({ status: "ok" as const }, 200));
  let document: string | undefined;
  app.get("/openapi.json", (c) => {
    document ??= JSON.stringify(openApiDocument(app, portalApp, context));
    return c.body(document, 200, { "content-type": "application/json" });
  });
  app.get("/metrics", (c) => {
    requireMetricsReader(context, c.env.peer, (name) => c.req.header(name));
    return c.text(metrics.text(), 200, { "content-type": "text/plain; version=0.0.4" });
  });
  return app;
}

const healthRoute = createRoute({
  method: "get",
  path: "/healthz",
  summary: "Whether the server answers",
  responses: {
    200: {
      description: "It does",
      content: { "application/json": { schema: z.object({ status: z.literal("ok") }) } },
    },
  },
});

/** Every answer tells the server's time, which agents go by; not that of the machine. */
function serverTime(context: ServerContext, app: OpenAPIHono<ServerEnv>): OpenAPIHono<ServerEnv> {
  app.use(async (c, next) => {
    await next();
    c.res.headers.set("date", context.now().toUTCString());
  });
  return app;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** 405 where another method would have been answered, else 404. */
function refuseUnrouted(app: OpenAPIHono<ServerEnv>, path: string): Response {
  const allowed = METHODS.filter((method) =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
  );
  if (allowed.length === 0) {
    return problemResponse(new RequestProblem("not-found", "See /openapi.json for what there is"));
  }
  return problemResponse(
    new RequestProblem("method-not-allowed", `Use ${allowed.join(" or ")}`, {
      headers: { allow: allowed.join(", ") },
    }),
  );
}
