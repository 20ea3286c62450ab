/** The user's channel by its requests; the worker behind it only records. */
import assert from "node:assert/strict";
import { Problem } from "../platform/errors.ts";
import type { UserAgentReport, UserSlice } from "./local_contract.ts";
import { controlChannel, userChannel, type UserWork } from "./local_api.ts";

const userId = "22222222-2222-4222-8222-222222222222";
const slice: UserSlice = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  userId,
  publicUrl: "https://agents.test",
  brand: "JumpCloud",
  wanted: true,
  final: false,
  keyAlgorithm: "P-256",
  overlapSeconds: 604800,
  trustAnchors: {
    root: "-----BEGIN CERTIFICATE-----\n",
    intermediate: "-----BEGIN CERTIFICATE-----\n",
  },
  leaves: [],
  clock: { offset: 0, known: true },
};

class RecordingWork implements UserWork {
  current = slice;
  readonly reports: UserAgentReport[] = [];
  readonly watchers = new Set<() => void>();
  requests = 0;
  pending: Promise<void> = Promise.resolve();

  slice(): UserSlice {
    return this.current;
  }
  onChange(callback: () => void): () => void {
    this.watchers.add(callback);
    return () => this.watchers.delete(callback);
  }
  async certificate() {
    this.requests++;
    await this.pending;
    return Promise.reject(new Problem("unreachable", "No answer."));
  }
  report(uid: string, report: UserAgentReport): void {
    if (report.userId !== userId) throw new Problem("server-refused", `Not ${uid}'s own user.`);
    this.reports.push(report);
  }
}

function open(now = () => 0) {
  const work = new RecordingWork();
  const { app, invite } = userChannel(work, "1001", now);
  const ask = (path: string, init?: RequestInit) => Promise.resolve(app.request(path, init));
  const post = (path: string, body: BodyInit) => ask(path, { method: "POST", body });
  return { work, ask, post, invite };
}

const report = { userId, state: "installed", held: [], removed: [] };

Deno.test("the slice has an ETag, and the same one gives 304", async () => {
  const { work, ask } = open();
  const first = await ask("/desired-state");
  const etag = first.headers.get("etag") ?? "";
  assert.deepEqual(await first.json(), slice);
  const again = await ask("/desired-state", { headers: { "if-none-match": etag } });
  assert.equal(again.status, 304);
  work.current = { ...slice, clock: { offset: 5, known: true } };
  const later = await ask("/desired-state", { headers: { "if-none-match": etag } });
  assert.equal(later.status, 304, "the clock moves on without being news");
});

Deno.test("a held question is answered the moment the slice is another", async () => {
  const { work, ask } = open();
  const etag = (await ask("/desired-state")).headers.get("etag") ?? "";
  const held = ask("/desired-state", { headers: { "if-none-match": etag, prefer: "wait=60" } });
  while (work.watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  work.current = { ...slice, wanted: false };
  for (const changed of work.watchers) changed();
  const answer = await held;
  assert.equal((await answer.json()).wanted, false);
  assert.equal(work.watchers.size, 0);
});

Deno.test("a report arrives; a forged, malformed or oversized one does not", async () => {
  const { work, post } = open();
  assert.equal((await post("/reports", JSON.stringify(report))).status, 204);
  const other = { ...report, userId: "33333333-3333-4333-8333-333333333333" };
  assert.equal((await post("/reports", JSON.stringify(other))).status, 409);
  assert.equal((await post("/reports", "{}")).status, 422);
  assert.equal((await post("/reports", "\u0000\u00ff")).status, 422);
  const big = await post("/reports", JSON.stringify({ ...report, pad: "x".repeat(70_000) }));
  assert.equal(big.status, 413);
  assert.equal(work.reports.length, 1);
});

Deno.test("a problem comes with its code and words", async () => {
  const { post } = open();
  const csr = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
  const answer = await post("/certificates", JSON.stringify({ csr }));
  assert.equal(answer.status, 409);
  assert.deepEqual(await answer.json(), { code: "unreachable", message: "No answer." });
});

Deno.test("one request in flight: a second one is refused until the first has ended", async () => {
  const { work, post, ask } = open();
  let release = () => {};
  work.pending = new Promise((resolve) => release = resolve);
  const body = JSON.stringify({ csr: "-----BEGIN CERTIFICATE REQUEST-----\n" });
  const first = post("/certificates", body);
  while (work.requests === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal((await post("/reports", JSON.stringify(report))).status, 429);
  // Only a question can be held: nothing else becomes one by saying so.
  const held = { method: "POST", body, headers: { prefer: "wait=300" } };
  assert.equal((await ask("/certificates", held)).status, 429);
  release();
  assert.equal((await first).status, 409);
  assert.equal((await post("/reports", JSON.stringify(report))).status, 204);
});

Deno.test("10,000 requests: 30 a minute are served", async () => {
  let now = 0;
  const { work, post } = open(() => now);
  const body = JSON.stringify(report);
  const statuses = new Map<number, number>();
  for (let n = 0; n < 10_000; n++) {
    const { status } = await post("/reports", body);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  assert.deepEqual([...statuses], [[204, 30], [429, 9970]]);
  now = 60_000;
  assert.equal((await post("/reports", body)).status, 204);
  assert.equal(work.reports.length, 31);
});

Deno.test("what the user asked for before is not held against the user-agent", async () => {
  const { post, invite } = open();
  const body = JSON.stringify(report);
  for (let n = 0; n < 31; n++) await post("/reports", body);
  assert.equal((await post("/reports", body)).status, 429);
  invite();
  assert.equal((await post("/reports", body)).status, 204);
});

Deno.test("nothing else is answered, on neither channel", async () => {
  const { ask } = open();
  for (const path of ["/", "/unenroll", "/desired-state/../control", "/%2e%2e"]) {
    assert.equal((await ask(path)).status, 404);
  }
  const control = controlChannel({
    unenroll: () => Promise.resolve({ clean: true, left: [] }),
    renew: (username = "everybody") => Promise.resolve([{ username, renewed: true, serial: "aa" }]),
  });
  const renewal = await control.request("/renew", { method: "POST", body: '{"username":"alice"}' });
  assert.deepEqual(await renewal.json(), {
    users: [{ username: "alice", renewed: true, serial: "aa" }],
  });
  const malformed = await control.request("/renew", { method: "POST", body: '{"user":"alice"}' });
  assert.equal(malformed.status, 422);
  assert.equal((await control.request("/unenroll")).status, 404);
  assert.equal((await control.request("/unenroll", { method: "POST" })).status, 200);
});
