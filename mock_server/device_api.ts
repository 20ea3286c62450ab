/** The device API (DESIGN section 5): what agents ask, each request signed by its device. */
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import {
  CertificateAnswer,
  CertificateRequest,
  DesiredState,
  DeviceReport,
  LIMITS,
  Uuid,
} from "../agent/contract.ts";
import type { ServerContext } from "./context.ts";
import { type DeviceEnv, signedByDevice, signingLeaf } from "./device_authentication.ts";
import { answerDesiredState } from "./desired_state_request.ts";
import { enrollmentRoute } from "./enrollment.ts";
import { misbehave } from "./faults.ts";
import { deleteDevice } from "./fleet_changes.ts";
import { certificateAnswer, obtainLeaf } from "./issuance.ts";
import { boundedBody } from "./limits.ts";
import { DEVICE_SIGNATURE, refusals } from "./openapi.ts";
import { answerProblem, refuseInvalid } from "./problems.ts";
import { recordReport } from "./reports.ts";
import { revocationRoutes } from "./revocation_list.ts";

const DeviceParam = z.object({ deviceId: Uuid });

/** Everything under `/v1/`; to be mounted at the root. */
export function deviceApi(context: ServerContext): OpenAPIHono<DeviceEnv> {
  const app = new OpenAPIHono<DeviceEnv>({ defaultHook: refuseInvalid });
  app.onError(answerProblem((error) => context.log.error("device request failed", { error })));
  app.use("/v1/*", misbehave(context));
  enrollmentRoute(app, context);
  desiredStateRoute(app, context);
  certificateRoute(app, context);
  reportRoute(app, context);
  deletionRoute(app, context);
  revocationRoutes(app, context);
  return app;
}

function desiredStateRoute(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const route = createRoute({
    method: "get",
    path: "/v1/devices/{deviceId}/desired-state",
    summary:
      "What the device is to have; with `Prefer: wait=N` the answer is held until it changes",
    security: DEVICE_SIGNATURE,
    middleware: signedByDevice(context),
    request: {
      params: DeviceParam,
      headers: z.object({
        "if-none-match": z.string().optional(),
        prefer: z.string().optional().openapi({ example: "wait=240" }),
      }),
    },
    responses: {
      200: {
        description: "The desired state",
        headers: z.object({ etag: z.string() }),
        content: { "application/json": { schema: DesiredState } },
      },
      304: { description: "It is what `If-None-Match` names, at the end of the wait" },
      ...refusals("bad-signature", "replay", "clock-skew", "unknown-device", "other-device"),
      ...refusals("device-deleted"),
    },
  });
  app.openapi(route, (c) => answerDesiredState(context, c.var.device.deviceId, c.req.raw));
}

function certificateRoute(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const content = { "application/json": { schema: CertificateAnswer } };
  const route = createRoute({
    method: "post",
    path: "/v1/devices/{deviceId}/users/{userId}/certificates",
    summary: "A leaf for a managed user; a renewal is signed by the current leaf too",
    security: DEVICE_SIGNATURE,
    middleware: [boundedBody(LIMITS.bodyBytes), signedByDevice(context)] as const,
    request: {
      params: DeviceParam.extend({ userId: Uuid }),
      body: { required: true, content: { "application/json": { schema: CertificateRequest } } },
    },
    responses: {
      200: { description: "The live leaf that this key already has", content },
      201: { description: "A new leaf", content },
      ...refusals("bad-signature", "replay", "clock-skew", "unknown-device"),
      ...refusals("other-device", "distribution-off", "leaf-not-current", "not-found"),
      ...refusals("device-deleted", "body-too-large", "slow-request", "invalid", "csr-refused"),
      ...refusals("too-many-requests"),
    },
  });
  app.openapi(route, async (c) => {
    const { deviceId } = c.var.device;
    const { userId } = c.req.valid("param");
    const { csr } = c.req.valid("json");
    const signedBy = await signingLeaf(context, c.req);
    const { certificate, fresh } = await obtainLeaf(context, { deviceId, userId, csr, signedBy });
    return c.json(certificateAnswer(context, certificate), fresh ? 201 : 200);
  });
}

function reportRoute(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const route = createRoute({
    method: "post",
    path: "/v1/devices/{deviceId}/reports",
    summary: "What the device has; a deleted one may still send the receipts of its removals",
    security: DEVICE_SIGNATURE,
    middleware: [
      boundedBody(LIMITS.reportBytes),
      signedByDevice(context, { deleted: true }),
    ] as const,
    request: {
      params: DeviceParam,
      body: { required: true, content: { "application/json": { schema: DeviceReport } } },
    },
    responses: {
      204: { description: "Recorded" },
      ...refusals("bad-signature", "replay", "clock-skew", "unknown-device", "other-device"),
      ...refusals("body-too-large", "slow-request", "invalid"),
    },
  });
  app.openapi(route, (c) => {
    recordReport(context, c.var.device.deviceId, c.req.valid("json"));
    return c.body(null, 204);
  });
}

function deletionRoute(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const route = createRoute({
    method: "delete",
    path: "/v1/devices/{deviceId}",
    summary: "Unenroll: every certificate of the device is revoked",
    security: DEVICE_SIGNATURE,
    middleware: [boundedBody(LIMITS.bodyBytes), signedByDevice(context)] as const,
    request: { params: DeviceParam },
    responses: {
      204: { description: "Deleted" },
      ...refusals("bad-signature", "replay", "clock-skew", "unknown-device", "other-device"),
      ...refusals("device-deleted"),
    },
  });
  app.openapi(route, (c) => {
    deleteDevice(context, c.var.device.deviceId, "agent");
    return c.body(null, 204);
  });
}
