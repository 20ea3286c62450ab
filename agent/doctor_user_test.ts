import assert from "node:assert/strict";
import { PROBLEM_CODES } from "../platform/errors.ts";
import { remedy } from "./doctor_check.ts";
import { browserChecks, storeChecks, type UserFacts } from "./doctor_user.ts";
import type { FoundCertificate, FoundStore, UserInspection } from "./user_inspection.ts";

const NOW = Date.parse("2026-06-15T12:00:00Z");
const DAY = 86_400_000;
const PATH = "/home/alice/.pki/nssdb";
const pinned = { root: "10".repeat(32), intermediate: "20".repeat(32) };

function certificate(over: Partial<FoundCertificate>): FoundCertificate {
  return {
    sha256: "30".repeat(32),
    serial: "0a",
    commonName: "JumpCloud Device Trust Certificate - 0badcafe",
    issuerCommonName: "device-trust.intermediate",
    notBefore: NOW - DAY,
    notAfter: NOW + 29 * DAY,
    hasKey: true,
    trusted: false,
    ...over,
  };
}

const leaf = certificate({});
const authorities = [
  certificate({ sha256: pinned.root, issuerCommonName: "root", hasKey: false }),
  certificate({ sha256: pinned.intermediate, issuerCommonName: "root", hasKey: false }),
];

function store(over: Partial<FoundStore> = {}): FoundStore {
  const certificates = [leaf, ...authorities];
  return { path: PATH, usedBy: "the user's browsers", exists: true, certificates, ...over };
}

function facts(over: Partial<UserFacts> = {}, seen: Partial<UserInspection> = {}): UserFacts {
  return {
    username: "alice",
    wanted: true,
    row: {
      state: "installed",
      details: {
        serial: "0a",
        leafName: leaf.commonName,
        held: ["0a"],
        store: { kind: "nssdb", location: PATH },
      },
    },
    inspection: { stores: [store()], browsers: [], unserved: [], ...seen },
    challenges: [],
    ...over,
  };
}

/** The checks of these facts that are not ok: id -> detail and fix. */
function wrong(found: UserFacts): Record<string, string> {
  const checks = [...storeChecks(found, pinned, NOW), ...browserChecks(found)];
  return Object.fromEntries(
    checks.filter(({ ok }) => !ok).map(({ id, detail, fix }) => [id, `${detail} -> ${fix}`]),
  );
}

Deno.test("a user whose leaf is where browsers look has nothing wrong", () => {
  const ids = [...storeChecks(facts(), pinned, NOW), ...browserChecks(facts())];
  assert.deepEqual(ids.map(({ id, ok, fix }) => [id, ok, fix]), [
    ["account:alice", true, ""],
    ["home:alice", true, ""],
    ["state:alice", true, ""],
    ["store:alice", true, ""],
    ["browsers:alice", true, ""],
  ]);
});

Deno.test("what is wrong with the store is said with its remedy", () => {
  const rows: [string, Partial<FoundStore>, RegExp][] = [
    ["absent", { exists: false, certificates: [] }, /is not there -> .*restart device-trust/],
    ["empty", { certificates: authorities }, /has no leaf 0a -> /],
    ["another's", { certificates: [certificate({ issuerCommonName: "Corp" })] }, /has no leaf 0a/],
    ["keyless", { certificates: [certificate({ hasKey: false })] }, /without its key -> /],
    [
      "expired",
      { certificates: [certificate({ notAfter: NOW - 2 * DAY })] },
      /the leaf expired 2 days ago -> device-trust renew/,
    ],
    [
      "too early",
      { certificates: [certificate({ notBefore: NOW + 3 * 3_600_000 })] },
      /is valid only in 3 hours: this clock may be wrong -> /,
    ],
    ["no root", { certificates: [leaf, authorities[1] ?? leaf] }, /lacks the root, so browsers/],
    ["no intermediate", { certificates: [leaf, authorities[0] ?? leaf] }, /lacks the intermediate/],
    [
      "an expired sibling",
      { certificates: [leaf, ...authorities, certificate({ serial: "09", notAfter: NOW - 1 })] },
      /still has 1 expired/,
    ],
    [
      "a password",
      { problem: { code: "store-password", message: "It has a password." }, certificates: [] },
      /It has a password\. -> .*runuser -u alice -- certutil -W -d 'sql:\/home\/alice\/\.pki\/nssdb'/,
    ],
  ];
  for (const [title, over, expected] of rows) {
    const found = wrong(facts({}, { stores: [store(over)] }));
    assert.deepEqual(Object.keys(found), ["store:alice"], title);
    assert.match(found["store:alice"] ?? "", expected, title);
  }
});

Deno.test("every database is checked, and none may trust our authorities", () => {
  const snap = store({ path: "/home/alice/snap/nssdb", usedBy: "the snap chromium" });
  const trusting = certificate({ sha256: pinned.root, commonName: "Root", trusted: true });
  const missing = { ...snap, exists: false, certificates: [] };
  assert.deepEqual(Object.keys(wrong(facts({}, { stores: [store(), missing] }))), [
    "store:alice:the snap chromium",
  ]);
  const found = wrong(
    facts({}, { stores: [store({ certificates: [leaf, trusting, ...authorities] })] }),
  );
  assert.match(found["trust:alice"] ?? "", /certutil -M -d 'sql:[^']+' -n 'Root' -t ,,$/);
});

Deno.test("a user without account, home or anybody to look is told so", () => {
  const account = { code: "no-local-account", message: "No account." } as const;
  assert.deepEqual(wrong(facts({ account })), {
    "account:alice":
      "No account. -> useradd -m alice, or bind the user to another account at the agent server",
  });
  const home = { code: "system-account", message: "It belongs to uid 7." } as const;
  assert.match(
    wrong(facts({}, { home, stores: [] }))["home:alice"] ?? "",
    /^It belongs to uid 7\. -> chown/,
  );
  const inspection = { code: "internal", message: "It did not end in 10 s." } as const;
  assert.match(
    wrong(facts({ inspection }))["home:alice"] ?? "",
    /did not end.* -> .*runuser -u alice/,
  );
});

Deno.test("the state must be what is wanted", () => {
  const row = (state: UserFacts["row"]["state"]) => ({ ...facts().row, state });
  const rows: [UserFacts["row"]["state"], boolean, boolean][] = [
    ["installed", true, true],
    ["renewing", true, true],
    ["absent", true, false],
    ["requesting", true, false],
    ["waiting", true, false],
    ["removed", true, false],
    ["removed", false, true],
    ["absent", false, true],
    ["installed", false, false],
    ["removing", false, false],
  ];
  for (const [state, wanted, ok] of rows) {
    const checks = storeChecks(facts({ row: row(state), wanted }), pinned, NOW);
    assert.equal(checks.find(({ id }) => id === "state:alice")?.ok, ok, `${state} ${wanted}`);
  }
  const error = { code: "disk-full", message: "No room." } as const;
  assert.match(
    wrong(facts({ row: { ...row("failed"), error } }))["state:alice"] ?? "",
    /^failed: No room\. -> Free some space.*df -h '\/home\/alice\/\.pki\/nssdb'/,
  );
});

Deno.test("browsers that run since before the leaf came are named, and nothing is wrong", () => {
  const browsers = [
    { name: "chrome", pid: 7, startedAt: leaf.notBefore },
    { name: "brave", pid: 8, startedAt: leaf.notBefore + 2 * 3_600_000 },
  ];
  const unserved = [{ browser: "Firefox", location: "/home/alice/.mozilla", reason: "its own" }];
  const found = facts({}, { browsers, unserved });
  assert.deepEqual(wrong(found), {});
  const [browser] = browserChecks(found);
  assert.match(
    browser?.detail ?? "",
    /chrome \(7\), brave \(8\); since before the leaf came: chrome \(7\)\./,
  );
  const told = storeChecks(found, pinned, NOW).find(({ id }) => id === "unserved:alice");
  assert.equal(told?.detail, "not served: Firefox (/home/alice/.mozilla): its own");
});

Deno.test("every code has a remedy", () => {
  for (const code of PROBLEM_CODES) {
    assert.doesNotMatch(remedy(code, "x", "y"), /NAME|PATH|^$/, code);
  }
});
