/** The admin API (DESIGN section 5), for whoever has the admin token. */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { certificateRoutes } from "./admin_certificates.ts";
import { deviceRoutes } from "./admin_devices.ts";
import { userRoutes } from "./admin_directory.ts";
import { eventRoutes } from "./admin_events.ts";
import { connectKeyRoutes } from "./admin_keys.ts";
import { policyRoutes } from "./admin_policies.ts";
import { settingsRoutes } from "./admin_settings.ts";
import { requireAdminToken } from "./admin_token.ts";
import type { ServerContext, ServerEnv } from "./context.ts";
import { answerProblem, refuseInvalid, RequestProblem } from "./problems.ts";

/** Everything under `/admin/v1/`; to be mounted at the root. */
export function adminApi(context: ServerContext): OpenAPIHono<ServerEnv> {
  const app = new OpenAPIHono<ServerEnv>({ defaultHook: refuseInvalid });
  app.onError(answerProblem((error) => context.log.error("admin request failed", { error })));
  app.use("/admin/*", requireAdminToken(context), refuseUntypedBody);
  app.use("/admin/*", async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
  });
  settingsRoutes(app, context);
  connectKeyRoutes(app, context);
  userRoutes(app, context);
  deviceRoutes(app, context);
  policyRoutes(app, context);
  certificateRoutes(app, context);
  eventRoutes(app, context);
  return app;
}

/** A body without a media type would be dropped by the validator, and a change with it. */
const refuseUntypedBody: MiddlewareHandler<ServerEnv> = async (c, next) => {
  const hasBody = (c.req.header("content-length") ?? "0") !== "0" ||
    c.req.header("transfer-encoding") !== undefined;
  if (hasBody && c.req.header("content-type") === undefined) {
    throw new RequestProblem("invalid", "Send the body with 'Content-Type: application/json'");
  }
  await next();
};
