/** The admin API of a scratch context, called as an administrator would; for tests. */
import assert from "node:assert/strict";
import { adminApi } from "./admin_api.ts";
import { type Scratch, SCRATCH_TOKEN, withScratch } from "./scratch_context.ts";

/** An id that nothing has. */
export const NOWHERE = "00000000-0000-4000-8000-000000000000";

/** An answer, and its body where it has one. */
export interface Answer {
  status: number;
  headers: Headers;
  // Whatever the server sent: each test looks at the part that it is about.
  // deno-lint-ignore no-explicit-any
  body: any;
}

/** Sends one request with the admin token; `path` is what follows `/admin/v1/`. */
export type Call = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** Runs `test` against the admin API of a scratch context of its own. */
export async function withAdmin(
  test: (call: Call, scratch: Scratch) => Promise<void>,
): Promise<void> {
  await withScratch(async (scratch) => {
    const app = adminApi(scratch.context);
    await test(async (method, path, body) => {
      const response = await app.request(`https://localhost:8442/admin/v1/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${SCRATCH_TOKEN}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const text = await response.text();
      const { status, headers } = response;
      return { status, headers, body: text === "" ? undefined : JSON.parse(text) };
    }, scratch);
  });
}

/** Asserts that an answer is a problem of this status and type, with words. */
export function assertProblem(answer: Answer, status: number, type: string): void {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(answer.body.type, `urn:device-trust:${type}`);
  assert.equal(answer.body.status, status);
  assert.ok(answer.body.detail.length > 0);
}
