/** Parts that the routes of the admin API share. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { Instant, ProblemDetails, Uuid } from "../agent/contract.ts";
import { instant, type ServerEnv } from "./context.ts";
import { PageQuery } from "./paging.ts";
import { PROBLEMS, type ProblemType } from "./problems.ts";

/** The app that routes are put on. */
export type AdminApp = OpenAPIHono<ServerEnv>;

/** Which part of a list; see paging.ts. */
export const ListQuery = PageQuery;

/** Ids as they stand in paths: another form is a thing that does not exist. */
export const DeviceParam = z.object({ deviceId: Uuid });
export const UserParam = z.object({ userId: Uuid });

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

/** Answers with problems, by status; `unauthorized` is always among them. */
export function problemAnswers<T extends ProblemType>(...types: T[]) {
  const content = { "application/problem+json": { schema: ProblemDetails } };
  const answers = [...types, "unauthorized" as const]
    .map((type) => [PROBLEMS[type][0], { description: PROBLEMS[type][1], content }]);
  return Object.fromEntries(answers) as Record<
    401 | (typeof PROBLEMS)[T][0],
    { description: string; content: typeof content }
  >;
}

/** An instant of the store as answers show it. */
export function nullableInstant(milliseconds: number | null): string | null {
  return milliseconds === null ? null : instant(milliseconds);
}
