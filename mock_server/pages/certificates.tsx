/** Certificates: when they end, the emergency renewal of all of them, and revocation of one. */
import type { Hono } from "hono";
import type { z } from "zod";
import {
  certificateItem,
  RenewalBody,
  type RenewalProgress,
  renewalProgress,
  startRenewal,
} from "../admin_certificates.ts";
import { type Certificate, RevocationReason } from "../certificates.ts";
import type { ServerContext } from "../context.ts";
import { revokeCertificate, settleLeaves } from "../fleet_changes.ts";
import { RequestProblem } from "../problems.ts";
import { pageOfQuery } from "./events.tsx";
import { ExpiryChart } from "./expiry_chart.tsx";
import { FormState, SelectField, submit } from "./forms.tsx";
import { AdminPage, Card, Confirmation, Pager, Table } from "./layout.tsx";
import type { PageRequest, PagesEnv } from "./requests.ts";
import { Badge, count, duration, figure, type Tone, When } from "./words.tsx";

const PATH = "/admin/certificates";
const SHOWN = 50;

const SPREADS: [string, string][] = [
  ["0", "At once"],
  ["900", "Over 15 minutes"],
  ["3600", "Over an hour"],
  ["14400", "Over 4 hours"],
  ["86400", "Over a day"],
];

const REASONS: [string, string][] = [
  ["privilegeWithdrawn", "The right to it was withdrawn"],
  ["keyCompromise", "Its key may be in other hands"],
  ["affiliationChanged", "The user left or moved"],
  ["cessationOfOperation", "The device is out of use"],
];

const STATUS = {
  current: { words: "Current", tone: "good" },
  overlap: { words: "In overlap", tone: "plain" },
  expired: { words: "Expired", tone: "plain" },
  revoked: { words: "Revoked", tone: "bad" },
} as const satisfies Record<string, { words: string; tone: Tone }>;

/** Adds `/admin/certificates` and what is below it. */
export function certificatePages(app: Hono<PagesEnv>, context: ServerContext): void {
  app.get(PATH, (c) => c.html(<CertificatesPage c={c} context={context} />));
  app.get(`${PATH}/renew`, (c) => {
    const form = new FormState(new URLSearchParams({ spreadSeconds: "3600" }));
    return c.html(<RenewalPage c={c} context={context} form={form} />);
  });
  app.post(`${PATH}/renew`, async (c) => {
    const { form, session } = c.var;
    const body = { spreadSeconds: Number(form.get("spreadSeconds") ?? "none") };
    const result = await submit(form, RenewalBody, body, (value) => startRenewal(context, value));
    if ("refused" in result) {
      return c.html(<RenewalPage c={c} context={context} form={result.refused} />, 422);
    }
    session.notice = { text: "The renewal has begun: every device was told." };
    return c.redirect(PATH, 303);
  });
  app.get(`${PATH}/:serial/revoke`, (c) => {
    const certificate = context.store.certificates.get(c.req.param("serial"));
    if (!certificate) throw new RequestProblem("not-found", "There is no such certificate.");
    return c.html(<RevocationPage c={c} context={context} certificate={certificate} />);
  });
  app.post(`${PATH}/:serial/revoke`, (c) => {
    const { form, session } = c.var;
    settleLeaves(context);
    const reason = RevocationReason.safeParse(form.get("reason"));
    if (!reason.success) throw new RequestProblem("invalid", "Choose a reason.");
    revokeCertificate(context, c.req.param("serial"), reason.data);
    session.notice = { text: "The certificate was revoked. The portal refuses it from now on." };
    return c.redirect(PATH, 303);
  });
}

/** How far the last emergency renewal has come. */
export function RenewalProgressCard(
  { progress }: { progress: z.infer<typeof RenewalProgress> },
) {
  const { startedAt, spreadSeconds, certificates, renewed, pending } = progress;
  if (startedAt === null) return null;
  const words = pending === 0
    ? `Nothing is left to do: ${count(certificates, "certificate")} renewed or ended.`
    : `${figure(renewed)} of ${count(certificates, "certificate")} renewed, ${
      figure(pending)
    } to go.`;
  return (
    <Card title="Emergency renewal" id="renewal">
      <p id="renewal-progress">{words}</p>
      <progress max={Math.max(1, certificates)} value={renewed} aria-label={words} />
      <p class="hint">
        Begun <When at={startedAt} />,{" "}
        {spreadSeconds === 0 ? "all at once" : `spread over ${duration(spreadSeconds ?? 0)}`}. Open
        this page again for newer figures.
      </p>
    </Card>
  );
}

function CertificatesPage({ c, context }: { c: PageRequest; context: ServerContext }) {
  settleLeaves(context);
  const { store } = context;
  const now = context.now().getTime();
  const query = c.req.query();
  const { items, nextCursor } = store.certificates.list(pageOfQuery(query, SHOWN));
  return (
    <AdminPage
      c={c}
      title="Certificates"
      place={PATH}
      actions={<a class="button" href={`${PATH}/renew`}>Renew all…</a>}
    >
      <RenewalProgressCard progress={renewalProgress(context)} />
      <ExpiryChart context={context} />
      <Card title="Every certificate that was issued" lead="Oldest first." flush>
        {items.length === 0 ? <p class="pad muted">None was issued yet.</p> : (
          <Table
            caption="Certificates"
            columns={["Name", "State", "Whom", "Issued", "Ends", "Actions"]}
          >
            {items.map((certificate) => {
              const { status } = certificateItem(context, certificate);
              const live = status === "current" || status === "overlap";
              const suffix = certificate.commonName.split(" - ").at(-1);
              return (
                <tr>
                  <th scope="row">
                    <code>{suffix}</code>
                  </th>
                  <td>
                    <Badge tone={STATUS[status].tone}>{STATUS[status].words}</Badge>
                    {certificate.reason && <span class="hint">{certificate.reason}</span>}
                  </td>
                  <td>
                    {store.users.get(certificate.userId)?.email}
                    <span class="hint">
                      on {store.devices.get(certificate.deviceId)?.hostname}
                    </span>
                  </td>
                  <td>
                    <When at={certificate.issuedAt} />
                  </td>
                  <td>
                    <When at={certificate.notAfter} now={live ? now : undefined} />
                  </td>
                  <td>
                    {live && (
                      <a href={`${PATH}/${certificate.serial}/revoke`}>
                        Revoke<span class="hidden">{` ${suffix}`}</span>
                      </a>
                    )}
                  </td>
                </tr>
              );
            })}
          </Table>
        )}
        <Pager path={PATH} query={query} next={nextCursor} />
      </Card>
    </AdminPage>
  );
}

function RenewalPage(
  { c, context, form }: { c: PageRequest; context: ServerContext; form: FormState },
) {
  const now = context.now().getTime();
  const certificates = context.store.certificates.countUnrenewed(now, now);
  return (
    <AdminPage c={c} title="Renew all certificates?" place={PATH} above={[[PATH, "Certificates"]]}>
      <Confirmation action={`${PATH}/renew`} button="Renew all certificates" back={PATH}>
        <p>
          {count(certificates, "current certificate")}{" "}
          will be replaced, each with a new key. Every certificate stays valid until its successor
          is installed and the overlap is over, so nobody loses access. The renewals can be spread,
          so that they do not come all at once.
        </p>
        <SelectField form={form} name="spreadSeconds" label="Spread" choices={SPREADS} />
      </Confirmation>
    </AdminPage>
  );
}

function RevocationPage(
  { c, context, certificate }: {
    c: PageRequest;
    context: ServerContext;
    certificate: Certificate;
  },
) {
  const { store } = context;
  const { serial, commonName, userId, deviceId } = certificate;
  return (
    <AdminPage
      c={c}
      title="Revoke this certificate?"
      place={PATH}
      above={[[PATH, "Certificates"]]}
    >
      <Confirmation
        action={`${PATH}/${serial}/revoke`}
        button="Revoke the certificate"
        back={PATH}
      >
        <p>
          The portal refuses it from this instant. A user who is still managed on the device gets
          another one.
        </p>
        <dl class="facts">
          <dt>Name</dt>
          <dd>{commonName}</dd>
          <dt>User</dt>
          <dd>{store.users.get(userId)?.email}</dd>
          <dt>Device</dt>
          <dd>{store.devices.get(deviceId)?.hostname}</dd>
          <dt>Serial number</dt>
          <dd class="id">{serial}</dd>
        </dl>
        <SelectField form={new FormState()} name="reason" label="Reason" choices={REASONS} />
      </Confirmation>
    </AdminPage>
  );
}
