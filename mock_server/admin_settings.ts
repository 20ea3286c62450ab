/** Admin API: the organization's settings, and what a change of them would do. */
import { createRoute, z } from "@hono/zod-openapi";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
} from "./admin_routes.ts";
import type { ServerContext } from "./context.ts";
import { changeSettings, settleLeaves } from "./fleet_changes.ts";
import { fleet } from "./fleet_members.ts";
import { storedPolicy } from "./policy.ts";
import { RequestProblem } from "./problems.ts";
import { effectiveChange, previewSettings, SettingsPreview } from "./settings_preview.ts";
import { Settings } from "./store.ts";

const SettingsAnswer = Settings.extend({ brand: z.string() }).openapi("Settings");

/** Any subset; a misspelt member is refused, because dropping it would look like success. */
export const SettingsBody = z.strictObject(SettingsAnswer.partial().shape).openapi(
  "SettingsChange",
);

const getRoute = createRoute({
  method: "get",
  path: "/admin/v1/settings",
  security: ADMIN_TOKEN,
  summary: "The settings in force",
  responses: { 200: answerOf("The settings", SettingsAnswer), ...adminRefusals() },
});

const putRoute = createRoute({
  method: "put",
  path: "/admin/v1/settings",
  security: ADMIN_TOKEN,
  summary: "Change settings; every device that it concerns is told at once",
  request: bodyOf(SettingsBody),
  responses: {
    200: answerOf("The settings now in force", SettingsAnswer),
    ...bodyRefusals("conflict"),
  },
});

const previewRoute = createRoute({
  method: "post",
  path: "/admin/v1/settings/preview",
  security: ADMIN_TOKEN,
  summary: "Who would lose or gain what by a change, and which policies; changes nothing",
  request: bodyOf(SettingsBody),
  responses: {
    200: answerOf("The consequences", SettingsPreview),
    ...bodyRefusals("conflict"),
  },
});

/** Adds the routes of settings. */
export function settingsRoutes(app: AdminApp, context: ServerContext): void {
  const { store, authority } = context;
  const answer = () => ({ ...store.settings.current, brand: authority.brand });
  app.openapi(getRoute, (c) => c.json(answer(), 200));
  app.openapi(putRoute, (c) => {
    saveSettings(context, c.req.valid("json"));
    return c.json(answer(), 200);
  });
  app.openapi(previewRoute, (c) => c.json(previewChange(context, c.req.valid("json")), 200));
}

/** Sets what differs from the settings in force. Throws `conflict` for another brand. */
export function saveSettings(context: ServerContext, body: z.infer<typeof SettingsBody>): void {
  const change = checkedChange(context, body);
  if (Object.keys(change).length) changeSettings(context, change);
}

/** What {@link saveSettings} would do; changes nothing. Throws as that does. */
export function previewChange(
  context: ServerContext,
  body: z.infer<typeof SettingsBody>,
): SettingsPreview {
  settleLeaves(context);
  const { store } = context;
  const change = checkedChange(context, body);
  const policies = store.policies.all().map(storedPolicy);
  return previewSettings(store.settings.current, change, {
    fleet: fleet(context),
    policies,
    portalUrl: context.portalUrl,
    now: context.now().getTime(),
  });
}

/** What of the body differs from the settings in force. Throws `conflict` for another brand. */
function checkedChange(
  { store, authority }: ServerContext,
  { brand, ...change }: z.infer<typeof SettingsBody>,
): Partial<Settings> {
  if (brand !== undefined && brand !== authority.brand) {
    throw new RequestProblem(
      "conflict",
      `The brand is '${authority.brand}' since the certificate authority was made and cannot ` +
        "change; another brand needs a server with another data folder",
    );
  }
  return effectiveChange(store.settings.current, change);
}
