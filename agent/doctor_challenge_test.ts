import assert from "node:assert/strict";
import fc from "fast-check";
import type { ChallengeOutcome } from "./challenge.ts";
import { patternProblem } from "./contract.ts";
import { challengeCheck, challengeTarget } from "./doctor_challenge.ts";

type Answered = Extract<ChallengeOutcome, { answered: true }>;

const LEAF = "a".repeat(64);
const PREVIOUS = "b".repeat(64);
const user = { username: "alice", leaves: [LEAF, PREVIOUS] };

const managed: Answered = {
  answered: true,
  requested: true,
  caNames: ["CN=JumpCloud Production Device Identification Root CA"],
  candidates: [{ sha256: LEAF, issuerCommonName: "device-trust.intermediate" }],
  presented: { sha256: LEAF },
  serverVerified: true,
  protocol: "TLSv1.3",
  status: 200,
  body: JSON.stringify({ managed: true, reason: "ok", message: "Managed.", eventId: "e1" }),
};

function check(outcome: ChallengeOutcome, signedIn = true) {
  const target = { host: "q.challenge.portal.test", port: 443 };
  return challengeCheck(user, { pattern: "https://portal.test", target, signedIn, outcome });
}

function verdict(reason: string): string {
  return JSON.stringify({ managed: false, reason, message: `It is ${reason}.`, eventId: "e7" });
}

Deno.test("a pattern leads to its host and port; a wildcard to a name never met", () => {
  const rows = [
    ["https://portal.test", "portal.test", 443],
    ["https://portal.test:9443", "portal.test", 9443],
    ["https://[*.]challenge.portal.test", "fresh.challenge.portal.test", 443],
    ["https://[*.]challenge.localhost:8443", "fresh.challenge.localhost", 8443],
    ["https://PORTAL.test:443", "portal.test", 443],
  ] as const;
  for (const [pattern, host, port] of rows) {
    assert.deepEqual(challengeTarget(pattern, "fresh"), { host, port }, pattern);
  }
});

Deno.test("every pattern that a desired state may hold leads somewhere", () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
  const host = fc.array(label, { minLength: 3, maxLength: 4 }).map((labels) => labels.join("."));
  const port = fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined });
  fc.assert(fc.property(host, port, fc.boolean(), (host, port, wildcard) => {
    const pattern = `https://${wildcard ? "[*.]" : ""}${host}${
      port === undefined ? "" : `:${port}`
    }`;
    fc.pre(patternProblem(pattern) === undefined);
    const expected = { host: wildcard ? `x.${host}` : host, port: port ?? 443 };
    assert.deepEqual(challengeTarget(pattern, "x"), expected);
  }));
});

Deno.test("a portal that calls the device managed is all well", () => {
  assert.deepEqual(check(managed), {
    id: "challenge:alice:https://portal.test",
    ok: true,
    detail: `q.challenge.portal.test:443 accepted leaf ${LEAF.slice(0, 16)} over TLSv1.3: managed`,
    fix: "",
  });
  assert.equal(check({ ...managed, presented: { sha256: PREVIOUS } }).ok, true, "in the overlap");
});

Deno.test("a portal of another kind is judged by the handshake and its status", () => {
  assert.equal(check({ ...managed, body: "<html>" }).ok, true);
  assert.equal(check({ ...managed, body: "{}", status: 302 }).ok, true);
  assert.equal(check({ ...managed, body: "null", status: 403 }).ok, false);
});

Deno.test("what browsers would do otherwise is noted", () => {
  assert.match(check({ ...managed, caNames: [] }).detail, /without the intermediate/);
  assert.match(check({ ...managed, serverVerified: false }).detail, /the right server/);
});

Deno.test("without the user's name the device alone is judged", () => {
  assert.equal(check({ ...managed, body: verdict("no-user") }, false).ok, true);
  assert.equal(check({ ...managed, body: verdict("no-user") }, true).ok, false);
  assert.equal(check({ ...managed, body: verdict("revoked") }, false).ok, false);
});

Deno.test("each way to fail has its words and its remedy", () => {
  const other = { sha256: "c".repeat(64) };
  const failed = { answered: false, code: "server-refused", message: "Cannot do it." } as const;
  const rows: [string, ChallengeOutcome, RegExp, RegExp][] = [
    [
      "an unmanaged verdict",
      { ...managed, body: verdict("user-mismatch") },
      /calls the device unmanaged \(user-mismatch, event e7\): It is user-mismatch\./,
      /Sign in as the user/,
    ],
    ["a reason of tomorrow", { ...managed, body: verdict("new") }, /\(new, event/, /event id/],
    ["no request", { ...managed, requested: false }, /asked for no certificate/, /Turn on/],
    [
      "no candidate",
      { ...managed, candidates: [], presented: undefined, caNames: ["CN=A", "CN=B"] },
      /nothing of alice's store answers .* which takes: CN=A; CN=B/,
      /must name the pinned root/,
    ],
    [
      "others' candidates",
      {
        ...managed,
        candidates: [{ sha256: other.sha256, issuerCommonName: "Corp CA" }],
        presented: undefined,
        caNames: [],
      },
      /\(any authority\), alice's store has only .* \(Corp CA\): the browser would ask/,
      /must name the pinned root/,
    ],
    ["another leaf", { ...managed, presented: other }, /another certificate/, /certutil -D/],
    ["no connection", { ...failed, stage: "connect" }, /Cannot do it/, /curl -v https:\/\/q\./],
    ["no trust", { ...failed, stage: "server" }, /Cannot do it/, /Browsers will warn/],
    [
      "refused",
      { ...failed, stage: "handshake", presented: { sha256: LEAF } },
      new RegExp(`Cannot do it\\. It was shown leaf ${LEAF.slice(0, 16)}\\.`),
      /TLS log/,
    ],
    ["no answer", { ...failed, stage: "answer" }, /^Cannot do it\.$/, /TLS log/],
    ["no database", failed, /^Cannot do it\.$/, /Repair the database/],
  ];
  for (const [title, outcome, detail, fix] of rows) {
    const result = check(outcome);
    assert.equal(result.ok, false, title);
    assert.match(result.detail, detail, title);
    assert.match(result.fix, fix, title);
  }
});

Deno.test("whatever a portal answers, there is a check that says something", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), fc.nat(599), (body, status) => {
    const { ok, detail, fix } = check({ ...managed, body, status });
    assert.notEqual(detail, "");
    assert.equal(fix === "", ok);
  }));
});
