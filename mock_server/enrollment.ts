/** Enrolment: a device key and a connect key become a device. */
import { createRoute, type OpenAPIHono, type z } from "@hono/zod-openapi";
import { createHash, timingSafeEqual } from "node:crypto";
import { EnrollmentAnswer, EnrollmentRequest, LIMITS } from "../agent/contract.ts";
import { newUuid, recordEvent, type ServerContext } from "./context.ts";
import { trustAnchors } from "./desired_state.ts";
import { type DeviceEnv, requireEnrollmentSignature } from "./device_authentication.ts";
import { boundedBody, GuessLimit } from "./limits.ts";
import { DEVICE_SIGNATURE, refusals } from "./openapi.ts";
import { RequestProblem } from "./problems.ts";
import type { ConnectKey } from "./store.ts";

/** Adds `POST /v1/devices`. */
export function enrollmentRoute(app: OpenAPIHono<DeviceEnv>, context: ServerContext): void {
  const guesses = new GuessLimit();
  const content = { "application/json": { schema: EnrollmentAnswer } };
  const route = createRoute({
    method: "post",
    path: "/v1/devices",
    summary: "Enroll a device by its key; the same key gets the same device",
    security: DEVICE_SIGNATURE,
    middleware: boundedBody(LIMITS.bodyBytes),
    request: {
      body: { required: true, content: { "application/json": { schema: EnrollmentRequest } } },
    },
    responses: {
      200: { description: "This key is enrolled already", content },
      201: { description: "Enrolled", content },
      ...refusals("bad-connect-key", "bad-signature", "replay", "clock-skew"),
      ...refusals("body-too-large", "slow-request", "invalid", "too-many-requests"),
    },
  });
  app.openapi(route, async (c) => {
    const now = context.now().getTime();
    const { address } = c.env.peer;
    guesses.check(address, now);
    const request = c.req.valid("json");
    const thumbprint = await requireEnrollmentSignature(context, c.req, request.publicKey);
    // Others from there may have guessed while this signature was verified.
    guesses.check(address, now);
    const connectKey = findConnectKey(context, request.connectKey);
    if (!connectKey) {
      guesses.wrong(address, now);
      context.log.warn("wrong connect key from {address}", { address });
      throw new RequestProblem("bad-connect-key", "No such connect key; ask for a new one");
    }
    const { deviceId, fresh } = context.store.transaction(() =>
      enroll(context, request, thumbprint, connectKey)
    );
    const answer = { deviceId, publicUrl: context.publicUrl, trustAnchors: trustAnchors(context) };
    return c.json(answer, fresh ? 201 : 200);
  });
}

/** The hash under which a connect key is kept: SHA-256 in hexadecimal. */
export function connectKeyHash(connectKey: string): string {
  return createHash("sha256").update(connectKey).digest("hex");
}

/** Compares with every key, each in constant time, so that the time tells nothing of any. */
function findConnectKey({ store }: ServerContext, connectKey: string): ConnectKey | undefined {
  const presented = createHash("sha256").update(connectKey).digest();
  let found: string | undefined;
  for (const { connectKeyId, hash } of store.connectKeys.hashes()) {
    if (timingSafeEqual(Uint8Array.fromHex(hash), presented)) found = connectKeyId;
  }
  return found === undefined ? undefined : store.connectKeys.get(found);
}

function enroll(
  context: ServerContext,
  request: z.infer<typeof EnrollmentRequest>,
  thumbprint: string,
  connectKey: ConnectKey,
): { deviceId: string; fresh: boolean } {
  const { store } = context;
  const now = context.now().getTime();
  const { hostname, os, osVersion, agentVersion, publicKey } = request;
  if (connectKey.expiresAt !== null && connectKey.expiresAt <= now) {
    throw new RequestProblem("bad-connect-key", "The connect key has expired; ask for a new one");
  }
  const known = store.devices.byThumbprint(thumbprint);
  if (known) {
    store.devices.describe({ deviceId: known.deviceId, hostname, osVersion, agentVersion });
    store.devices.seen(known.deviceId, now);
    return { deviceId: known.deviceId, fresh: false };
  }
  const { connectKeyId, maxUses, uses } = connectKey;
  if (maxUses !== null && uses >= maxUses) {
    throw new RequestProblem("bad-connect-key", "The connect key is used up; ask for a new one");
  }
  const deviceId = newUuid(context.random);
  store.connectKeys.use(connectKeyId);
  store.devices.add({
    deviceId,
    thumbprint,
    publicKey,
    hostname,
    os,
    osVersion,
    agentVersion,
    enrolledAt: now,
  });
  recordEvent(context, "device.enrolled", { deviceId }, { hostname, os, connectKeyId });
  return { deviceId, fresh: true };
}
