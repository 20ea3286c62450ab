/** One device and its users; binding, unbinding, deleting. */
import type { Hono } from "hono";
import { z } from "zod";
import { Username } from "../../agent/contract.ts";
import { deviceItem } from "../admin_devices.ts";
import { previewDeviceRemoval, previewUnbinding } from "../admin_removal_previews.ts";
import type { ServerContext } from "../context.ts";
import {
  bindUser,
  deleteDevice,
  requireDevice,
  settleLeaves,
  unbindUser,
} from "../fleet_changes.ts";
import type { User } from "../fleet.ts";
import { RequestProblem } from "../problems.ts";
import { Clean } from "./devices.tsx";
import { Form, FormState, Hidden, Refusals, submit, TextField } from "./forms.tsx";
import { UserCard } from "./device_user.tsx";
import { AdminPage, Card, Confirmation } from "./layout.tsx";
import { RemovalConsequences } from "./removal.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { OS_WORDS, When } from "./words.tsx";

const PATH = "/admin/devices";

const BindingFields = z.object({ email: z.string().min(1), username: Username });

/** Adds `/admin/devices/{deviceId}` and what is below it. */
export function devicePages(app: Hono<PagesEnv>, context: ServerContext): void {
  const show = (c: PageRequest, deviceId: string, form: FormState, status: 200 | 422) =>
    c.html(<DevicePage c={c} context={context} deviceId={deviceId} form={form} />, status);
  app.get(`${PATH}/:deviceId`, (c) => show(c, c.req.param("deviceId"), new FormState(), 200));
  app.post(`${PATH}/:deviceId/bind`, async (c) => {
    const { form, session } = c.var;
    const deviceId = c.req.param("deviceId");
    const result = await submit(form, BindingFields, fieldsOf(form), ({ email, username }) => {
      const user = context.store.users.byEmail(email);
      if (!user) {
        throw new RequestProblem("not-found", `No user has the e-mail address '${email}'.`);
      }
      if (form.get("confirmed") !== "yes") return { user, username };
      bindUser(context, deviceId, user.userId, username);
      session.notice = { text: `${user.email} is managed here as account '${username}'.` };
    });
    if ("refused" in result) return show(c, deviceId, result.refused, 422);
    if (!result.done) return c.redirect(`${PATH}/${deviceId}`, 303);
    return c.html(
      <BindingPage c={c} context={context} deviceId={deviceId} {...result.done} />,
    );
  });
  app.get(`${PATH}/:deviceId/users/:userId/unbind`, (c) => {
    const { deviceId, userId } = c.req.param();
    return c.html(<UnbindingPage c={c} context={context} deviceId={deviceId} userId={userId} />);
  });
  app.post(`${PATH}/:deviceId/users/:userId/unbind`, (c) => {
    const { deviceId, userId } = c.req.param();
    unbindUser(context, deviceId, userId);
    c.var.session.notice = {
      text: "The user is not managed here any more. The device was told to remove everything.",
    };
    return c.redirect(`${PATH}/${deviceId}`, 303);
  });
  app.get(`${PATH}/:deviceId/delete`, (c) => {
    const device = requireDevice(context, c.req.param("deviceId"));
    return c.html(
      <AdminPage
        c={c}
        title={`Delete device ${device.hostname}?`}
        place={PATH}
        above={[[PATH, "Devices"], [`${PATH}/${device.deviceId}`, device.hostname]]}
      >
        <Confirmation
          action={`${PATH}/${device.deviceId}/delete`}
          button="Delete the device"
          back={`${PATH}/${device.deviceId}`}
        >
          <RemovalConsequences preview={previewDeviceRemoval(context, device.deviceId)} />
        </Confirmation>
      </AdminPage>,
    );
  });
  app.post(`${PATH}/:deviceId/delete`, (c) => {
    deleteDevice(context, c.req.param("deviceId"), "administrator");
    c.var.session.notice = { text: "The device was deleted. Its agent removes everything." };
    return c.redirect(PATH, 303);
  });
}

function fieldsOf(form: URLSearchParams) {
  return { email: form.get("email")?.trim(), username: form.get("username")?.trim() };
}

function DevicePage({ c, context, deviceId, form }: {
  c: PageRequest;
  context: ServerContext;
  deviceId: string;
  form: FormState;
}) {
  settleLeaves(context);
  const device = deviceItem(context, requireDevice(context, deviceId));
  const now = context.now().getTime();
  return (
    <AdminPage
      c={c}
      title={device.hostname}
      place={PATH}
      above={[[PATH, "Devices"]]}
      actions={<a class="button" href={`${PATH}/${deviceId}/delete`}>Delete device…</a>}
    >
      <Refusals form={form} />
      <Card title="Device">
        <dl class="facts">
          <dt>Operating system</dt>
          <dd>{OS_WORDS[device.os]} {device.osVersion}</dd>
          <dt>Agent</dt>
          <dd>version {device.agentVersion}</dd>
          <dt>Enrolled</dt>
          <dd>
            <When at={device.enrolledAt} />
          </dd>
          <dt>Last seen</dt>
          <dd>
            <When at={device.lastSeen} now={now} />
          </dd>
          {device.clean !== null && (
            <>
              <dt>After OFF</dt>
              <dd>
                <Clean clean={device.clean} />
              </dd>
            </>
          )}
          <dt>Device id</dt>
          <dd class="id">{deviceId}</dd>
        </dl>
      </Card>
      {device.users.map((user) => (
        <UserCard key={user.userId} deviceId={deviceId} user={user} now={now} />
      ))}
      <Card
        title="Bind a user"
        lead="A user who is bound to a local account of this device is managed here."
      >
        <Form action={`${PATH}/${deviceId}/bind`} class="fields">
          <div class="fields two">
            <TextField
              form={form}
              name="email"
              label="User's e-mail address"
              type="email"
              required
            />
            <TextField form={form} name="username" label="Local account" required />
          </div>
          <div class="actions">
            <button type="submit" class="primary">Bind…</button>
          </div>
        </Form>
      </Card>
    </AdminPage>
  );
}

function BindingPage({ c, context, deviceId, user, username }: {
  c: PageRequest;
  context: ServerContext;
  deviceId: string;
  user: User;
  username: string;
}) {
  const { store } = context;
  const { hostname } = requireDevice(context, deviceId);
  const before = store.bindings.get(deviceId, user.userId);
  const known = before?.removedAt === null ? before : undefined;
  const on = store.settings.current.globalCertificateDistribution;
  return (
    <AdminPage
      c={c}
      title={`Bind ${user.email} to ${hostname}?`}
      place={PATH}
      above={[[PATH, "Devices"], [`${PATH}/${deviceId}`, hostname]]}
    >
      <Form action={`${PATH}/${deviceId}/bind`} class="card">
        <Hidden values={{ email: user.email, username, confirmed: "yes" }} />
        <ul id="consequences">
          <li>
            {known
              ? `${user.email} is managed on '${hostname}' as account '${known.username}' ` +
                `and would be as account '${username}'.`
              : `${user.email} would be managed on '${hostname}' as account '${username}'.`}
          </li>
          <li>
            {on
              ? "The device would request one certificate and install it for that account."
              : "Distribution is OFF: no certificate would be requested until it is ON."}
          </li>
        </ul>
        <div class="actions">
          <button type="submit" class="primary">Bind the user</button>
          <a class="button" href={`${PATH}/${deviceId}`}>Cancel</a>
        </div>
      </Form>
    </AdminPage>
  );
}

function UnbindingPage({ c, context, deviceId, userId }: {
  c: PageRequest;
  context: ServerContext;
  deviceId: string;
  userId: string;
}) {
  const preview = previewUnbinding(context, deviceId, userId);
  const { hostname } = requireDevice(context, deviceId);
  const email = context.store.users.get(userId)?.email ?? "this user";
  return (
    <AdminPage
      c={c}
      title={`Unbind ${email} from ${hostname}?`}
      place={PATH}
      above={[[PATH, "Devices"], [`${PATH}/${deviceId}`, hostname]]}
    >
      <Confirmation
        action={`${PATH}/${deviceId}/users/${userId}/unbind`}
        button="Unbind the user"
        back={`${PATH}/${deviceId}`}
      >
        <RemovalConsequences preview={preview} />
      </Confirmation>
    </AdminPage>
  );
}
