import assert from "node:assert/strict";
import fc from "fast-check";
import { Problem } from "../platform/errors.ts";
import { DesiredState, patternProblem } from "./contract.ts";
import { isSettled, parseDesiredState, sliceFor, withIssuedLeaf } from "./desired.ts";
import { anchorsDigest, selectionDigest, type UserSlice } from "./local_contract.ts";
import type { UserRow } from "./state.ts";

const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
const pinned = { root: pem("root"), intermediate: pem("intermediate") };
const alice = "22222222-2222-4222-8222-222222222222";
const bob = "33333333-3333-4333-8333-333333333333";

function desired(changes: Partial<DesiredState> = {}): DesiredState {
  return {
    brand: "JumpCloud",
    distribution: { enabled: true },
    certificate: { keyAlgorithm: "P-256", overlapSeconds: 604800 },
    selection: { patterns: ["https://localhost:8443"] },
    macosApplications: [],
    trustAnchors: pinned,
    users: [{ userId: alice, username: "alice", email: "alice@example.com", leaves: [] }],
    ...changes,
  };
}

const context = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  publicUrl: "https://agents.test",
  leaving: false,
  clock: { offset: 0, known: true },
  renewNow: false,
  formerAnchors: [],
  ownFilters: false,
};

const window = { start: "2026-06-15T00:00:00Z", end: "2026-06-17T00:00:00Z" };

function row(changes: Partial<UserRow> = {}): UserRow {
  return {
    userId: alice,
    username: "alice",
    state: "installed",
    details: { held: ["aa"] },
    attempts: 0,
    unreported: false,
    removed: [],
    ...changes,
  };
}

Deno.test("a desired state is accepted as sent", () => {
  assert.deepEqual(parseDesiredState(desired()), desired());
});

const refused: [string, unknown, RegExp][] = [
  [
    "one bad pattern among good ones",
    desired({ selection: { patterns: ["https://a.test", "https://*"] } }),
    /patterns/,
  ],
  [
    "101 patterns",
    desired({ selection: { patterns: Array(101).fill("https://a.test") } }),
    /patterns/,
  ],
  ["a user twice", desired({ users: [...desired().users, ...desired().users] }), /twice/],
  [
    "an id that is a path",
    desired({ users: [{ userId: "../../etc", username: "a", email: "", leaves: [] }] }),
    /userId/,
  ],
  [
    "an account name with a slash",
    desired({ users: [{ userId: bob, username: "../root", email: "", leaves: [] }] }),
    /username/,
  ],
  ["a brand that is a path", desired({ brand: "../x" }), /brand/],
  ["no body at all", null, /refused/],
];

for (const [what, state, why] of refused) {
  Deno.test(`a desired state with ${what} is refused as a whole`, () => {
    assert.throws(
      () => parseDesiredState(state),
      (error) =>
        error instanceof Problem && error.code === "bundle-rejected" && why.test(error.message),
    );
  });
}

Deno.test("anything at all is accepted as a desired state or refused by a Problem", () => {
  fc.assert(fc.property(fc.jsonValue(), (json) => {
    assert.throws(() => parseDesiredState(json), Problem);
  }));
});

for (
  const [pattern, good] of [
    ["https://localhost", true],
    ["https://localhost:8443", true],
    ["https://portal.example.com:443", true],
    ["https://[*.]example.com", true],
    ["https://[*.]challenge.localhost:9443", true],
    ["https://192.0.2.7:8443", true],
    ["http://portal.example.com", false],
    ["https://[*.]com", false],
    ["https://[*.]co.uk", false],
    ["https://[*.]github.io", false],
    ["https://*", false],
    ["https://*.example.com", false],
    ["https://a.test/path", false],
    ["https://a.test:0", false],
    ["https://a.test:65536", false],
    ["https://user@a.test", false],
    ["https://a..test", false],
    ["https://-a.test", false],
    ['https://a.test"', false],
    [`https://${"a.".repeat(130)}test`, false],
    ["", false],
  ] as const
) {
  Deno.test(`'${pattern.slice(0, 40)}' is ${good ? "" : "not "}a selection pattern`, () => {
    assert.equal(patternProblem(pattern) === undefined, good);
  });
}

Deno.test("OFF, unmanaged and leaving all want nothing; the last two want no trace", () => {
  const off = sliceFor(desired({ distribution: { enabled: false } }), alice, context);
  assert.deepEqual([off.wanted, off.final, off.leaves], [false, false, []]);
  const unmanaged = sliceFor(desired(), bob, context);
  assert.deepEqual([unmanaged.wanted, unmanaged.final], [false, true]);
  const leaving = sliceFor(desired(), alice, { ...context, leaving: true });
  assert.deepEqual([leaving.wanted, leaving.final], [false, true]);
});

Deno.test("a user is settled when the store holds the current leaf, and none that is not listed", () => {
  const listed = (...serials: string[]) =>
    sliceFor(
      desired({
        users: [{
          userId: alice,
          username: "alice",
          email: "",
          leaves: serials.map((serial, at) => ({
            serial,
            status: at === 0 ? "current" as const : "overlap" as const,
          })),
        }],
      }),
      alice,
      context,
    );
  const both = row({ details: { held: ["aa", "bb"] } });
  assert.equal(isSettled(listed("aa"), row()), true);
  assert.equal(isSettled(listed("bb"), row()), false);
  assert.equal(isSettled(listed("bb", "aa"), row()), false);
  assert.equal(isSettled(listed("aa", "bb"), both), true);
  assert.equal(isSettled(listed("aa"), both), false);
  assert.equal(isSettled(listed("aa", "bb"), row()), true, "an elder that is lost is lost");
  assert.equal(isSettled(listed(), row()), false);
  assert.equal(isSettled(listed("aa"), row({ state: "failed" })), false);
  assert.equal(isSettled(listed("aa"), undefined), false);
  const holding = (anchors: string) => row({ details: { held: ["aa"], anchors } });
  assert.equal(isSettled(listed("aa"), holding(anchorsDigest(pinned))), true);
  assert.equal(isSettled(listed("aa"), holding("of an earlier generation")), false);
});

Deno.test("a user is not settled while the window was moved, or the leaf is to be renewed now", () => {
  const slice = (changes: Partial<UserSlice>): UserSlice => ({
    ...sliceFor(desired(), alice, context),
    leaves: [{ serial: "aa", status: "current" }],
    ...changes,
  });
  const planned = row({ details: { held: ["aa"], renewal: window } });
  const moved = { ...window, end: "2026-06-18T00:00:00Z" };
  assert.equal(isSettled(slice({ renewal: window }), planned), true);
  assert.equal(isSettled(slice({ renewal: window }), row()), false);
  assert.equal(isSettled(slice({ renewal: moved }), planned), false);
  assert.equal(isSettled(slice({ renewal: window, renewNow: true }), planned), false);
  assert.equal(isSettled(slice({}), row({ state: "renewing" })), false);
});

Deno.test("where filters are users' own, a user is settled once the browsers were told the same", () => {
  const own = { ...context, ownFilters: true };
  assert.equal(sliceFor(desired(), alice, context).selection, undefined);
  const slice = {
    ...sliceFor(desired(), alice, own),
    leaves: [{ serial: "aa", status: "current" as const }],
  };
  const { selection } = slice;
  assert.ok(selection);
  const told = (digest: string) => row({ details: { held: ["aa"], selection: digest } });
  assert.equal(isSettled(slice, told(selectionDigest(selection))), true);
  assert.equal(isSettled(slice, row()), false);
  const other = { ...selection, macosApplications: ["/Applications/VPN.app"] };
  assert.equal(isSettled(slice, told(selectionDigest(other))), false);
});

Deno.test("an issued leaf is current at once, and its predecessor overlaps", () => {
  const later = { start: "2026-06-29T00:00:00Z", end: "2026-07-01T00:00:00Z" };
  const first = withIssuedLeaf(desired(), alice, { serial: "aa", renewal: window });
  const second = withIssuedLeaf(first, alice, { serial: "bb", renewal: later });
  assert.deepEqual(second.users[0]?.leaves, [
    { serial: "bb", status: "current" },
    { serial: "aa", status: "overlap" },
  ]);
  assert.deepEqual(second.users[0]?.renewal, later);
  const again = withIssuedLeaf(second, alice, { serial: "aa", renewal: window });
  assert.deepEqual(again, second);
});
