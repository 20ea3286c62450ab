/** The status as people read it. */
import assert from "node:assert/strict";
import type { StatusNotes, StatusReport, UserStatus } from "./status.ts";
import { statusText, type StatusView } from "./status_text.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const view: StatusView = { now: NOW, color: false, command: "device-trust" };

const alice: UserStatus = {
  userId: "22222222-2222-4222-8222-222222222222",
  username: "alice",
  state: "installed",
  serial: "0a",
  leafName: "JumpCloud Device Trust Certificate - 0123abcd",
  notAfter: "2026-12-21T12:00:00Z",
  renewAt: "2026-12-08T12:00:00Z",
  store: { kind: "nssdb", location: "/home/alice/.pki/nssdb" },
  filters: [
    { browser: "chrome", location: "/etc/opt/chrome/policies/managed/X.json", state: "ok" },
    { browser: "chromium", location: "/etc/chromium/policies/managed/X.json", state: "shadowed" },
  ],
  lastError: null,
};

const bob: UserStatus = {
  ...alice,
  username: "bob-the-builder",
  state: "waiting",
  serial: null,
  leafName: null,
  notAfter: null,
  renewAt: null,
  store: { kind: "nssdb", location: "/home/bob/.pki/nssdb" },
  lastError: { code: "store-locked", message: "The database is locked." },
};

function report(users: UserStatus[], notes: Partial<StatusNotes> = {}): StatusReport {
  return {
    status: {
      device: {
        id: "11111111-1111-4111-8111-111111111111",
        server: "https://agents.test",
        enrolled: true,
      },
      distribution: { enabled: true, version: '"1"', lastSync: "2026-11-25T11:57:00Z" },
      users,
      agent: { running: true, pid: 7, version: "1.2.3" },
    },
    notes: { clockOffset: 0, events: new Map(), isOwnPart: false, ...notes },
  };
}

function lines(users: UserStatus[], notes: Partial<StatusNotes> = {}): string[] {
  return statusText(report(users, notes), view).split("\n");
}

Deno.test("labels and columns are aligned, and a user's line has state, leaf and its instants", () => {
  const text = lines([alice, bob]);
  assert.deepEqual(text.slice(0, 2), [
    "device        11111111-1111-4111-8111-111111111111 at https://agents.test",
    "agent         running (pid 7), version 1.2.3",
  ]);
  assert.match(text[2] ?? "", /^distribution {2}ON; last heard 3 minutes ago \(25 Nov 2026 /);
  const people = text.slice(text.indexOf("") + 1);
  const columns = ["USER", "STATE", "LEAF", "EXPIRES", "RENEWAL"]
    .map((column) => people[0]?.indexOf(column));
  const line = people.find((line) => line.startsWith("alice")) ?? "";
  assert.deepEqual(
    ["alice", "installed", "JumpCloud", "in 26 days (21 Dec 2026)", "in 13 days (8 Dec 2026)"]
      .map((cell) => line.indexOf(cell)),
    columns,
  );
  assert.ok(text.every((line) => line === line.trimEnd()));
});

Deno.test("each trouble is said with its event and what to do about it", () => {
  const events = new Map([["The database is locked.", 42], ["No answer.", 43]]);
  const text = lines([alice, bob], {
    events,
    problem: { code: "unreachable", message: "No answer." },
  }).join("\n");
  assert.match(
    text,
    /^problem {7}No answer\. \(event 43\)\n +-> See the check 'server' of doctor/m,
  );
  assert.match(
    text,
    /\n +store-locked: The database is locked\. \(event 42\)\n +-> .*fuser -v '\/home\/bob\/\.pki/,
  );
  assert.match(text, /^filters {7}chrome {4}ok {8}\/etc\/opt\/chrome/m);
  assert.match(text, /^ {14}chromium {2}shadowed {2}\/etc\/chromium.*\n +-> device-trust doctor/m);
});

Deno.test("a clock that differs is named with amount, direction and remedy", () => {
  const clock = (notes: Partial<StatusNotes>) =>
    lines([alice], notes).join("\n").match(/^clock.*\n.*/m)?.[0];
  assert.equal(clock({ clockOffset: 60_000 }), undefined);
  assert.match(
    clock({ clockOffset: 7_200_000 }) ?? "",
    /is 2 hours behind the agent server's\n +-> timedatectl set-ntp true$/,
  );
  assert.match(clock({ clockOffset: -86_400_000 * 400 }) ?? "", /400 days ahead of the agent/);
});

Deno.test("a leaf's instants are told by the server's time", () => {
  const line = lines([alice], { clockOffset: 10 * 86_400_000 })
    .find((line) => line.startsWith("alice"));
  assert.match(line ?? "", /in 16 days \(21 Dec 2026\) {2}in 3 days \(8 Dec 2026\)$/);
});

Deno.test("a clock that was set back is named before the server is heard again", () => {
  const { status, notes } = report([alice]);
  const text = statusText({ status, notes }, { ...view, now: NOW - 86_400_000 });
  assert.match(text, /^clock {9}this computer's clock was set back/m);
});

Deno.test("colour is for terminals, and what others wrote cannot bring any", () => {
  const evil = { ...bob, username: "b\x1b[31mob", lastError: null, leafName: "x\ny\x9b2J\u202e" };
  const plain = statusText(report([evil]), view);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(plain, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  const colored = statusText(report([evil]), { ...view, color: true });
  assert.ok(colored.includes("\x1b[33mwaiting\x1b[0m"));
  // deno-lint-ignore no-control-regex
  assert.equal(colored.replace(/\x1b\[(2|31|32|33|0)m/g, ""), plain, "aligned all the same");
});

Deno.test("who may see the own line alone is told so, and no more is claimed", () => {
  const text = lines([alice], { isOwnPart: true }).join("\n");
  assert.match(text, /^agent {9}version 1\.2\.3; whether it runs: sudo device-trust status$/m);
  assert.doesNotMatch(text, /not running|never heard/);
});
