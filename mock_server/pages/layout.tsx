/** The frame of the administrator's pages: header, navigation, notices, confirmations. */
import type { Child, PropsWithChildren } from "hono/jsx";
import { Document, Sign } from "./document.tsx";
import { Form, FormToken, Hidden } from "./forms.tsx";
import type { PageRequest } from "./requests.ts";

/** The navigation: groups of pages. */
const NAVIGATION = [
  { group: "Insights", pages: [["/admin", "Overview"], ["/admin/events", "Events"]] },
  { group: "Security Management", pages: [["/admin/policies", "Conditional Policies"]] },
  {
    group: "Device Management",
    pages: [
      ["/admin/devices", "Devices"],
      ["/admin/users", "Users"],
      ["/admin/certificates", "Certificates"],
      ["/admin/connect-keys", "Connect Keys"],
    ],
  },
] as const;

/** A page of the navigation. */
export type Place = typeof NAVIGATION[number]["pages"][number][0];

/** What a page says of itself. */
export interface AdminPageProps {
  c: PageRequest;
  title: string;
  /** Where in the navigation it belongs. */
  place?: Place;
  /** Pages above it: path and name. */
  above?: [path: string | undefined, name: string][];
  /** One sentence below the title. */
  lead?: Child;
  /** Beside the title: what one can do here. */
  actions?: Child;
}

/** A page for whoever has signed in. It tells what was just done, once. */
export function AdminPage(
  { c, title, place, above = [], lead, actions, children }: PropsWithChildren<AdminPageProps>,
) {
  const { session } = c.var;
  const { notice } = session;
  session.notice = undefined;
  return (
    <FormToken.Provider value={session.formToken}>
      <Document title={`${title} · Device Trust`}>
        <a class="skip" href="#content">Skip to the content</a>
        <header class="top">
          <a class="product" href="/admin">
            <Sign />
            <span>Device Trust</span>
          </a>
          <Form action="/admin/sign-out">
            <button type="submit">Sign out</button>
          </Form>
        </header>
        <div class="shell">
          <nav class="side" aria-label="Pages">
            {NAVIGATION.map(({ group, pages }) => (
              <>
                <h2>{group}</h2>
                <ul>
                  {pages.map(([path, name]) => (
                    <li>
                      <a href={path} aria-current={path === place ? "page" : undefined}>{name}</a>
                    </li>
                  ))}
                </ul>
              </>
            ))}
          </nav>
          <main id="content">
            <div class="head">
              <div>
                {above.length > 0 && <Crumbs above={above} />}
                <h1>{title}</h1>
                {lead && <p class="muted">{lead}</p>}
              </div>
              {actions && <div class="actions">{actions}</div>}
            </div>
            {notice && (
              <div class={`notice ${notice.tone ?? "good"}`} role="status" id="notice">
                <p>{notice.text}</p>
                {notice.secret && <code class="secret" id="secret">{notice.secret}</code>}
              </div>
            )}
            {children}
          </main>
        </div>
      </Document>
    </FormToken.Provider>
  );
}

function Crumbs({ above }: { above: [path: string | undefined, name: string][] }) {
  return (
    <nav class="crumbs" aria-label="Above this page">
      {above.map(([path, name], index) => (
        <>
          {index > 0 && " › "}
          {path === undefined ? name : <a href={path}>{name}</a>}
        </>
      ))}
    </nav>
  );
}

/** A part of a page, with its heading. */
export function Card(
  { title, lead, id, flush, children }: PropsWithChildren<
    { title: string; lead?: Child; id?: string; flush?: boolean }
  >,
) {
  const heading = id ?? title.toLowerCase().replace(/[^a-z]+/g, "-");
  return (
    <section class={flush ? "card flush" : "card"} aria-labelledby={heading}>
      <header>
        <h2 id={heading}>{title}</h2>
        {lead && <p>{lead}</p>}
      </header>
      {children}
    </section>
  );
}

/** A table with its caption for those who do not see it; wide ones scroll by themselves. */
export function Table(
  { caption, columns, children }: PropsWithChildren<{ caption: string; columns: string[] }>,
) {
  return (
    <div class="scroll" role="region" aria-label={caption} tabindex={0}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((name) => <th key={name} scope="col">{name}</th>)}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** The way to the next page of a list; `query` is what the list was narrowed to. */
export function Pager(
  { path, query, next }: { path: string; query: Record<string, string>; next: string | null },
) {
  const { cursor, ...filter } = query;
  if (next === null && cursor === undefined) return null;
  return (
    <nav class="pager" aria-label="Pages of this list">
      {cursor !== undefined && <a href={address(path, filter)}>First page</a>}
      {next !== null && <a href={address(path, { ...filter, cursor: next })}>Next page</a>}
    </nav>
  );
}

/** A path with a query, where there is any. */
function address(path: string, query: Record<string, string>): string {
  const search = new URLSearchParams(query);
  return search.size > 0 ? `${path}?${search}` : path;
}

/** Asks before something is done that takes something away: what it means comes before it. */
export function Confirmation(
  { action, values = {}, button, back, danger = true, children }: PropsWithChildren<{
    action: string;
    values?: URLSearchParams | Record<string, string>;
    button: string;
    back: string;
    danger?: boolean;
  }>,
) {
  return (
    <Form action={action} class="card">
      <Hidden values={values} />
      {children}
      <div class="actions">
        <button type="submit" class={danger ? "danger" : "primary"}>{button}</button>
        <a class="button" href={back}>Cancel</a>
      </div>
    </Form>
  );
}
