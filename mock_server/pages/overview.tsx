/** The overview: how the fleet stands, at a glance. */
import type { Hono } from "hono";
import type { UserState } from "../../agent/contract.ts";
import { renewalProgress } from "../admin_certificates.ts";
import type { ServerContext } from "../context.ts";
import { settleLeaves } from "../fleet_changes.ts";
import { RenewalProgressCard } from "./certificates.tsx";
import { eventLines, EventTable } from "./events.tsx";
import { ExpiryChart } from "./expiry_chart.tsx";
import { AdminPage, Card } from "./layout.tsx";
import type { PagesEnv } from "./requests.ts";
import { Badge, count, figure, When } from "./words.tsx";

/** Events that the overview shows. */
const EVENTS_SHOWN = 6;

/** Adds `/admin`. */
export function overviewPage(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get("/admin", (c) => {
    settleLeaves(context);
    const { items } = context.store.events.list({ limit: EVENTS_SHOWN });
    const renewal = renewalProgress(context);
    return c.html(
      <AdminPage c={c} title="Overview" place="/admin">
        <Distribution context={context} />
        <Figures context={context} />
        {renewal.pending > 0 && <RenewalProgressCard progress={renewal} />}
        <ExpiryChart context={context} />
        <Card title="Latest events" flush>
          <EventTable caption="Latest events" events={eventLines(context, items)} />
          <p class="pad">
            <a href="/admin/events">All events</a>
          </p>
        </Card>
      </AdminPage>,
    );
  });
}

/** While distribution is OFF: `412 of 415 devices clean, 3 not seen`. */
export function removalSummary({ store }: ServerContext): string {
  const { devices, clean, notSeen } = store.figures.removal(
    store.settings.distributionChangedAt ?? 0,
  );
  const rest = devices - clean - notSeen;
  return `${figure(clean)} of ${count(devices, "device")} clean` +
    (notSeen > 0 ? `, ${figure(notSeen)} not seen` : "") +
    (rest > 0 ? `, ${figure(rest)} still to report` : "");
}

function Distribution({ context }: { context: ServerContext }) {
  const { current, distributionChangedAt } = context.store.settings;
  const on = current.globalCertificateDistribution;
  const since = distributionChangedAt !== null && (
    <>
      {" since "}
      <When at={distributionChangedAt} />
    </>
  );
  return (
    <section class={on ? "notice good" : "notice warn"} aria-labelledby="distribution">
      <h2 id="distribution">
        Global Certificate Distribution is {on ? "ON" : "OFF"}
        {since}
      </h2>
      <p id="summary">
        {on
          ? "Every managed user gets a device certificate and keeps it renewed."
          : `${removalSummary(context)}. Every device counts as unmanaged.`}
      </p>
      <p>
        <a href="/admin/policies/settings">Device certificate settings</a>
      </p>
    </section>
  );
}

function Figures({ context }: { context: ServerContext }) {
  const { store, now } = context;
  const states = new Map<UserState | null, number>(
    store.figures.states().map(({ state, users }) => [state, users]),
  );
  const of = (...wanted: (UserState | null)[]) =>
    wanted.reduce((sum, state) => sum + (states.get(state) ?? 0), 0);
  const failed = of("failed");
  const waiting = of("waiting", "removing");
  return (
    <dl class="figures">
      <div>
        <dt>Devices</dt>
        <dd>{figure(store.devices.count())}</dd>
        <dd>
          <a href="/admin/devices">enrolled</a>
        </dd>
      </div>
      <div>
        <dt>Managed users</dt>
        <dd>{figure(store.bindings.count())}</dd>
        <dd>on all devices together</dd>
      </div>
      <div>
        <dt>Installed</dt>
        <dd>{figure(of("installed", "renewing"))}</dd>
        <dd>
          <a href="/admin/devices?state=installed">users with a certificate</a>
        </dd>
      </div>
      <div>
        <dt>Live certificates</dt>
        <dd>{figure(store.certificates.countLive(now().getTime()))}</dd>
        <dd>those in overlap too</dd>
      </div>
      <div>
        <dt>Need attention</dt>
        <dd>{figure(failed + waiting)}</dd>
        <dd>
          {failed + waiting === 0 ? <Badge tone="good">All is well</Badge> : (
            <>
              <a href="/admin/devices?state=failed">{figure(failed)} failed</a>
              {", "}
              <a href="/admin/devices?state=waiting">{figure(waiting)} waiting</a>
            </>
          )}
        </dd>
      </div>
    </dl>
  );
}
