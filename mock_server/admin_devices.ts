/** Admin API: devices, who is managed on them, and what they report. */
import { createRoute, z } from "@hono/zod-openapi";
import {
  DeviceOs,
  FilterReport,
  Instant,
  ReportedError,
  Serial,
  Username,
  UserState,
  Uuid,
} from "../agent/contract.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  BindingParam,
  bodyOf,
  bodyRefusals,
  DeviceParam,
  ListQuery,
  NullableInstant,
  nullableInstant,
  pageOfItems,
} from "./admin_routes.ts";
import type { Certificate } from "./certificates.ts";
import { instant, type ServerContext } from "./context.ts";
import type { Device, ManagedUser, Receipt, StoredReport } from "./fleet.ts";
import { bindUser, deleteDevice, settleLeaves, unbindUser } from "./fleet_changes.ts";
import { pageOf } from "./paging.ts";

const PATH = "/admin/v1/devices";

/** Receipts shown per user; the store keeps more. */
const RECEIPTS_SHOWN = 50;

const LeafState = z.object({
  serial: Serial,
  commonName: z.string(),
  status: z.enum(["current", "overlap"]),
  notAfter: Instant,
  installedAt: NullableInstant,
});

const DeviceUser = z.object({
  userId: Uuid,
  email: z.string(),
  username: z.string(),
  managed: z.boolean().openapi({ description: "False: was managed here, may not be clean yet" }),
  state: UserState.nullable().openapi({ description: "As last reported; null before the first" }),
  lastReport: NullableInstant,
  leaves: z.array(LeafState).openapi({ description: "Live certificates, the current one first" }),
  filters: z.array(FilterReport),
  error: ReportedError.nullable(),
  removed: z.array(z.object({ kind: z.string(), id: z.string(), at: Instant }))
    .openapi({ description: "What was removed and read back as gone, newest first" }),
});

const DeviceItem = z.object({
  deviceId: Uuid,
  hostname: z.string(),
  os: DeviceOs,
  osVersion: z.string(),
  agentVersion: z.string(),
  enrolledAt: Instant,
  lastSeen: Instant,
  lastReport: NullableInstant,
  clean: z.boolean().nullable().openapi({
    description: "While distribution is OFF: whether the device has reported since that nothing " +
      "of ours is left on it",
  }),
  users: z.array(DeviceUser),
}).openapi("Device");
export type DeviceItem = z.infer<typeof DeviceItem>;

const Binding = z.object({ deviceId: Uuid, userId: Uuid, username: Username }).openapi("Binding");

const listRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Enrolled devices, their users, and the state of each certificate",
  request: {
    query: ListQuery.extend({
      state: UserState.optional(),
      lastSeenBefore: Instant.optional(),
    }),
  },
  responses: { 200: pageOfItems(DeviceItem), ...adminRefusals("invalid") },
});

const deleteRoute = createRoute({
  method: "delete",
  path: `${PATH}/{deviceId}`,
  security: ADMIN_TOKEN,
  summary: "Delete a device: every certificate of it is revoked, its agent removes everything",
  request: { params: DeviceParam },
  responses: { 204: { description: "Deleted" }, ...adminRefusals("not-found") },
});

const bindRoute = createRoute({
  method: "put",
  path: `${PATH}/{deviceId}/users/{userId}`,
  security: ADMIN_TOKEN,
  summary: "Bind a user to a local account of the device; one user per account",
  request: { params: BindingParam, ...bodyOf(z.strictObject({ username: Username })) },
  responses: {
    200: answerOf("The binding", Binding),
    ...bodyRefusals("not-found", "conflict"),
  },
});

const unbindRoute = createRoute({
  method: "delete",
  path: `${PATH}/{deviceId}/users/{userId}`,
  security: ADMIN_TOKEN,
  summary: "End a user's being managed on the device; their certificates there are revoked",
  request: { params: BindingParam },
  responses: { 204: { description: "Unbound" }, ...adminRefusals("not-found") },
});

/** Adds the routes of devices and bindings. */
export function deviceRoutes(app: AdminApp, context: ServerContext): void {
  app.openapi(listRoute, (c) => {
    settleLeaves(context);
    const { state, lastSeenBefore, ...query } = c.req.valid("query");
    const filter = {
      state,
      lastSeenBefore: lastSeenBefore === undefined ? undefined : Date.parse(lastSeenBefore),
    };
    const { items, nextCursor } = context.store.devices.list(pageOf(query), filter);
    return c.json({ items: items.map((device) => deviceItem(context, device)), nextCursor }, 200);
  });
  app.openapi(deleteRoute, (c) => {
    deleteDevice(context, c.req.valid("param").deviceId, "administrator");
    return c.body(null, 204);
  });
  app.openapi(bindRoute, (c) => {
    const { deviceId, userId } = c.req.valid("param");
    const { username } = c.req.valid("json");
    bindUser(context, deviceId, userId, username);
    return c.json({ deviceId, userId, username }, 200);
  });
  app.openapi(unbindRoute, (c) => {
    const { deviceId, userId } = c.req.valid("param");
    unbindUser(context, deviceId, userId);
    return c.body(null, 204);
  });
}

/** A device as lists show it. */
export function deviceItem(context: ServerContext, device: Device): DeviceItem {
  const { store, now } = context;
  const { deviceId } = device;
  const reports = store.reports.ofDevice(deviceId);
  const leaves = store.certificates.liveOn(deviceId, now().getTime());
  const receipts = store.reports.receipts(deviceId);
  const managed = store.bindings.managedOn(deviceId);
  const former = reports
    .filter(({ userId }) => managed.every((user) => user.userId !== userId))
    .map(({ userId }) => formerUser(context, deviceId, userId));
  const users = [
    ...managed.map((user) => ({ ...user, managed: true })),
    ...former.map((user) => ({ ...user, managed: false })),
  ];
  const lastReport = reports.length ? Math.max(...reports.map(({ at }) => at)) : null;
  return {
    deviceId,
    hostname: device.hostname,
    os: device.os,
    osVersion: device.osVersion,
    agentVersion: device.agentVersion,
    enrolledAt: instant(device.enrolledAt),
    lastSeen: instant(device.lastSeenAt),
    lastReport: nullableInstant(lastReport),
    clean: isClean(context, deviceId),
    users: users.map((user) => deviceUser(user, { reports, leaves, receipts })),
  };
}

function formerUser({ store }: ServerContext, deviceId: string, userId: string): ManagedUser {
  return {
    userId,
    username: store.bindings.get(deviceId, userId)?.username ?? "",
    email: store.users.get(userId)?.email ?? "",
  };
}

function deviceUser(
  user: ManagedUser & { managed: boolean },
  of: { reports: StoredReport[]; leaves: Certificate[]; receipts: Receipt[] },
): z.infer<typeof DeviceUser> {
  const report = of.reports.find(({ userId }) => userId === user.userId);
  return {
    ...user,
    state: report?.state ?? null,
    lastReport: nullableInstant(report?.at ?? null),
    leaves: of.leaves.filter(({ userId }) => userId === user.userId).map((leaf, index) => ({
      serial: leaf.serial,
      commonName: leaf.commonName,
      status: index === 0 ? "current" as const : "overlap" as const,
      notAfter: instant(leaf.notAfter),
      installedAt: nullableInstant(leaf.installedAt),
    })),
    filters: report?.filters ?? [],
    error: report?.error ?? null,
    removed: of.receipts.filter(({ userId }) => userId === user.userId)
      .slice(0, RECEIPTS_SHOWN)
      .map(({ kind, id, at }) => ({ kind, id, at: instant(at) })),
  };
}

function isClean({ store }: ServerContext, deviceId: string): boolean | null {
  const { current, distributionChangedAt } = store.settings;
  if (current.globalCertificateDistribution) return null;
  return store.figures.removal(distributionChangedAt ?? 0, deviceId).clean === 1;
}
