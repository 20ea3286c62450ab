/** Directory users: the list with their certificates, adding and deleting. */
import type { Hono } from "hono";
import { z } from "zod";
import { UserState } from "../../agent/contract.ts";
import { addUser, UserBody } from "../admin_directory.ts";
import { previewUserRemoval } from "../admin_removal_previews.ts";
import type { ServerContext } from "../context.ts";
import type { User } from "../fleet.ts";
import { deleteUser, requireUser, settleLeaves } from "../fleet_changes.ts";
import { RequestProblem } from "../problems.ts";
import { pageOfQuery } from "./events.tsx";
import {
  Form,
  FormState,
  lines,
  LinesField,
  Refusals,
  SelectField,
  submit,
  TextField,
} from "./forms.tsx";
import { AdminPage, Card, Confirmation, Pager, Table } from "./layout.tsx";
import { RemovalConsequences } from "./removal.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { State, STATE_CHOICES, When } from "./words.tsx";

const PATH = "/admin/users";
const SHOWN = 50;

const Filter = z.object({
  state: UserState.or(z.literal("").transform(() => undefined)).optional(),
});

/** Adds `/admin/users` and what is below it. */
export function userPages(app: Hono<PagesEnv>, context: ServerContext): void {
  const show = (c: PageRequest, form: FormState, status: 200 | 422) =>
    c.html(<UsersPage c={c} context={context} form={form} />, status);
  app.get(PATH, (c) => show(c, new FormState(), 200));
  app.post(PATH, async (c) => {
    const { form, session } = c.var;
    const name = form.get("name")?.trim();
    const body = {
      email: form.get("email")?.trim(),
      ...(name ? { name } : {}),
      groups: lines(form.get("groups")),
    };
    const result = await submit(form, UserBody, body, (value) => addUser(context, value));
    if ("refused" in result) return show(c, result.refused, 422);
    session.notice = {
      text: `${result.done.email} was added. Bind them to an account on the page of a device.`,
    };
    return c.redirect(PATH, 303);
  });
  app.get(`${PATH}/:userId/delete`, (c) => {
    const user = requireUser(context, c.req.param("userId"));
    return c.html(
      <AdminPage
        c={c}
        title={`Delete user ${user.email}?`}
        place={PATH}
        above={[[PATH, "Users"]]}
      >
        <Confirmation
          action={`${PATH}/${user.userId}/delete`}
          button="Delete the user"
          back={PATH}
        >
          <RemovalConsequences preview={previewUserRemoval(context, user.userId)} />
        </Confirmation>
      </AdminPage>,
    );
  });
  app.post(`${PATH}/:userId/delete`, (c) => {
    const { userId, email } = requireUser(context, c.req.param("userId"));
    deleteUser(context, userId);
    c.var.session.notice = { text: `${email} was deleted.` };
    return c.redirect(PATH, 303);
  });
}

function UsersPage(
  { c, context, form }: { c: PageRequest; context: ServerContext; form: FormState },
) {
  settleLeaves(context);
  const query = c.req.query();
  const filter = Filter.safeParse(query);
  if (!filter.success) throw new RequestProblem("not-found", "There is no such state.");
  const page = pageOfQuery(query, SHOWN);
  const { items, nextCursor } = context.store.users.list(page, filter.data.state);
  return (
    <AdminPage c={c} title="Users" place={PATH}>
      <form method="get" action={PATH} class="inline" aria-label="Narrow the list">
        <SelectField
          form={new FormState(new URLSearchParams(query))}
          name="state"
          label="State of a certificate"
          choices={STATE_CHOICES}
        />
        <button type="submit">Show</button>
      </form>
      <section class="card flush" aria-label="Users">
        {items.length === 0
          ? <p class="pad muted">No user is like that.</p>
          : <UserTable users={items} context={context} />}
        <Pager path={PATH} query={query} next={nextCursor} />
      </section>
      <Card title="Add a user">
        <Refusals form={form} />
        <Form action={PATH} class="fields">
          <div class="fields two">
            <TextField form={form} name="email" label="E-mail address" type="email" required />
            <TextField form={form} name="name" label="Name" />
            <LinesField
              form={form}
              name="groups"
              label="Groups"
              hint="One a line; policies can name them."
            />
          </div>
          <div class="actions">
            <button type="submit" class="primary">Add the user</button>
          </div>
        </Form>
      </Card>
    </AdminPage>
  );
}

function UserTable({ users, context }: { users: User[]; context: ServerContext }) {
  return (
    <Table
      caption="Users and their certificates"
      columns={["User", "Device", "State", "Ends", "Last report", "Actions"]}
    >
      {users.map((user) => <UserRows key={user.userId} user={user} context={context} />)}
    </Table>
  );
}

/** A row for every device; the user's own cells span them. */
function UserRows({ user, context }: { user: User; context: ServerContext }) {
  const { store } = context;
  const devices = store.bindings.devicesOf(user.userId);
  const rows = Math.max(1, devices.length);
  const head = (
    <th scope="row" rowspan={rows}>
      {user.email}
      {user.name && <span class="hint">{user.name}</span>}
      {user.groups.length > 0 && <span class="hint">in {user.groups.join(", ")}</span>}
    </th>
  );
  const actions = (
    <td rowspan={rows}>
      <a href={`${PATH}/${user.userId}/delete`}>
        Delete<span class="hidden">{` ${user.email}`}</span>
      </a>
    </td>
  );
  if (devices.length === 0) {
    return (
      <tr>
        {head}
        <td colspan={4} class="muted">Not managed on any device.</td>
        {actions}
      </tr>
    );
  }
  return (
    <>
      {devices.map((deviceId, index) => (
        <tr>
          {index === 0 && head}
          <DeviceCells user={user} deviceId={deviceId} context={context} />
          {index === 0 && actions}
        </tr>
      ))}
    </>
  );
}

function DeviceCells(
  { user: { userId }, deviceId, context }: {
    user: User;
    deviceId: string;
    context: ServerContext;
  },
) {
  const { store } = context;
  const now = context.now().getTime();
  const report = store.reports.get(deviceId, userId);
  const [leaf] = store.certificates.live(deviceId, userId, now);
  return (
    <>
      <td>
        <a class="name" href={`/admin/devices/${deviceId}`}>
          {store.devices.get(deviceId)?.hostname}
        </a>
        <span class="hint name">account {store.bindings.get(deviceId, userId)?.username}</span>
      </td>
      <td>
        <State state={report?.state ?? null} />
      </td>
      <td>{leaf ? <When at={leaf.notAfter} now={now} /> : "no certificate"}</td>
      <td>{report ? <When at={report.at} now={now} /> : "none"}</td>
    </>
  );
}
