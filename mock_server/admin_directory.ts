/** Admin API: directory users. */
import { createRoute, z } from "@hono/zod-openapi";
import { Instant, Uuid } from "../agent/contract.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
  ListQuery,
  pageOfItems,
  UserParam,
} from "./admin_routes.ts";
import { instant, newUuid, recordEvent, type ServerContext } from "./context.ts";
import type { User } from "./fleet.ts";
import { deleteUser } from "./fleet_changes.ts";
import { pageOf } from "./paging.ts";
import { GroupName } from "./policy.ts";
import { RequestProblem } from "./problems.ts";

const PATH = "/admin/v1/users";

/** A user as the administrator adds one. */
export const UserBody = z.strictObject({
  email: z.string().max(320).regex(
    // deno-lint-ignore no-control-regex
    /^[^\s@\u0000-\u001f\u007f]+@[^\s@\u0000-\u001f\u007f]+$/,
    "must be an e-mail address",
  ),
  name: z.string().min(1).max(255).optional(),
  groups: z.array(GroupName).max(1000).default([]),
}).openapi("UserBody");

const UserItem = z.object({
  userId: Uuid,
  email: z.string(),
  name: z.string().nullable(),
  groups: z.array(z.string()),
  createdAt: Instant,
}).openapi("User");

const listRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Users",
  request: { query: ListQuery },
  responses: { 200: pageOfItems(UserItem), ...adminRefusals("invalid") },
});

const addRoute = createRoute({
  method: "post",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Add a user; e-mail addresses differ by more than case",
  request: bodyOf(UserBody),
  responses: { 201: answerOf("The user", UserItem), ...bodyRefusals("conflict") },
});

const deleteRoute = createRoute({
  method: "delete",
  path: `${PATH}/{userId}`,
  security: ADMIN_TOKEN,
  summary: "Delete a user: unbound everywhere, every certificate revoked",
  request: { params: UserParam },
  responses: { 204: { description: "Deleted" }, ...adminRefusals("not-found") },
});

/** Adds the routes of users. */
export function userRoutes(app: AdminApp, context: ServerContext): void {
  const { store } = context;
  app.openapi(listRoute, (c) => {
    const { items, nextCursor } = store.users.list(pageOf(c.req.valid("query")));
    return c.json({ items: items.map(userItem), nextCursor }, 200);
  });
  app.openapi(addRoute, (c) => {
    return c.json(userItem(addUser(context, c.req.valid("json"))), 201);
  });
  app.openapi(deleteRoute, (c) => {
    deleteUser(context, c.req.valid("param").userId);
    return c.body(null, 204);
  });
}

/** Adds a user. Throws `conflict` when another one has this e-mail address. */
export function addUser(
  context: ServerContext,
  { email, name, groups }: z.infer<typeof UserBody>,
): User {
  const { store } = context;
  const user: User = {
    userId: newUuid(context.random),
    email,
    name: name ?? null,
    groups,
    createdAt: context.now().getTime(),
    deletedAt: null,
  };
  store.transaction(() => {
    const known = store.users.byEmail(email);
    if (known) {
      throw new RequestProblem("conflict", `User ${known.userId} has this e-mail address`);
    }
    store.users.add(user);
    recordEvent(context, "user.created", { userId: user.userId }, { email, groups });
  });
  return user;
}

function userItem(user: User): z.infer<typeof UserItem> {
  const { userId, email, name, groups, createdAt } = user;
  return { userId, email, name, groups, createdAt: instant(createdAt) };
}
