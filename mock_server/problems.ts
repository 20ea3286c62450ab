/** Error answers of every listener: `application/problem+json` (RFC 9457). */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { PROBLEM_PREFIX } from "../agent/contract.ts";

/** Every problem type of this API (behind `urn:device-trust:`), its status and title. */
export const PROBLEMS = {
  "malformed": [400, "This is not an HTTP request"],
  "bad-signature": [401, "The request signature does not verify"],
  "replay": [401, "This signed request was received before"],
  "clock-skew": [401, "The request was signed too far from the server's time"],
  "unknown-device": [401, "This device is not enrolled here"],
  "bad-connect-key": [401, "The connect key is not accepted"],
  "unauthorized": [401, "The admin token is missing or wrong"],
  "other-device": [403, "The path belongs to another device than the signature"],
  "distribution-off": [403, "Global Certificate Distribution is OFF"],
  "leaf-not-current": [403, "The leaf that signed is not a live leaf of this user on this device"],
  "forbidden": [403, "This is not allowed from here"],
  "not-found": [404, "There is no such thing"],
  "method-not-allowed": [405, "This resource does not know that method"],
  "slow-request": [408, "The request did not arrive in time"],
  "conflict": [409, "This does not go with what exists"],
  "device-deleted": [410, "This device was deleted"],
  "body-too-large": [413, "The body is too large"],
  "invalid": [422, "The request does not have the expected form"],
  "csr-refused": [422, "The certificate request is refused"],
  "too-many-requests": [429, "Too many requests"],
  "headers-too-large": [431, "The header is too large"],
  "internal": [500, "The server failed"],
} as const satisfies Record<string, readonly [ContentfulStatusCode, string]>;

/** Characters of an answer's words, as the contract bounds them; some quote the request. */
const MOST_DETAIL = 4000;

/** A problem type without its prefix. */
export type ProblemType = keyof typeof PROBLEMS;

/** A request that is refused; thrown anywhere in a handler, answered by {@link answerProblem}. */
export class RequestProblem extends Error {
  override readonly name = "RequestProblem";
  /**
   * `message` becomes the answer's `detail`: what was wrong and what to do, never a secret.
   * `members` are further members of the answer, `headers` its extra header fields.
   */
  constructor(
    readonly type: ProblemType,
    message: string,
    readonly extra: { members?: Record<string, unknown>; headers?: Record<string, string> } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** 429 with `Retry-After`, in whole seconds. */
export function tooMany(message: string, retryAfterSeconds: number): RequestProblem {
  const seconds = Math.max(1, Math.ceil(retryAfterSeconds));
  return new RequestProblem("too-many-requests", message, {
    headers: { "retry-after": `${seconds}` },
  });
}

/** A problem's status and JSON. */
export function problemText(problem: RequestProblem) {
  const [status, title] = PROBLEMS[problem.type];
  const type = PROBLEM_PREFIX + problem.type;
  const { members } = problem.extra;
  const detail = problem.message.slice(0, MOST_DETAIL);
  return { status, body: JSON.stringify({ type, title, status, detail, ...members }) };
}

/** The answer to a problem. */
export function problemResponse(problem: RequestProblem): Response {
  const { status, body } = problemText(problem);
  return new Response(body, {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...problem.extra.headers,
    },
  });
}

/**
 * Hono's `onError` for every app here: answers what was thrown as a problem. `report` hears of
 * what nobody foresaw, whose words are kept from the answer.
 */
export function answerProblem(report: (error: Error) => void) {
  return (error: Error, _context: Context): Response => {
    if (error instanceof RequestProblem) return problemResponse(error);
    if (error instanceof HTTPException && error.status < 500) {
      return problemResponse(new RequestProblem("invalid", error.message, {}, { cause: error }));
    }
    report(error);
    return problemResponse(
      new RequestProblem("internal", "See the server's log; the request may be tried again", {}, {
        cause: error,
      }),
    );
  };
}

/**
 * `defaultHook` of every OpenAPIHono here: a body, query or header that does not validate is 422
 * with what is wrong with it; a path that does not is a thing that does not exist, 404.
 */
export function refuseInvalid(
  result: { target: string } & ({ success: true } | { success: false; error: z.ZodError }),
): void {
  if (result.success) return;
  const what = result.error.issues.slice(0, 5)
    .map((issue) => `${[result.target, ...issue.path].join(".")}: ${issue.message}`).join("; ");
  if (result.target === "param") throw new RequestProblem("not-found", what);
  throw new RequestProblem("invalid", what);
}
