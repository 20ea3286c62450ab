/** The audit log, newest first. */
import type { Hono } from "hono";
import type { ServerContext } from "../context.ts";
import type { Event } from "../events.ts";
import { pageOf, PageQuery } from "../paging.ts";
import { RequestProblem } from "../problems.ts";
import { AdminPage, Pager, Table } from "./layout.tsx";
import type { PagesEnv } from "./requests.ts";
import { When } from "./words.tsx";

/** Events on a page. */
const SHOWN = 50;

/** Adds `/admin/events`. */
export function eventPages(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get("/admin/events", (c) => {
    const query = c.req.query();
    const { items, nextCursor } = context.store.events.list(pageOfQuery(query, SHOWN));
    return c.html(
      <AdminPage
        c={c}
        title="Events"
        place="/admin/events"
        lead="Everything that was changed, reported and decided, newest first. Nobody can alter it."
      >
        <section class="card flush" aria-label="Events">
          <EventTable caption="Events, newest first" events={eventLines(context, items)} />
          <Pager path="/admin/events" query={query} next={nextCursor} />
        </section>
      </AdminPage>,
    );
  });
}

/** The part of a list that a page's query asks for. Throws `not-found` for a cursor of no list. */
export function pageOfQuery({ cursor }: Record<string, string>, limit: number) {
  const query = PageQuery.safeParse({ cursor });
  if (!query.success) throw new RequestProblem("not-found", "The list has no such page.");
  return { ...pageOf(query.data), limit };
}

/** An event, and the names of whom it is about. */
export interface EventLine extends Event {
  hostname?: string;
  email?: string;
}

/** Looks the names up: those of today, or of the day of deletion. */
export function eventLines({ store }: ServerContext, events: readonly Event[]): EventLine[] {
  return events.map((event) => ({
    ...event,
    hostname: event.deviceId && store.devices.get(event.deviceId)?.hostname,
    email: event.userId && store.users.get(event.userId)?.email,
  }));
}

/** Events as a table. */
export function EventTable({ caption, events }: { caption: string; events: EventLine[] }) {
  return (
    <Table caption={caption} columns={["When", "What", "Whom", "Details"]}>
      {events.map((event) => (
        <tr>
          <td>
            <When at={event.at} />
          </td>
          <td>
            <code class="name">{event.type}</code>
          </td>
          <td>
            {event.email && <span>{event.email}</span>}
            {event.hostname && <span class="hint">on {event.hostname}</span>}
          </td>
          <td>
            <Details event={event} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Details({ event: { eventId, detail } }: { event: Event }) {
  const entries = Object.entries(detail).filter(([, value]) => value !== undefined);
  const inWords = entries.filter(([name, value]) => name !== "user" && typeof value !== "object")
    .map(([name, value]) => `${name}: ${value}`)
    .filter((words) => words.length < 32)
    .slice(0, 3).join(", ");
  return (
    <details>
      <summary>{inWords || "Details"}</summary>
      <dl class="facts">
        <dt>Event</dt>
        <dd class="id">{eventId}</dd>
        {entries.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd class="id">{typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </>
        ))}
      </dl>
    </details>
  );
}
