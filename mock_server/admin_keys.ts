/** Admin API: connect keys, with which devices enroll. */
import { createRoute, z } from "@hono/zod-openapi";
import { Instant, Uuid } from "../agent/contract.ts";
import { sha256Hex } from "../ca/signature.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
  ListQuery,
  NullableInstant,
  nullableInstant,
  pageOfItems,
} from "./admin_routes.ts";
import { instant, newSecret, newUuid, recordEvent, type ServerContext } from "./context.ts";
import { pageOf } from "./paging.ts";
import { RequestProblem } from "./problems.ts";
import type { ConnectKey } from "./store.ts";

const PATH = "/admin/v1/connect-keys";

/** What an administrator says of a new connect key. */
export const ConnectKeyBody = z.strictObject({
  expiresAt: Instant.optional(),
  maxUses: z.number().int().min(1).max(1_000_000_000).optional()
    .openapi({ description: "Devices that may enroll with it; unlimited when absent" }),
}).openapi("ConnectKeyBody");

const ConnectKeyItem = z.object({
  connectKeyId: Uuid,
  createdAt: Instant,
  expiresAt: NullableInstant,
  maxUses: z.number().int().nullable(),
  uses: z.number().int(),
}).openapi("ConnectKey");

const NewConnectKey = ConnectKeyItem.extend({
  connectKey: z.string().openapi({ description: "Shown this once; the server keeps its hash" }),
}).openapi("NewConnectKey");

const listRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Connect keys that are not revoked",
  request: { query: ListQuery },
  responses: { 200: pageOfItems(ConnectKeyItem), ...adminRefusals("invalid") },
});

const createKeyRoute = createRoute({
  method: "post",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Make a connect key",
  request: bodyOf(ConnectKeyBody),
  responses: { 201: answerOf("The key", NewConnectKey), ...bodyRefusals() },
});

const revokeRoute = createRoute({
  method: "delete",
  path: `${PATH}/{connectKeyId}`,
  security: ADMIN_TOKEN,
  summary: "Revoke a connect key; devices that it enrolled stay",
  request: { params: z.object({ connectKeyId: Uuid }) },
  responses: { 204: { description: "Revoked" }, ...adminRefusals("not-found") },
});

/** Adds the routes of connect keys. */
export function connectKeyRoutes(app: AdminApp, context: ServerContext): void {
  const { store } = context;
  app.openapi(listRoute, (c) => {
    const { items, nextCursor } = store.connectKeys.list(pageOf(c.req.valid("query")));
    return c.json({ items: items.map(connectKeyItem), nextCursor }, 200);
  });
  app.openapi(createKeyRoute, async (c) => {
    return c.json(await createConnectKey(context, c.req.valid("json")), 201);
  });
  app.openapi(revokeRoute, (c) => {
    revokeConnectKey(context, c.req.valid("param").connectKeyId);
    return c.body(null, 204);
  });
}

/** Makes a connect key: the answer is the only place where it is ever seen. */
export async function createConnectKey(
  context: ServerContext,
  { expiresAt, maxUses }: z.infer<typeof ConnectKeyBody>,
): Promise<z.infer<typeof NewConnectKey>> {
  const { store } = context;
  const connectKey = newSecret(context.random);
  const key: ConnectKey = {
    connectKeyId: newUuid(context.random),
    createdAt: context.now().getTime(),
    expiresAt: expiresAt === undefined ? null : Date.parse(expiresAt),
    maxUses: maxUses ?? null,
    uses: 0,
  };
  const hash = await sha256Hex(new TextEncoder().encode(connectKey));
  const { uses: _, ...row } = key;
  store.transaction(() => {
    store.connectKeys.add({ ...row, hash });
    const { connectKeyId } = key;
    recordEvent(context, "connect-key.created", {}, { connectKeyId, expiresAt, maxUses });
  });
  return { ...connectKeyItem(key), connectKey };
}

/** Revokes a connect key; devices that it enrolled stay. Throws `not-found`. */
export function revokeConnectKey(context: ServerContext, connectKeyId: string): void {
  const { store } = context;
  store.transaction(() => {
    if (!store.connectKeys.revoke(connectKeyId, context.now().getTime())) {
      throw new RequestProblem("not-found", `There is no connect key ${connectKeyId}`);
    }
    recordEvent(context, "connect-key.revoked", {}, { connectKeyId });
  });
}

function connectKeyItem(key: ConnectKey): z.infer<typeof ConnectKeyItem> {
  return {
    connectKeyId: key.connectKeyId,
    createdAt: instant(key.createdAt),
    expiresAt: nullableInstant(key.expiresAt),
    maxUses: key.maxUses,
    uses: key.uses,
  };
}
