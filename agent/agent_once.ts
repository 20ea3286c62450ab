/** The agent's work without a resident agent: one round, or leaving for good. */
import { toProblem } from "../platform/errors.ts";
import { EXIT } from "./exit.ts";
import type { Leaving } from "./leave.ts";
import type { RenewalOutcome } from "./local_contract.ts";
import { sentState } from "./server_client.ts";
import { openWork, type Work, type WorkWorld } from "./work.ts";

/** Asks the server once, does what is to do, and gives the exit code (DESIGN section 7). */
export async function runAgentOnce(world: WorkWorld): Promise<number> {
  const work = await openWork(world);
  if (!work) {
    world.log.error("device.not-enrolled", { fix: "device-trust enroll" });
    return EXIT.notEnrolled;
  }
  try {
    return await round(world, work);
  } catch (error) {
    const { code, message } = toProblem(error);
    world.state.saveSync({ ...world.state.sync(), error: { code, message } });
    world.log.error("server.failed", { code, reason: message });
    return EXIT.failed;
  } finally {
    await work.close();
  }
}

/** Leaves the agent server for good; undefined when this device is not enrolled. */
export async function leaveOnce(world: WorkWorld): Promise<Leaving | undefined> {
  const work = await openWork(world);
  if (!work) return undefined;
  try {
    return await work.leave();
  } finally {
    await work.close();
  }
}

/**
 * Asks the server once and renews the leaf of that user, or of all; undefined when this device is
 * not enrolled.
 *
 * @throws Problem when the server cannot be asked
 */
export async function renewOnce(
  world: WorkWorld,
  username: string | undefined,
): Promise<RenewalOutcome[] | undefined> {
  const work = await openWork(world);
  if (!work) return undefined;
  try {
    await ask(world, work);
    return await work.worker.renew(username);
  } finally {
    await work.close();
  }
}

async function round(world: WorkWorld, work: Work): Promise<number> {
  const { worker, leave } = work;
  await ask(world, work);
  await worker.settle();
  if (worker.isClean()) await leave();
  return worker.needsAttention() ? EXIT.attention : EXIT.done;
}

/** What the server wants now, taken by the worker. */
async function ask(world: WorkWorld, { worker, client, identity }: Work): Promise<void> {
  const answer = await client.request({
    method: "GET",
    path: `/v1/devices/${identity.device.deviceId}/desired-state`,
    maxBytes: 1024 * 1024,
    signal: world.signal,
  });
  const gone = answer.status === 410 && answer.problemType === "urn:device-trust:device-deleted";
  if (gone || world.state.device()?.leaving) await worker.leave("deleted");
  else {
    const { etag, body } = sentState(answer);
    world.state.saveSync({ lastSync: world.now(), clockOffset: client.clock.offset });
    world.state.forgetOldEvents(world.now() + client.clock.offset);
    await worker.desired(etag, body, true);
  }
}
