/** The admin API (DESIGN section 5), for whoever has the admin token. */
import { OpenAPIHono } from "@hono/zod-openapi";
import { authorityRoutes } from "./admin_authority.ts";
import { certificateRoutes } from "./admin_certificates.ts";
import { deviceRoutes } from "./admin_devices.ts";
import { userRoutes } from "./admin_directory.ts";
import { eventRoutes } from "./admin_events.ts";
import { connectKeyRoutes } from "./admin_keys.ts";
import { policyRoutes } from "./admin_policies.ts";
import { policyReplayRoutes } from "./admin_policy_replay.ts";
import { removalPreviewRoutes } from "./admin_removal_previews.ts";
import { settingsRoutes } from "./admin_settings.ts";
import { requireAdminToken } from "./admin_token.ts";
import type { ServerContext, ServerEnv } from "./context.ts";
import { faultRoutes } from "./faults.ts";
import { answerProblem, refuseInvalid } from "./problems.ts";

/** Everything under `/admin/v1/`; to be mounted at the root. */
export function adminApi(context: ServerContext): OpenAPIHono<ServerEnv> {
  const app = new OpenAPIHono<ServerEnv>({ defaultHook: refuseInvalid });
  app.onError(answerProblem((error) => context.log.error("admin request failed", { error })));
  app.use("/admin/v1/*", requireAdminToken(context));
  app.use("/admin/v1/*", async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
  });
  settingsRoutes(app, context);
  connectKeyRoutes(app, context);
  userRoutes(app, context);
  deviceRoutes(app, context);
  policyRoutes(app, context);
  policyReplayRoutes(app, context);
  removalPreviewRoutes(app, context);
  certificateRoutes(app, context);
  authorityRoutes(app, context);
  eventRoutes(app, context);
  faultRoutes(app, context);
  return app;
}
