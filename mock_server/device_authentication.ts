/** Who signed a request: a device, a key that wants to become one, a leaf that is to be renewed. */
import { createHash } from "node:crypto";
import type { HonoRequest, MiddlewareHandler } from "hono";
import { LIMITS } from "../agent/contract.ts";
import { parseCertificatePem } from "../ca/certificate.ts";
import { readPublicKey } from "../ca/signature.ts";
import type { Certificate } from "./certificates.ts";
import type { ServerContext, ServerEnv } from "./context.ts";
import type { Device } from "./fleet.ts";
import { RequestProblem } from "./problems.ts";
import {
  importDeviceKey,
  importLeafKey,
  isSignatureBy,
  readSignature,
  type ReceivedRequest,
  type ReceivedSignature,
} from "./signature_verification.ts";

/** Hono environment behind {@link signedByDevice}. */
export interface DeviceEnv extends ServerEnv {
  Variables: { device: Device };
}

/**
 * Lets a request through that the device of its path has signed, as `device`. Refuses with
 * `bad-signature`, `unknown-device`, `clock-skew`, `replay` (401), `other-device` (403) and, unless
 * `deleted` devices may still speak, `device-deleted` (410).
 */
export function signedByDevice(
  context: ServerContext,
  { deleted = false } = {},
): MiddlewareHandler<DeviceEnv> {
  return async (c, next) => {
    const signature = readSignature(await received(context, c.req), "device");
    if (!signature) throw unsigned();
    const device = context.store.devices.get(signature.keyid);
    if (!device) {
      throw new RequestProblem(
        "unknown-device",
        "No device has this keyid; enroll it, or point it at the server that it was enrolled with",
      );
    }
    await requireSignature(signature, await importDeviceKey(device.publicKey));
    context.store.transaction(() => {
      requireFresh(context, signature);
      context.store.devices.seen(device.deviceId, context.now().getTime());
    });
    if (c.req.param("deviceId") !== device.deviceId) {
      throw new RequestProblem("other-device", `The request is signed by ${device.deviceId}`);
    }
    if (device.deletedAt !== null && !deleted) {
      throw new RequestProblem("device-deleted", "This device was deleted; everything is to go");
    }
    c.set("device", device);
    await next();
  };
}

/**
 * Checks that an enrolment is signed by the key that it brings; answers that key's RFC 7638
 * thumbprint. Throws as {@link signedByDevice} does, and `invalid` for a point off the curve.
 */
export async function requireEnrollmentSignature(
  context: ServerContext,
  request: HonoRequest,
  publicKey: { x: string; y: string },
): Promise<string> {
  const signature = readSignature(await received(context, request), "device");
  if (!signature) throw unsigned();
  const thumbprint = keyThumbprint(publicKey);
  if (signature.keyid !== thumbprint) {
    throw new RequestProblem("bad-signature", "keyid must be the thumbprint of publicKey");
  }
  try {
    await requireSignature(signature, await importDeviceKey(publicKey));
  } catch (cause) {
    // The runtime takes a point off the curve for a key, and says so only when that key is used.
    if (!(cause instanceof TypeError || cause instanceof DOMException)) throw cause;
    throw new RequestProblem("invalid", "json.publicKey: is not a P-256 key", {}, { cause });
  }
  requireFresh(context, signature);
  return thumbprint;
}

/**
 * The leaf that signed a request as `leaf`: undefined when none did, `"foreign"` for one that was
 * not issued here. It may be anybody's, expired or revoked. Throws as {@link signedByDevice} does.
 */
export async function signingLeaf(
  context: ServerContext,
  request: HonoRequest,
): Promise<Certificate | "foreign" | undefined> {
  const signature = readSignature(await received(context, request), "leaf");
  if (!signature) return undefined;
  const leaf = context.store.certificates.bySha256(signature.keyid);
  if (!leaf) return "foreign";
  const { spki } = parseCertificatePem(leaf.pem);
  const alg = readPublicKey(spki).kind === "RSA" ? "rsa-v1_5-sha256" : "ecdsa-p256-sha256";
  await requireSignature(signature, await importLeafKey(spki, alg));
  requireFresh(context, signature);
  return leaf;
}

/** RFC 7638 thumbprint (SHA-256, base64url) of a P-256 key. */
export function keyThumbprint({ x, y }: { x: string; y: string }): string {
  return createHash("sha256").update(JSON.stringify({ crv: "P-256", kty: "EC", x, y }))
    .digest("base64url");
}

async function received(context: ServerContext, request: HonoRequest): Promise<ReceivedRequest> {
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    targetUri: context.publicUrl + pathname + search,
    header: (name) => request.header(name),
    body: new Uint8Array(await request.arrayBuffer()),
  };
}

async function requireSignature(signature: ReceivedSignature, key: CryptoKey): Promise<void> {
  if (await isSignatureBy(signature, key)) return;
  throw new RequestProblem(
    "bad-signature",
    "The signature does not verify over @method, @target-uri with the server's public URL, and " +
      "the body's content-digest",
  );
}

/** Checks time and nonce of a signature that is verified already. */
function requireFresh(context: ServerContext, signature: ReceivedSignature): void {
  const now = context.now();
  const skewSeconds = Math.floor(now.getTime() / 1000) - signature.created;
  if (Math.abs(skewSeconds) > LIMITS.clockSkewSeconds) {
    throw new RequestProblem(
      "clock-skew",
      `The request was signed ${Math.abs(skewSeconds)} s ${skewSeconds > 0 ? "before" : "after"} ` +
        "the server's time; sign again with 'created' by that time",
      { members: { skewSeconds }, headers: { date: now.toUTCString() } },
    );
  }
  const expiresAt = (signature.created + LIMITS.clockSkewSeconds + 1) * 1000;
  const { keyid, nonce } = signature;
  if (!context.store.nonces.remember(keyid, nonce, expiresAt, now.getTime())) {
    throw new RequestProblem("replay", "This nonce was used before; sign with a fresh one");
  }
}

function unsigned(): RequestProblem {
  return new RequestProblem("bad-signature", "The request has no signature labelled 'device'");
}
