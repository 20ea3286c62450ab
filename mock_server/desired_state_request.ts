/** One request for the desired state: answered, held until something changes, or not modified. */
import { LIMITS } from "../agent/contract.ts";
import type { ServerContext } from "./context.ts";
import { desiredState, type DesiredStateDocument } from "./desired_state.ts";
import { namesTag } from "./entity_tag.ts";
import { RequestProblem } from "./problems.ts";

/**
 * Answers 200 with the state, or 304 when the request names it. With `Prefer: wait=N` (RFC 7240)
 * the 304 comes only after N seconds, and 200 at the moment at which the state changes; a newer
 * held request of the device, and the server's end, bring the 304 forward. Throws
 * `device-deleted`, also when that happens during the wait.
 */
export async function answerDesiredState(
  context: ServerContext,
  deviceId: string,
  request: Request,
): Promise<Response> {
  const known = request.headers.get("if-none-match");
  const seconds = preferredWait(request.headers.get("prefer"));
  const applied: Record<string, string> = seconds === undefined
    ? {}
    : { "preference-applied": `wait=${seconds}` };
  const state = enrolledState(context, deviceId);
  if (!namesTag(known, state.etag)) return modified(state, applied);
  if (!seconds) return notModified(state.etag, applied);
  const changed = await nextState(context, deviceId, known, seconds * 1000, request.signal);
  return changed ? modified(changed, applied) : notModified(state.etag, applied);
}

/** Seconds of a `wait` preference, at most 300; undefined when there is none that is valid. */
export function preferredWait(prefer: string | null): number | undefined {
  const match = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])/i.exec(prefer ?? "");
  return match ? Math.min(Number(match[1]), LIMITS.waitSeconds) : undefined;
}

/** Holds the request; undefined when nothing changed until its end. */
async function nextState(
  context: ServerContext,
  deviceId: string,
  known: string | null,
  milliseconds: number,
  signal: AbortSignal,
): Promise<DesiredStateDocument | undefined> {
  const hold = context.changes.hold(deviceId, signal);
  const end = performance.now() + milliseconds;
  try {
    for (;;) {
      if (await hold.next(Math.max(0, end - performance.now())) !== "changed") return undefined;
      const state = enrolledState(context, deviceId);
      if (!namesTag(known, state.etag)) return state;
    }
  } finally {
    hold.release();
  }
}

function enrolledState(context: ServerContext, deviceId: string): DesiredStateDocument {
  if (context.store.devices.get(deviceId)?.deletedAt !== null) {
    throw new RequestProblem("device-deleted", "This device was deleted; everything is to go");
  }
  return desiredState(context, deviceId);
}

function modified(state: DesiredStateDocument, applied: Record<string, string>): Response {
  return new Response(state.json, {
    headers: { "content-type": "application/json", ...validators(state.etag), ...applied },
  });
}

function notModified(etag: string, applied: Record<string, string>): Response {
  return new Response(null, { status: 304, headers: { ...validators(etag), ...applied } });
}

function validators(etag: string) {
  return { etag, "cache-control": "private, no-cache", vary: "prefer" };
}
