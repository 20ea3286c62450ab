/** Admin API: the audit log. */
import { createRoute, z } from "@hono/zod-openapi";
import { Instant, Uuid } from "../agent/contract.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  ListQuery,
  pageOfItems,
} from "./admin_routes.ts";
import { instant, type ServerContext } from "./context.ts";
import { pageOf } from "./paging.ts";

const EventItem = z.object({
  eventId: Uuid,
  at: Instant,
  type: z.string().openapi({ example: "certificate.reissued" }),
  deviceId: Uuid.optional(),
  userId: Uuid.optional(),
  detail: z.record(z.string(), z.unknown()),
}).openapi("Event");

const listRoute = createRoute({
  method: "get",
  path: "/admin/v1/events",
  security: ADMIN_TOKEN,
  summary: "Events, newest first",
  request: { query: ListQuery },
  responses: { 200: pageOfItems(EventItem), ...adminRefusals("invalid") },
});

/** Adds the route of events. */
export function eventRoutes(app: AdminApp, { store }: ServerContext): void {
  app.openapi(listRoute, (c) => {
    const { items, nextCursor } = store.events.list(pageOf(c.req.valid("query")));
    return c.json(
      { items: items.map((item) => ({ ...item, at: instant(item.at) })), nextCursor },
      200,
    );
  });
}
