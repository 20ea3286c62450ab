/** The audit log; times are milliseconds since 1970. */
import { z } from "zod";
import { type Page, type Paged, paged } from "./paging.ts";
import { type Database, json } from "./schema.ts";

/** One line of the audit log. */
export interface Event {
  eventId: string;
  at: number;
  /** Dotted, for instance `certificate.reissued`. */
  type: string;
  deviceId?: string;
  userId?: string;
  /** What else is known, never a secret. */
  detail: Record<string, unknown>;
}

const EventRow = z.object({
  seq: z.number(),
  eventId: z.string(),
  at: z.number(),
  type: z.string(),
  deviceId: z.string().nullable().transform((id) => id ?? undefined),
  userId: z.string().nullable().transform((id) => id ?? undefined),
  detail: json(z.record(z.string(), z.unknown())),
});

const LAST_EVENT = { at: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER };

/** The append-only audit log; the file itself refuses changes and deletions. */
export class Events {
  constructor(private readonly database: Database) {}

  /** Appends an event. */
  append(event: Event): void {
    this.database.run(
      `INSERT INTO event (eventId, at, type, deviceId, userId, detail)
       VALUES ($eventId, $at, $type, $deviceId, $userId, $detail)`,
      {
        ...event,
        deviceId: event.deviceId ?? null,
        userId: event.userId ?? null,
        detail: JSON.stringify(event.detail),
      },
    );
  }

  /** Events, newest first. */
  list(page: Page): Paged<Event> {
    return paged(
      this.database.all(
        EventRow,
        "SELECT * FROM event WHERE seq < $before ORDER BY seq DESC LIMIT $limit",
        { before: page.after ?? Number.MAX_SAFE_INTEGER, limit: page.limit + 1 },
      ),
      page,
    );
  }

  /**
   * At most `limit` events of one type since an instant, newest first; with `before`, those that
   * follow that one of an earlier answer.
   */
  newestOfType(
    type: string,
    since: number,
    limit: number,
    before: { at: number; seq: number } = LAST_EVENT,
  ): (Event & { seq: number })[] {
    return this.database.all(
      EventRow,
      `SELECT * FROM event WHERE type = $type AND at BETWEEN $since AND $at
         AND (at < $at OR seq < $seq)
       ORDER BY at DESC, seq DESC LIMIT $limit`,
      { type, since, limit, at: before.at, seq: before.seq },
    );
  }

  /** Events of one type since an instant, oldest first. */
  ofType(type: string, since: number): Event[] {
    return this.database.all(
      EventRow,
      "SELECT * FROM event WHERE type = $type AND at >= $since ORDER BY seq",
      { type, since },
    ).map(({ seq: _, ...event }) => event);
  }
}
