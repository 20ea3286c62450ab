/** Lists of this API: `{items, nextCursor}` with `limit` and an opaque `cursor`. */
import { z } from "zod";

/** Most items that one page holds, and how many it holds unasked. */
export const PAGE_LIMIT = 500;
const DEFAULT_LIMIT = 100;

/** What part of a list is wanted: at most `limit` items after the row `after`. */
export interface Page {
  limit: number;
  after?: number;
}

/** One page: `nextCursor` is null on the last one. */
export interface Paged<T> {
  items: T[];
  nextCursor: string | null;
}

/** Query parameters `limit` and `cursor` as the list routes validate them. */
export const PageQuery = z.object({
  limit: z.string().regex(/^\d{1,3}$/).transform(Number)
    .refine((limit) => limit >= 1 && limit <= PAGE_LIMIT, `must be 1 to ${PAGE_LIMIT}`).optional(),
  cursor: z.string().regex(/^c[0-9a-z]{1,10}$/, "is not a cursor of this list").optional(),
});

/** The page that validated query parameters ask for. */
export function pageOf(query: z.infer<typeof PageQuery>): Page {
  const limit = query.limit ?? DEFAULT_LIMIT;
  return query.cursor === undefined
    ? { limit }
    : { limit, after: Number.parseInt(query.cursor.slice(1), 36) };
}

/**
 * Cuts `rows` to a page and drops their `seq`. `rows` were asked for with a limit one above
 * `page.limit`, so that the last page is known without counting.
 */
export function paged<T extends { seq: number }>(rows: T[], page: Page): Paged<Omit<T, "seq">> {
  const kept = rows.slice(0, page.limit);
  const last = kept.at(-1);
  return {
    items: kept.map(({ seq: _, ...item }) => item),
    nextCursor: last && rows.length > page.limit ? `c${last.seq.toString(36)}` : null,
  };
}
