/** The agent's end of the channel to one user's user-agent, and of the administrator's. */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { Problem, toProblem } from "../platform/errors.ts";
import { judge } from "./contract.ts";
import { KeyRefused } from "./key_refused.ts";
import type { Leaving } from "./leave.ts";
import {
  CHANNEL_LIMITS,
  LocalCertificateRequest,
  type RenewalOutcome,
  RenewalRequest,
  UserAgentReport,
} from "./local_contract.ts";
import type { UserRequests } from "./user_requests.ts";

/** What the channel needs. Each method is about the user that an account serves. */
export type UserWork = Pick<UserRequests, "slice" | "onChange" | "certificate" | "report">;

/** Longest that a question is held open, seconds. */
const LONGEST_WAIT = 300;

/**
 * The channel of one account. Whoever can connect is that user (the socket's folder and mode say
 * so), and nothing here lets one name another: the account's own user is the only one there is.
 */
export function userChannel(
  work: UserWork,
  uid: string,
  now: () => number,
): { app: Hono; invite: () => void } {
  const app = new Hono();
  const limit = limited(now);
  app.use(limit.middleware);
  app.use(bodyLimit({
    maxSize: CHANNEL_LIMITS.bodyBytes,
    onError: (c) => c.json({ code: "internal", message: "The message is too large." }, 413),
  }));
  app.get("/desired-state", async (c) => {
    const known = c.req.header("if-none-match");
    const wait = waitSeconds(c.req.header("prefer"));
    let answer = await sliceAnswer(work, uid);
    if (known === answer.etag && wait > 0) {
      await changed(work, wait, c.req.raw.signal);
      answer = await sliceAnswer(work, uid);
    }
    if (known === answer.etag) return c.body(null, 304);
    return c.body(answer.body, 200, { etag: answer.etag, "content-type": "application/json" });
  });
  app.post("/certificates", async (c) => {
    const request = await message(c, LocalCertificateRequest);
    return c.json(await work.certificate(uid, request));
  });
  app.post("/reports", async (c) => {
    work.report(uid, await message(c, UserAgentReport));
    return c.body(null, 204);
  });
  app.notFound((c) => c.json({ code: "internal", message: "No such request." }, 404));
  app.onError(answerError);
  return { app, invite: limit.startOver };
}

/** The administrator's channel: root alone can connect. */
export function controlChannel(actions: {
  unenroll: () => Promise<Leaving>;
  renew: (username?: string) => Promise<RenewalOutcome[]>;
}): Hono {
  const app = new Hono();
  app.post("/renew", async (c) => {
    const { username } = await message(c, RenewalRequest);
    return c.json({ users: await actions.renew(username) });
  });
  app.post("/unenroll", async (c) => c.json(await actions.unenroll()));
  app.notFound((c) => c.json({ code: "internal", message: "No such request." }, 404));
  app.onError(answerError);
  return app;
}

/** One request in flight and 30 a minute; a question that may be held does not count as in flight. */
function limited(now: () => number) {
  let inFlight = 0;
  let minute = 0;
  let count = 0;
  const middleware = async (c: Context, next: () => Promise<void>) => {
    const thisMinute = Math.floor(now() / 60_000);
    if (thisMinute !== minute) [minute, count] = [thisMinute, 0];
    const held = c.req.method === "GET" && c.req.header("prefer") !== undefined;
    if (++count > CHANNEL_LIMITS.perMinute || (!held && inFlight >= CHANNEL_LIMITS.inFlight)) {
      return c.json(
        { code: "internal", message: "Too many requests; ask again in a minute." },
        429,
        { "retry-after": "60" },
      );
    }
    if (!held) inFlight++;
    try {
      await next();
    } finally {
      if (!held) inFlight--;
    }
  };
  return {
    middleware,
    startOver: () => {
      count = 0;
    },
  };
}

async function sliceAnswer(
  work: UserWork,
  uid: string,
): Promise<{ body: string; etag: string }> {
  const body = JSON.stringify(work.slice(uid));
  // The clock moves on without being news.
  const { clock: _, ...news } = JSON.parse(body);
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(JSON.stringify(news)),
  );
  return { body, etag: `"${new Uint8Array(digest).slice(0, 16).toHex()}"` };
}

async function changed(work: UserWork, seconds: number, gone: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, seconds * 1000);
    const stop = work.onChange(finish);
    gone.addEventListener("abort", finish);
    function finish() {
      clearTimeout(timer);
      stop();
      gone.removeEventListener("abort", finish);
      resolve();
    }
  });
}

/** The seconds of `Prefer: wait=N` (RFC 7240), bounded; 0 without it. */
function waitSeconds(prefer: string | undefined): number {
  const match = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(prefer ?? "");
  return Math.min(Number(match?.[1] ?? 0), LONGEST_WAIT);
}

/** The body, as this schema has it. @throws BadMessage */
async function message<T extends z.ZodType>(c: Context, schema: T): Promise<z.output<T>> {
  let json: unknown;
  try {
    json = await c.req.json();
  } catch (cause) {
    throw new BadMessage("The message is not JSON.", { cause });
  }
  const { success, data, error } = judge(schema, json);
  if (!success) throw new BadMessage("The message has another form.", { cause: error });
  return data;
}

class BadMessage extends Error {
  override readonly name = "BadMessage";
}

function answerError(error: Error, c: Context): Response {
  if (error instanceof BadMessage) {
    return c.json({ code: "internal", message: "The message is malformed." }, 422);
  }
  const { code, message } = toProblem(error);
  const keyRefused = error instanceof KeyRefused ? { keyRefused: true } : {};
  return c.json({ code, message, ...keyRefused }, error instanceof Problem ? 409 : 500);
}
