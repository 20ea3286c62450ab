/** Admin API: certificates, their revocation, and the emergency renewal of all of them. */
import { createRoute, z } from "@hono/zod-openapi";
import { Instant, Serial, Uuid } from "../agent/contract.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
  ListQuery,
  NullableInstant,
  nullableInstant,
  pageOfItems,
} from "./admin_routes.ts";
import { type Certificate, RevocationReason } from "./certificates.ts";
import { instant, recordEvent, type ServerContext } from "./context.ts";
import { revokeCertificate, settleLeaves } from "./fleet_changes.ts";
import { pageOf } from "./paging.ts";
import { RequestProblem } from "./problems.ts";

const PATH = "/admin/v1/certificates";

/** The event that starts an emergency renewal; its progress is counted from there. */
const RENEWAL_EVENT = "certificates.renewal-started";

const CertificateItem = z.object({
  serial: Serial,
  commonName: z.string(),
  sha256: z.string(),
  deviceId: Uuid,
  userId: Uuid,
  status: z.enum(["current", "overlap", "expired", "revoked"]),
  kind: z.enum(["first", "renewal", "reissue"]),
  issuedAt: Instant,
  notBefore: Instant,
  notAfter: Instant,
  renewal: z.object({ start: Instant, end: Instant }),
  installedAt: NullableInstant.openapi({ description: "When a device first reported it" }),
  supersededAt: NullableInstant.openapi({ description: "Since when its overlap counts" }),
  revokedAt: NullableInstant,
  reason: RevocationReason.nullable(),
}).openapi("Certificate");

/** How an emergency renewal is to go. */
export const RenewalBody = z.strictObject({
  spreadSeconds: z.number().int().min(0).max(30 * 86_400),
}).openapi("RenewalBody");

/** How far an emergency renewal has come. */
export const RenewalProgress = z.object({
  startedAt: NullableInstant.openapi({ description: "Null when there never was one" }),
  spreadSeconds: z.number().int().nullable(),
  certificates: z.number().int().openapi({ description: "Current ones when it started" }),
  renewed: z.number().int().openapi({ description: "Of these: replaced, or ended meanwhile" }),
  pending: z.number().int().openapi({ description: "Of these: still current" }),
}).openapi("RenewalProgress");

const RenewalDetail = z.object({ spreadSeconds: z.number(), certificates: z.number() });

const listRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Every certificate that was issued, oldest first",
  request: { query: ListQuery },
  responses: { 200: pageOfItems(CertificateItem), ...adminRefusals("invalid") },
});

const revokeRoute = createRoute({
  method: "post",
  path: `${PATH}/{serial}/revoke`,
  security: ADMIN_TOKEN,
  summary: "Revoke a certificate; one that is revoked already keeps its reason",
  request: {
    params: z.object({ serial: Serial }),
    body: {
      required: false,
      content: {
        "application/json": {
          schema: z.strictObject({ reason: RevocationReason.optional() }),
        },
      },
    },
  },
  responses: {
    200: answerOf("The certificate", CertificateItem),
    ...bodyRefusals("not-found"),
  },
});

const renewRoute = createRoute({
  method: "post",
  path: `${PATH}/renew`,
  security: ADMIN_TOKEN,
  summary: "Emergency renewal: every renewal window moves to now, spread over some seconds",
  request: bodyOf(RenewalBody),
  responses: { 200: answerOf("Its progress", RenewalProgress), ...bodyRefusals() },
});

const progressRoute = createRoute({
  method: "get",
  path: `${PATH}/renew`,
  security: ADMIN_TOKEN,
  summary: "Progress of the last emergency renewal",
  responses: { 200: answerOf("The progress", RenewalProgress), ...adminRefusals() },
});

/** Adds the routes of certificates. */
export function certificateRoutes(app: AdminApp, context: ServerContext): void {
  const { store } = context;
  app.openapi(progressRoute, (c) => {
    return c.json(renewalProgress(context), 200);
  });
  app.openapi(renewRoute, (c) => {
    startRenewal(context, c.req.valid("json"));
    return c.json(renewalProgress(context), 200);
  });
  app.openapi(listRoute, (c) => {
    settleLeaves(context);
    const { items, nextCursor } = store.certificates.list(pageOf(c.req.valid("query")));
    return c.json({ items: items.map((item) => certificateItem(context, item)), nextCursor }, 200);
  });
  app.openapi(revokeRoute, (c) => {
    settleLeaves(context);
    const { serial } = c.req.valid("param");
    const { reason = "privilegeWithdrawn" } = c.req.valid("json");
    revokeCertificate(context, serial, reason);
    const certificate = store.certificates.get(serial);
    if (!certificate) throw new RequestProblem("not-found", `No certificate has serial ${serial}`);
    return c.json(certificateItem(context, certificate), 200);
  });
}

/** Moves every renewal window to now, spread over some seconds. */
export function startRenewal(
  context: ServerContext,
  { spreadSeconds }: z.infer<typeof RenewalBody>,
): void {
  settleLeaves(context);
  const { store } = context;
  const now = context.now().getTime();
  store.transaction(() => {
    const certificates = store.certificates.countUnrenewed(now, now);
    // A window has to end after it starts, also when nothing is to be spread.
    store.certificates.moveWindows(
      { start: now, end: now + Math.max(1, spreadSeconds) * 1000 },
      now,
    );
    recordEvent(context, RENEWAL_EVENT, {}, { spreadSeconds, certificates });
  });
  context.changes.wakeAll();
}

/** How far the last emergency renewal has come. */
export function renewalProgress(context: ServerContext): z.infer<typeof RenewalProgress> {
  settleLeaves(context);
  const { store, now } = context;
  const last = store.events.ofType(RENEWAL_EVENT, 0).at(-1);
  if (!last) {
    return { startedAt: null, spreadSeconds: null, certificates: 0, renewed: 0, pending: 0 };
  }
  const { spreadSeconds, certificates } = RenewalDetail.parse(last.detail);
  const pending = store.certificates.countUnrenewed(last.at, now().getTime());
  const startedAt = instant(last.at);
  return { startedAt, spreadSeconds, certificates, renewed: certificates - pending, pending };
}

/** A certificate as lists show it. */
export function certificateItem(
  { store, now }: ServerContext,
  certificate: Certificate,
): z.infer<typeof CertificateItem> {
  const { serial, deviceId, userId, revokedAt, notAfter } = certificate;
  const at = now().getTime();
  const live = revokedAt === null && notAfter > at;
  const isNewest = live && store.certificates.live(deviceId, userId, at)[0]?.serial === serial;
  return {
    serial,
    commonName: certificate.commonName,
    sha256: certificate.sha256,
    deviceId,
    userId,
    status: revokedAt !== null ? "revoked" : !live ? "expired" : isNewest ? "current" : "overlap",
    kind: certificate.kind,
    issuedAt: instant(certificate.issuedAt),
    notBefore: instant(certificate.notBefore),
    notAfter: instant(notAfter),
    renewal: { start: instant(certificate.renewalStart), end: instant(certificate.renewalEnd) },
    installedAt: nullableInstant(certificate.installedAt),
    supersededAt: nullableInstant(certificate.supersededAt),
    revokedAt: nullableInstant(revokedAt),
    reason: certificate.reason,
  };
}
