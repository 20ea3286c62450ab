/** How a device comes to its agent server and leaves it: key first, registration after. */
import { Problem } from "../platform/errors.ts";
import type { SystemFacts } from "../platform/platform.ts";
import { EnrollmentAnswer, judge } from "./contract.ts";
import { type DeviceKey, readDeviceKey } from "./device_key.ts";
import { UsageError } from "./failure.ts";
import { type IdentityWorld, isClone, readIdentity } from "./identity.ts";
import { createDeviceKey } from "./new_device_key.ts";
import { answerJson, openServerClient, refusal, type ServerClock } from "./server_client.ts";
import { verifyAnchors } from "./verify.ts";
import { VERSION } from "./version.ts";

/** What enrolment needs of the world. */
export type EnrollmentWorld = IdentityWorld & { system: SystemFacts; now: () => number };

/** What an administrator gives to enrol a device. */
export interface EnrollmentOptions {
  /** URL of the agent server. */
  server: string;
  /** Not asked for where the device is enrolled already. */
  connectKey: () => Promise<string>;
  /** PEM of the authority that signs the server's TLS certificate. */
  serverCa?: string;
  proxy?: string;
}

/** This device is enrolled at another agent server. */
export class EnrolledElsewhere extends Error {
  override readonly name = "EnrolledElsewhere";
}

/**
 * Registers the device. A lost reply does no harm: the key is written first, and the agent server
 * answers the same key with the same device.
 *
 * @throws UsageError when the server's URL is none
 * @throws EnrolledElsewhere when it is enrolled at another agent server
 * @throws Problem `unreachable`, `server-refused`, `bundle-rejected`
 */
export async function enroll(
  world: EnrollmentWorld,
  options: EnrollmentOptions,
): Promise<{ deviceId: string; already: boolean }> {
  const server = serverUrl(options.server);
  const enrolled = await readIdentity(world);
  if (enrolled) {
    if (enrolled.device.server === server || enrolled.device.publicUrl === server) {
      return { deviceId: enrolled.device.deviceId, already: true };
    }
    throw new EnrolledElsewhere(
      `This device is enrolled at ${enrolled.device.server}. Run 'device-trust unenroll' first to ` +
        `move it to ${server}.`,
    );
  }
  const connectKey = await options.connectKey();
  const key = await keyForEnrollment(world, server, options.serverCa);
  const answer = await register(world, server, key, { ...options, connectKey });
  await verifyAnchors(answer.trustAnchors, new Date(world.now() + answer.clock.offset));
  world.state.saveSync({ clockOffset: answer.clock.offset });
  world.state.saveDevice({
    deviceId: answer.deviceId,
    server,
    publicUrl: answer.publicUrl,
    ...(options.serverCa ? { serverCa: options.serverCa } : {}),
    ...(world.system.machine ? { machine: world.system.machine } : {}),
    root: answer.trustAnchors.root,
    intermediate: answer.trustAnchors.intermediate,
    leaving: false,
  });
  world.state.recordEvent("device.enrolled", `${answer.deviceId} at ${server}`);
  return { deviceId: answer.deviceId, already: false };
}

/**
 * The key of an enrolment that was begun here, or whose record was lost (the agent server knows the
 * key, and so the device, again), else a new one.
 */
async function keyForEnrollment(
  world: EnrollmentWorld,
  server: string,
  serverCa: string | undefined,
): Promise<DeviceKey> {
  const begun = world.state.device();
  const { machine } = world.system;
  const key = await readDeviceKey(world.deviceKey);
  const isOurs = begun ? !isClone(begun, world.system) : key?.machine === machine;
  if (begun && !isOurs) {
    world.state.forgetDevice();
    world.state.recordEvent("device.cloned", "The copied identity was discarded.");
  }
  if (!begun && isOurs && key) world.state.recordReplaced("The device key is all that was left.");
  // The row names the machine before the key exists, so that a copied key is always known as one.
  world.state.saveDevice({
    server,
    ...(serverCa ? { serverCa } : {}),
    ...(machine ? { machine } : {}),
    leaving: false,
  });
  return isOurs && key ? key : await createDeviceKey(world.deviceKey, machine);
}

async function register(
  world: EnrollmentWorld,
  server: string,
  key: DeviceKey,
  options: Omit<EnrollmentOptions, "connectKey"> & { connectKey: string },
): Promise<EnrollmentAnswer & { clock: ServerClock }> {
  const client = openServerClient({
    publicUrl: server,
    signer: key.signer(key.thumbprint),
    clock: { offset: 0, known: false },
    now: world.now,
    ...(options.serverCa ? { serverCa: options.serverCa } : {}),
    ...(options.proxy ? { proxy: options.proxy } : {}),
  });
  try {
    const body = {
      connectKey: options.connectKey,
      hostname: world.system.hostname,
      os: world.system.os,
      osVersion: world.system.osVersion,
      agentVersion: VERSION,
      publicKey: key.publicJwk,
    };
    const answer = await client.request({
      method: "POST",
      path: "/v1/devices",
      body: new TextEncoder().encode(JSON.stringify(body)),
    });
    if (answer.status === 401 && answer.problemType === "urn:device-trust:bad-connect-key") {
      throw new Problem(
        "server-refused",
        "Cannot enrol: the connect key is wrong, used up or expired. Ask the administrator for a " +
          "new one.",
      );
    }
    if (answer.status !== 200 && answer.status !== 201) throw refusal("enrol", answer);
    const parsed = judge(EnrollmentAnswer, answerJson(answer));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new Problem(
        "server-refused",
        `Cannot enrol: in the agent server's answer '${issue?.path.join(".")}' ${issue?.message}.`,
      );
    }
    return { ...parsed.data, clock: client.clock };
  } finally {
    client.close();
  }
}

/** @throws UsageError for anything but an HTTPS URL */
function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" || url.username || url.search || url.hash) {
    throw new UsageError(
      `Cannot enrol at '${text}': give the agent server's https:// URL, without user or query.`,
    );
  }
  return url.href.replace(/\/+$/, "");
}
