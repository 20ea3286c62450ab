/** Admin API: what deleting a user or a device, or unbinding a user, would do. */
import { createRoute } from "@hono/zod-openapi";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  BindingParam,
  DeviceParam,
  UserParam,
} from "./admin_routes.ts";
import type { ServerContext } from "./context.ts";
import type { Device } from "./fleet.ts";
import { requireBinding, requireDevice, requireUser, settleLeaves } from "./fleet_changes.ts";
import { membersOn } from "./fleet_members.ts";
import { storedPolicy } from "./policy.ts";
import {
  previewRemoval,
  type Removal,
  RemovalPreview,
  type RemovedMember,
} from "./removal_preview.ts";

const SUMMARY = "would do: who loses which certificate, and which policies see them differently; " +
  "changes nothing";

const ANSWERS = {
  200: answerOf("The consequences", RemovalPreview),
  ...adminRefusals("not-found"),
};

const deviceRoute = createRoute({
  method: "get",
  path: "/admin/v1/devices/{deviceId}/removal-preview",
  security: ADMIN_TOKEN,
  summary: `What deleting the device ${SUMMARY}`,
  request: { params: DeviceParam },
  responses: ANSWERS,
});

const bindingRoute = createRoute({
  method: "get",
  path: "/admin/v1/devices/{deviceId}/users/{userId}/removal-preview",
  security: ADMIN_TOKEN,
  summary: `What unbinding the user from the device ${SUMMARY}`,
  request: { params: BindingParam },
  responses: ANSWERS,
});

const userRoute = createRoute({
  method: "get",
  path: "/admin/v1/users/{userId}/removal-preview",
  security: ADMIN_TOKEN,
  summary: `What deleting the user ${SUMMARY}`,
  request: { params: UserParam },
  responses: ANSWERS,
});

/** Adds the routes of removal previews. */
export function removalPreviewRoutes(app: AdminApp, context: ServerContext): void {
  app.openapi(deviceRoute, (c) => {
    const { deviceId } = c.req.valid("param");
    return c.json(previewDeviceRemoval(context, deviceId), 200);
  });
  app.openapi(bindingRoute, (c) => {
    const { deviceId, userId } = c.req.valid("param");
    return c.json(previewUnbinding(context, deviceId, userId), 200);
  });
  app.openapi(userRoute, (c) => {
    const { userId } = c.req.valid("param");
    return c.json(previewUserRemoval(context, userId), 200);
  });
}

/** What `deleteDevice` would do; changes nothing. Throws `not-found` as that does. */
export function previewDeviceRemoval(context: ServerContext, deviceId: string): RemovalPreview {
  const device = requireDevice(context, deviceId);
  const members = membersOf(context, [device]);
  return preview(context, { what: "device", hostname: device.hostname, members });
}

/** What `unbindUser` would do; changes nothing. Throws `not-found` as that does. */
export function previewUnbinding(
  context: ServerContext,
  deviceId: string,
  userId: string,
): RemovalPreview {
  const device = requireDevice(context, deviceId);
  requireBinding(context, deviceId, userId);
  const members = membersOf(context, [device], userId);
  return preview(context, { what: "binding", members });
}

/** What `deleteUser` would do; changes nothing. Throws `not-found` as that does. */
export function previewUserRemoval(context: ServerContext, userId: string): RemovalPreview {
  const user = requireUser(context, userId);
  const devices = context.store.bindings.devicesOf(userId)
    .map((deviceId) => requireDevice(context, deviceId));
  return preview(context, { what: "user", user, members: membersOf(context, devices, userId) });
}

function preview({ store }: ServerContext, removal: Removal): RemovalPreview {
  return previewRemoval(removal, store.policies.all().map(storedPolicy));
}

/** Everybody who is managed on the devices, or that user alone. */
function membersOf(context: ServerContext, devices: Device[], only?: string): RemovedMember[] {
  settleLeaves(context);
  return devices.flatMap((device) => membersOn(context, device))
    .filter(({ userId }) => only === undefined || userId === only)
    .map((member) => ({ ...member, groups: requireUser(context, member.userId).groups }));
}
