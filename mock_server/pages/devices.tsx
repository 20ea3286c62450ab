/** The list of devices, with every managed user's certificate. */
import type { Hono } from "hono";
import { z } from "zod";
import { UserState } from "../../agent/contract.ts";
import { type DeviceItem, deviceItem } from "../admin_devices.ts";
import type { ServerContext } from "../context.ts";
import { settleLeaves } from "../fleet_changes.ts";
import { pageOfQuery } from "./events.tsx";
import { errorsOf, FormState, Refusals, SelectField, TextField } from "./forms.tsx";
import { AdminPage, Pager, Table } from "./layout.tsx";
import { removalSummary } from "./overview.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { Badge, OS_WORDS, State, STATE_CHOICES, When } from "./words.tsx";

const PATH = "/admin/devices";
const SHOWN = 50;

const Filter = z.object({
  state: UserState.or(z.literal("").transform(() => undefined)).optional(),
  lastSeenBefore: z.union([
    z.literal("").transform(() => undefined),
    z.iso.date("must be a date, for instance 2026-01-31").transform((date) => Date.parse(date)),
  ]).optional(),
});

/** Adds `/admin/devices`. */
export function deviceListPage(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get(PATH, (c) => {
    const query = new URL(c.req.url).searchParams;
    const filter = Filter.safeParse(Object.fromEntries(query));
    if (filter.success) {
      const form = new FormState(query);
      return c.html(<DevicesPage c={c} context={context} form={form} filter={filter.data} />);
    }
    const form = new FormState(query, errorsOf(filter.error));
    return c.html(<DevicesPage c={c} context={context} form={form} filter={{}} />, 422);
  });
}

function DevicesPage({ c, context, form, filter }: {
  c: PageRequest;
  context: ServerContext;
  form: FormState;
  filter: z.infer<typeof Filter>;
}) {
  settleLeaves(context);
  const { store } = context;
  const query = c.req.query();
  const { items, nextCursor } = store.devices.list(pageOfQuery(query, SHOWN), filter);
  const devices = items.map((device) => deviceItem(context, device));
  const on = store.settings.current.globalCertificateDistribution;
  return (
    <AdminPage
      c={c}
      title="Devices"
      place={PATH}
      actions={<a class="button" href="/admin/connect-keys">Enroll devices…</a>}
    >
      {!on && (
        <div class="notice warn">
          <p id="summary">Distribution is OFF: {removalSummary(context)}.</p>
        </div>
      )}
      <Refusals form={form} />
      <form method="get" action={PATH} class="inline" aria-label="Narrow the list">
        <SelectField
          form={form}
          name="state"
          label="State of a user's certificate"
          choices={STATE_CHOICES}
        />
        <TextField form={form} name="lastSeenBefore" label="Not seen since" type="date" />
        <button type="submit">Show</button>
      </form>
      <section class="card flush" aria-label="Devices">
        {devices.length === 0
          ? <p class="pad muted">No device is like that.</p>
          : <DeviceTable devices={devices} now={context.now().getTime()} />}
        <Pager path={PATH} query={query} next={nextCursor} />
      </section>
    </AdminPage>
  );
}

/** A row for every user of every device; the device's cell spans its users. */
function DeviceTable({ devices, now }: { devices: DeviceItem[]; now: number }) {
  return (
    <Table
      caption="Devices and their managed users"
      columns={["Device", "User", "Certificate", "Ends", "Last report"]}
    >
      {devices.map((device) => {
        const rows = Math.max(1, device.users.length);
        const head = (
          <th scope="row" rowspan={rows}>
            <a class="name" href={`${PATH}/${device.deviceId}`}>{device.hostname}</a>
            <span class="hint">{OS_WORDS[device.os]} {device.osVersion}</span>
            {device.clean !== null && <Clean clean={device.clean} />}
          </th>
        );
        if (device.users.length === 0) {
          return (
            <tr>
              {head}
              <td colspan={4} class="muted">Nobody is managed here.</td>
            </tr>
          );
        }
        return device.users.map((user, index) => (
          <tr>
            {index === 0 && head}
            <UserCells user={user} now={now} />
          </tr>
        ));
      })}
    </Table>
  );
}

/** Whether a device has reported that nothing of ours is left. */
export function Clean({ clean }: { clean: boolean }) {
  return clean ? <Badge tone="good">Clean</Badge> : <Badge tone="warn">Not clean yet</Badge>;
}

function UserCells({ user, now }: { user: DeviceItem["users"][number]; now: number }) {
  const [leaf] = user.leaves;
  return (
    <>
      <td>
        {user.email}
        <span class="hint">
          account {user.username}
          {!user.managed && ", not managed any more"}
        </span>
      </td>
      <td>
        <State state={user.state} />
        {user.error && <span class="hint name">{user.error.code}</span>}
        {leaf && <span class="hint id">{leaf.commonName.split(" - ").at(-1)}</span>}
      </td>
      <td>{leaf ? <When at={leaf.notAfter} now={now} /> : "no certificate"}</td>
      <td>{user.lastReport ? <When at={user.lastReport} now={now} /> : "none"}</td>
    </>
  );
}
