/** Connect keys: made, shown once, revoked. */
import type { Hono } from "hono";
import { ConnectKeyBody, createConnectKey, revokeConnectKey } from "../admin_keys.ts";
import { instant, type ServerContext } from "../context.ts";
import type { ConnectKey } from "../store.ts";
import { RequestProblem } from "../problems.ts";
import { pageOfQuery } from "./events.tsx";
import { Form, FormState, Refusals, SelectField, submit, TextField } from "./forms.tsx";
import { AdminPage, Card, Confirmation, Pager, Table } from "./layout.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { Badge, figure, When } from "./words.tsx";

const PATH = "/admin/connect-keys";
const SHOWN = 100;

const LIVES: [string, string][] = [
  ["1", "1 day"],
  ["7", "7 days"],
  ["30", "30 days"],
  ["", "Never"],
];

/** Adds `/admin/connect-keys` and what is below it. */
export function connectKeyPages(app: Hono<PagesEnv>, context: ServerContext): void {
  const show = (c: PageRequest, form: FormState, status: 200 | 422) =>
    c.html(<ConnectKeysPage c={c} context={context} form={form} />, status);
  app.get(PATH, (c) => show(c, new FormState(new URLSearchParams({ days: "7" })), 200));
  app.post(PATH, async (c) => {
    const { form, session } = c.var;
    const body = bodyOf(form, context.now().getTime());
    const result = await submit(
      form,
      ConnectKeyBody,
      body,
      (value) => createConnectKey(context, value),
    );
    if ("refused" in result) return show(c, result.refused, 422);
    session.notice = {
      text: "The connect key was made. Copy it now: it is shown this once and not kept.",
      secret: result.done.connectKey,
    };
    return c.redirect(PATH, 303);
  });
  app.get(`${PATH}/:connectKeyId/revoke`, (c) => {
    const key = context.store.connectKeys.get(c.req.param("connectKeyId"));
    if (!key) throw new RequestProblem("not-found", "There is no such connect key.");
    return c.html(
      <AdminPage
        c={c}
        title="Revoke this connect key?"
        place={PATH}
        above={[[PATH, "Connect Keys"]]}
      >
        <Confirmation
          action={`${PATH}/${key.connectKeyId}/revoke`}
          button="Revoke the connect key"
          back={PATH}
        >
          <p>
            No device can enroll with it any more. The {figure(key.uses)}{" "}
            that it has enrolled stay as they are.
          </p>
          <p class="id">{key.connectKeyId}</p>
        </Confirmation>
      </AdminPage>,
    );
  });
  app.post(`${PATH}/:connectKeyId/revoke`, (c) => {
    revokeConnectKey(context, c.req.param("connectKeyId"));
    c.var.session.notice = { text: "The connect key was revoked." };
    return c.redirect(PATH, 303);
  });
}

function bodyOf(form: URLSearchParams, now: number) {
  const days = Number(form.get("days"));
  const maxUses = form.get("maxUses")?.trim();
  return {
    ...(days > 0 ? { expiresAt: instant(now + days * 86_400_000) } : {}),
    ...(maxUses ? { maxUses: Number(maxUses) } : {}),
  };
}

function ConnectKeysPage(
  { c, context, form }: { c: PageRequest; context: ServerContext; form: FormState },
) {
  const query = c.req.query();
  const { items, nextCursor } = context.store.connectKeys.list(pageOfQuery(query, SHOWN));
  const now = context.now().getTime();
  return (
    <AdminPage
      c={c}
      title="Connect Keys"
      place={PATH}
      lead="With a connect key a computer enrolls as a device, for instance by 'device-trust enroll'."
    >
      <Card title="Make a connect key">
        <Refusals form={form} />
        <Form action={PATH} class="fields">
          <div class="fields two">
            <SelectField form={form} name="days" label="Expires after" choices={LIVES} />
            <TextField
              form={form}
              name="maxUses"
              label="Devices"
              type="number"
              hint="How many may enroll with it; empty for any number."
            />
          </div>
          <div class="actions">
            <button type="submit" class="primary">Make a connect key</button>
          </div>
        </Form>
      </Card>
      <Card title="Connect keys in force" flush>
        {items.length === 0 ? <p class="pad muted">There is none: no device can enroll.</p> : (
          <Table
            caption="Connect keys in force"
            columns={["Key", "State", "Made", "Expires", "Devices", "Actions"]}
          >
            {items.map((key) => (
              <tr>
                <th scope="row" class="id">{key.connectKeyId.slice(0, 8)}</th>
                <td>
                  <Standing connectKey={key} now={now} />
                </td>
                <td>
                  <When at={key.createdAt} />
                </td>
                <td>
                  {key.expiresAt === null ? "Never" : <When at={key.expiresAt} now={now} />}
                </td>
                <td>
                  {key.maxUses === null
                    ? figure(key.uses)
                    : `${figure(key.uses)} of ${figure(key.maxUses)}`}
                </td>
                <td>
                  <a href={`${PATH}/${key.connectKeyId}/revoke`}>
                    Revoke<span class="hidden">{` ${key.connectKeyId.slice(0, 8)}`}</span>
                  </a>
                </td>
              </tr>
            ))}
          </Table>
        )}
        <Pager path={PATH} query={query} next={nextCursor} />
      </Card>
    </AdminPage>
  );
}

function Standing({ connectKey, now }: { connectKey: ConnectKey; now: number }) {
  const { expiresAt, maxUses, uses } = connectKey;
  if (expiresAt !== null && expiresAt <= now) return <Badge tone="plain">Expired</Badge>;
  if (maxUses !== null && uses >= maxUses) return <Badge tone="plain">Used up</Badge>;
  return <Badge tone="good">Usable</Badge>;
}
