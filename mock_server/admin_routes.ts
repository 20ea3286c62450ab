/** Parts that the routes of the admin API share. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { Instant, Uuid } from "../agent/contract.ts";
import { instant, type ServerEnv } from "./context.ts";
import { refusals } from "./openapi.ts";
import { PageQuery } from "./paging.ts";
import type { ProblemType } from "./problems.ts";

/** The app that routes are put on. */
export type AdminApp = OpenAPIHono<ServerEnv>;

/** Which part of a list; see paging.ts. */
export const ListQuery = PageQuery;

/** Ids as they stand in paths: another form is a thing that does not exist. */
export const DeviceParam = z.object({ deviceId: Uuid });
export const UserParam = z.object({ userId: Uuid });
export const BindingParam = z.object({ deviceId: Uuid, userId: Uuid });

/** An instant in an answer that may not have come yet. */
export const NullableInstant = Instant.nullable();

/** A JSON request body. */
export function bodyOf<T extends z.ZodType>(schema: T) {
  return { body: { required: true, content: { "application/json": { schema } } } } as const;
}

/** A JSON answer. */
export function answerOf<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { "application/json": { schema } } } as const;
}

/** One page of a list. */
export function pageOfItems<T extends z.ZodType>(item: T) {
  return answerOf(
    "One page",
    z.object({ items: z.array(item), nextCursor: z.string().nullable() }),
  );
}

/** The security scheme of every route here, as the contract names it. */
export const ADMIN_TOKEN = [{ adminToken: [] }];

/** How a route without a body says no; without the token always. */
export function adminRefusals(...types: ProblemType[]) {
  return refusals("unauthorized", ...types);
}

/** How a route with a body says no. */
export function bodyRefusals(...types: ProblemType[]) {
  return adminRefusals(...types, "body-too-large", "slow-request", "invalid");
}

/** An instant of the store as answers show it. */
export function nullableInstant(milliseconds: number | null): string | null {
  return milliseconds === null ? null : instant(milliseconds);
}
