import assert from "node:assert/strict";
import { doctorChecks, doctorExitCode, type DoctorFacts, doctorText } from "./doctor.ts";

const NOW = Date.parse("2026-06-15T12:00:00Z");
const MINUTE = 60_000;

const device = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  server: "https://agents.test",
  cloned: false,
  leaving: false,
  key: "ok" as const,
  pinned: {},
};

const user = {
  username: "alice",
  wanted: true,
  row: { state: "installed" as const, details: {} },
  account: { code: "no-local-account" as const, message: "No account." },
  inspection: { code: "internal" as const, message: "nobody looked" },
  challenges: [],
};

function facts(over: Partial<DoctorFacts> = {}): DoctorFacts {
  return {
    now: NOW,
    command: "device-trust",
    privileged: true,
    device,
    agent: { running: true, pid: 7 },
    server: {
      url: "https://agents.test",
      health: { status: 200, skew: 400 },
      signed: { status: 200 },
    },
    sync: { lastSync: NOW - 2 * MINUTE },
    desired: { enabled: false },
    filters: [],
    users: [],
    ...over,
  };
}

/** What is wrong with these facts: id -> detail and fix. */
function wrong(over: Partial<DoctorFacts>): Record<string, string> {
  const checks = doctorChecks(facts(over)).filter(({ ok }) => !ok);
  return Object.fromEntries(checks.map(({ id, detail, fix }) => [id, `${detail} -> ${fix}`]));
}

Deno.test("the links are checked from the server to the browser", () => {
  const checks = doctorChecks(facts());
  assert.deepEqual(checks.map(({ id }) => id), [
    "enrolled",
    "device-key",
    "agent",
    "server",
    "clock",
    "accepted",
    "desired-state",
    "distribution",
    "library",
  ]);
  assert.ok(checks.every(({ ok, fix }) => ok && fix === ""));
  assert.equal(doctorExitCode(checks), 0);
  assert.match(doctorText(checks), /\nAll links hold\.\n$/);
});

Deno.test("a device that is not enrolled is that first, whatever else is wrong", () => {
  const rows: [string, Partial<DoctorFacts>, RegExp][] = [
    ["never", { device: undefined }, /not enrolled -> device-trust enroll --server URL/],
    [
      "no rights",
      { device: undefined, privileged: false },
      /-> Look as root: sudo device-trust doctor/,
    ],
    [
      "a clone",
      { device: { ...device, cloned: true } },
      /cloned image.* --server https:\/\/agents\.test/,
    ],
    [
      "half",
      { device: { server: "https://agents.test", cloned: false, leaving: false, pinned: {} } },
      /began and was not finished -> /,
    ],
  ];
  for (const [title, over, expected] of rows) {
    const checks = doctorChecks(facts({ ...over, agent: { running: false } }));
    assert.equal(doctorExitCode(checks), 3, title);
    assert.deepEqual(checks.map(({ id }) => id), ["enrolled", "library"], title);
    assert.match(`${checks[0]?.detail} -> ${checks[0]?.fix}`, expected, title);
  }
});

Deno.test("each link of the device fails by itself, with its words and its remedy", () => {
  const url = "https://agents.test";
  const trouble = { code: "unreachable", message: "Cannot reach it." } as const;
  const rows: [string, Partial<DoctorFacts>, string, RegExp][] = [
    ["config", { config: "Cannot use 'x'." }, "config", /^Cannot use 'x'\. -> /],
    ["leaving", { device: { ...device, leaving: true } }, "leaving", /is leaving.* -> /],
    [
      "no key",
      { device: { ...device, key: "missing" } },
      "device-key",
      /missing -> device-trust enroll --server/,
    ],
    [
      "bad key",
      { device: { ...device, key: { code: "internal", message: "Not a key." } } },
      "device-key",
      /^Not a key\. -> device-trust enroll --server/,
    ],
    ["no agent", { agent: { running: false } }, "agent", /systemctl enable --now device-trust/],
    [
      "no agent under a root",
      { agent: { running: false }, command: "device-trust --root /r" },
      "agent",
      / -> device-trust --root \/r agent$/,
    ],
    [
      "unreachable",
      { server: { url, health: trouble } },
      "server",
      /curl -v https:\/\/agents\.test\//,
    ],
    ["a proxy", { server: { url, health: { status: 407 } } }, "server", /answered 407 -> .*curl/],
    [
      "a slow clock",
      { server: { url, health: { status: 200, skew: 61_000 } } },
      "clock",
      /^this computer's clock is 61 seconds behind the agent server's -> timedatectl set-ntp true/,
    ],
    [
      "a fast clock",
      { server: { url, health: { status: 200, skew: -90 * 86_400_000 } } },
      "clock",
      /clock is 90 days ahead of the agent server's -> timedatectl/,
    ],
    [
      "a clock that TLS does not take",
      { server: { url, health: { code: "clock", message: "Set the clock." } } },
      "server",
      /^Set the clock\. -> timedatectl set-ntp true/,
    ],
    [
      "deleted",
      {
        server: {
          url,
          health: { status: 200 },
          signed: { status: 410, problemType: "urn:device-trust:device-deleted" },
        },
      },
      "accepted",
      /410 device-deleted -> .*unenroll/,
    ],
    [
      "refused",
      { server: { url, health: { status: 200 }, signed: { status: 500 } } },
      "accepted",
      /refuses this device: 500 -> .*events/,
    ],
    [
      "cut off",
      { server: { url, health: { status: 200 }, signed: trouble } },
      "accepted",
      /^Cannot reach it\. -> /,
    ],
    ["never heard", { sync: {} }, "desired-state", /never heard -> journalctl/],
    [
      "stale",
      { sync: { lastSync: NOW - 16 * MINUTE } },
      "desired-state",
      /heard 16 minutes ago -> /,
    ],
    [
      "refused state",
      { sync: { lastSync: NOW, error: { code: "bundle-rejected", message: "Bad pattern." } } },
      "desired-state",
      /^Bad pattern\. -> .*cannot be believed/,
    ],
    ["library", { library: "it is missing" }, "library", /-> apt-get install libnss3/],
    ["nobody", { desired: { enabled: true } }, "users", /no user is bound/],
    ["a user", { users: [user] }, "account:alice", /^No account\. -> useradd -m alice/],
  ];
  for (const [title, over, id, expected] of rows) {
    const found = wrong(over);
    assert.deepEqual(Object.keys(found), [id], title);
    assert.match(found[id] ?? "", expected, title);
    assert.equal(doctorExitCode(doctorChecks(facts(over))), 4, title);
  }
});

Deno.test("an agent that does not run is why nothing was heard", () => {
  const over = { agent: { running: false }, sync: { lastSync: NOW - 86_400_000 } };
  assert.match(wrong(over)["desired-state"] ?? "", /24 hours ago -> Start the agent/);
});

Deno.test("each browser's filter is told, with the lines that an administrator has to add", () => {
  const location = "/etc/opt/chrome/policies/managed/JumpCloudCertificateAutoselect.json";
  const filters = [
    { browser: "chrome", location, state: "ok" as const },
    { browser: "chromium", location, state: "shadowed" as const, hint: "add to its list: X" },
    { browser: "chromium", location, state: "missing" as const, hint: "it is not there" },
  ];
  const found = wrong({ filters });
  assert.match(found["filter:chromium"] ?? "", /^shadowed: .* -> add to its list: X$/);
  assert.match(
    found["filter:chromium:2"] ?? "",
    /^missing: .* -> it is not there\. The agent repairs/,
  );
  assert.equal(Object.keys(found).length, 2);
});

Deno.test("without root's rights only what was seen is judged, and that is said", () => {
  const { agent: _agent, sync: _sync, desired: _desired, server: _server, ...seen } = facts({
    privileged: false,
    device: { ...device, key: undefined },
  });
  const checks = doctorChecks(seen);
  assert.deepEqual(checks.map(({ id }) => id), ["enrolled", "library", "view"]);
  assert.match(checks.at(-1)?.detail ?? "", /sudo device-trust doctor$/);
  assert.equal(doctorExitCode(checks), 0);
});

Deno.test("text says the same as JSON, remedies below what they are for", () => {
  const text = doctorText(doctorChecks(facts({ agent: { running: false } })));
  assert.match(text, /^ok {4}enrolled: as 1111/);
  assert.match(text, /\nFAIL {2}agent: the agent does not run[^\n]*\n {6}-> systemctl enable/);
  assert.match(text, /\n1 of 9 need attention\.\n$/);
});

Deno.test("filters in a user's own settings are told with whose they are", () => {
  const filters = [
    { browser: "chrome", location: "/p.plist", state: "ok" as const },
    {
      browser: "safari",
      location: "keychain",
      state: "managed-elsewhere" as const,
      hint: "Do so.",
    },
  ];
  const users = [{ ...user, row: { ...user.row, details: { filters } } }];
  const checks = doctorChecks(facts({ users })).filter(({ id }) => id.startsWith("filter:"));
  assert.deepEqual(checks.map(({ id, ok, fix }) => [id, ok, fix]), [
    ["filter:chrome:alice", true, ""],
    ["filter:safari:alice", false, "Do so."],
  ]);
});

Deno.test("where only a browser can present the leaf, no challenge is made, and that is said", () => {
  const inspection = { stores: [], browsers: [], unserved: [] };
  const seen = (kind: string) => {
    const row = { ...user.row, details: { store: { kind, location: "here" } } };
    return doctorChecks(facts({ users: [{ ...user, row, inspection }] }))
      .filter(({ id }) => id.startsWith("challenge:"));
  };
  const [check, ...more] = seen("keychain");
  assert.deepEqual([check?.id, check?.ok, more], ["challenge:alice", true, []]);
  assert.match(check?.detail ?? "", /Open the portal's page/);
  assert.deepEqual(seen("nssdb"), []);
});
