import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Action,
  type ActualLeaf,
  type ActualStore,
  type DesiredStore,
  reconcile,
} from "./reconcile.ts";

const NOW = Date.parse("2026-06-01T00:00:00Z");
const DAY = 86_400_000;
const known = { now: NOW, known: true };
const unknown = { now: NOW, known: false };
const anchors = { root: "r".repeat(64), intermediate: "i".repeat(64) };

function leaf(serial: string, options: Partial<ActualLeaf> = {}): ActualLeaf {
  return {
    sha256: `sha-${serial}`,
    serial,
    spkiSha256: `key-${serial}`,
    notAfter: NOW + 10 * DAY,
    hasKey: true,
    chain: [anchors.intermediate, anchors.root],
    ...options,
  };
}

/** The authorities of a generation before the pinned one. */
const elders = { root: "R".repeat(64), intermediate: "I".repeat(64) };
const elderChain = [elders.intermediate, elders.root];

/** A store that also holds the authorities of the generation before. */
function storeOfTwo(leaves: ActualLeaf[]): ActualStore {
  const { authorities, present, ...rest } = store(leaves);
  return {
    ...rest,
    authorities: [
      ...authorities,
      { role: "root", sha256: elders.root },
      { role: "intermediate", sha256: elders.intermediate },
    ],
    present: new Set([...present, ...elderChain]),
  };
}

function store(leaves: ActualLeaf[], options: Partial<ActualStore> = {}): ActualStore {
  return {
    leaves,
    keys: leaves.filter((leaf) => leaf.hasKey).map((leaf) => leaf.spkiSha256),
    authorities: [
      { role: "root", sha256: anchors.root },
      { role: "intermediate", sha256: anchors.intermediate },
    ],
    present: new Set([anchors.root, anchors.intermediate]),
    ...options,
  };
}

const empty: ActualStore = { leaves: [], keys: [], authorities: [], present: new Set() };
const off: DesiredStore = { leaves: [], anchors: null };
const on = (...leaves: DesiredStore["leaves"]): DesiredStore => ({ leaves, anchors });
const renewed = (renewAt: number, ...leaves: DesiredStore["leaves"]): DesiredStore => ({
  ...on(...leaves),
  renewAt,
});
const current = (serial: string) => ({ serial, status: "current" as const });
const overlap = (serial: string) => ({ serial, status: "overlap" as const });

const worlds: [string, DesiredStore, ActualStore, typeof known, Action[]][] = [
  ["does nothing when nothing is wanted and nothing is there", off, empty, known, []],
  [
    "asks for a first leaf before it touches anything, then installs the anchors and the leaf",
    on(),
    empty,
    known,
    [
      { do: "request-leaf" },
      { do: "install-authority", role: "root" },
      { do: "install-authority", role: "intermediate" },
      { do: "install-leaf" },
    ],
  ],
  [
    "does nothing when the current leaf is there with its key",
    on(current("a")),
    store([leaf("a")]),
    known,
    [],
  ],
  [
    "keeps the previous leaf within its overlap",
    on(current("b"), overlap("a")),
    store([leaf("a"), leaf("b")]),
    known,
    [],
  ],
  [
    "removes a leaf and its key once the server lists it no more",
    on(current("b")),
    store([leaf("a"), leaf("b")]),
    known,
    [{ do: "remove-leaf", sha256: "sha-a" }, { do: "remove-key", spkiSha256: "key-a" }],
  ],
  [
    "asks for a new leaf before it removes an expired only one",
    on(current("a")),
    store([leaf("a", { notAfter: NOW })]),
    known,
    [
      { do: "request-leaf" },
      { do: "install-leaf" },
      { do: "remove-leaf", sha256: "sha-a" },
      { do: "remove-key", spkiSha256: "key-a" },
    ],
  ],
  [
    "judges no date before the server has told the time",
    on(current("a")),
    store([leaf("a", { notAfter: NOW - 999 * DAY })]),
    unknown,
    [],
  ],
  [
    "asks again with the key of a request whose answer was lost",
    on(),
    store([], { keys: ["key-x"] }),
    known,
    [{ do: "request-leaf", key: "key-x" }, { do: "install-leaf" }],
  ],
  [
    "uses one such key and removes the others",
    on(),
    store([], { keys: ["key-x", "key-y"] }),
    known,
    [{ do: "request-leaf", key: "key-x" }, { do: "install-leaf" }, {
      do: "remove-key",
      spkiSha256: "key-y",
    }],
  ],
  [
    "asks with the old key when only the certificate was deleted by hand",
    on(current("a")),
    store([], { keys: ["key-a"] }),
    known,
    [{ do: "request-leaf", key: "key-a" }, { do: "install-leaf" }],
  ],
  [
    "asks with a new key when the key was deleted by hand",
    on(current("a")),
    store([leaf("a", { hasKey: false })], { keys: [] }),
    known,
    [{ do: "request-leaf" }, { do: "install-leaf" }, { do: "remove-leaf", sha256: "sha-a" }],
  ],
  [
    "removes a leftover key when the current leaf is there",
    on(current("a")),
    store([leaf("a")], { keys: ["key-a", "key-old"] }),
    known,
    [{ do: "remove-key", spkiSha256: "key-old" }],
  ],
  [
    "puts back an anchor that somebody deleted",
    on(current("a")),
    store([leaf("a")], {
      authorities: [{ role: "root", sha256: anchors.root }],
      present: new Set([anchors.root]),
    }),
    known,
    [{ do: "install-authority", role: "intermediate" }],
  ],
  [
    "replaces a leaf that the server revoked, the new one first",
    on(),
    store([leaf("a")]),
    known,
    [
      { do: "request-leaf" },
      { do: "install-leaf" },
      { do: "remove-leaf", sha256: "sha-a" },
      { do: "remove-key", spkiSha256: "key-a" },
    ],
  ],
  [
    "removes leaves, then keys, then authorities when distribution is off",
    off,
    store([leaf("a"), leaf("b")], { keys: ["key-a", "key-b", "key-x"] }),
    unknown,
    [
      { do: "remove-leaf", sha256: "sha-a" },
      { do: "remove-leaf", sha256: "sha-b" },
      { do: "remove-key", spkiSha256: "key-a" },
      { do: "remove-key", spkiSha256: "key-b" },
      { do: "remove-key", spkiSha256: "key-x" },
      { do: "remove-authority", role: "root", sha256: anchors.root },
      { do: "remove-authority", role: "intermediate", sha256: anchors.intermediate },
    ],
  ],
  [
    "renews the current leaf when its instant has come, signed by its key, and keeps it",
    renewed(NOW, current("a")),
    store([leaf("a")]),
    known,
    [{ do: "request-leaf", signer: "sha-a" }, { do: "install-leaf" }],
  ],
  [
    "does not renew a moment early",
    renewed(NOW + 1, current("a")),
    store([leaf("a")]),
    known,
    [],
  ],
  [
    "does not renew before the server has told the time",
    renewed(0, current("a")),
    store([leaf("a")]),
    unknown,
    [],
  ],
  [
    "renews again with the key of a renewal whose answer was lost",
    renewed(NOW, current("a")),
    store([leaf("a")], { keys: ["key-a", "key-x"] }),
    known,
    [{ do: "request-leaf", key: "key-x", signer: "sha-a" }, { do: "install-leaf" }],
  ],
  [
    "ends the elder's overlap before a third leaf comes in",
    renewed(NOW, current("b"), overlap("a")),
    store([leaf("a"), leaf("b")]),
    known,
    [
      { do: "request-leaf", signer: "sha-b" },
      { do: "remove-leaf", sha256: "sha-a" },
      { do: "install-leaf" },
      { do: "remove-key", spkiSha256: "key-a" },
    ],
  ],
  [
    "has the elder sign when the current leaf was deleted by hand",
    on(current("b"), overlap("a")),
    store([leaf("a")]),
    known,
    [{ do: "request-leaf", signer: "sha-a" }, { do: "install-leaf" }],
  ],
  [
    "keeps the authorities of an earlier generation while a leaf hangs on them",
    on(current("b"), overlap("a")),
    storeOfTwo([leaf("a", { chain: elderChain }), leaf("b")]),
    known,
    [],
  ],
  [
    "removes the authorities of an earlier generation with their last leaf",
    on(current("b")),
    storeOfTwo([leaf("a", { chain: elderChain }), leaf("b")]),
    known,
    [
      { do: "remove-leaf", sha256: "sha-a" },
      { do: "remove-key", spkiSha256: "key-a" },
      { do: "remove-authority", role: "root", sha256: elders.root },
      { do: "remove-authority", role: "intermediate", sha256: elders.intermediate },
    ],
  ],
  [
    "installs a new generation's authorities beside those that the current leaf hangs on",
    on(current("a")),
    {
      ...store([leaf("a", { chain: elderChain })]),
      authorities: [
        { role: "root", sha256: elders.root },
        { role: "intermediate", sha256: elders.intermediate },
      ],
      present: new Set(elderChain),
    },
    known,
    [
      { do: "install-authority", role: "root" },
      { do: "install-authority", role: "intermediate" },
    ],
  ],
  [
    "leaves an anchor alone that somebody else had put there",
    off,
    { ...empty, present: new Set([anchors.root]) },
    known,
    [],
  ],
];

for (const [name, desired, actual, time, actions] of worlds) {
  Deno.test(`reconcile ${name}`, () => {
    assert.deepEqual(reconcile(desired, actual, time), actions);
  });
}

Deno.test("reconcile makes room before a successor comes: there are never three leaves", () => {
  fc.assert(fc.property(anyDesired, anyStore, anyTime, (desired, actual, time) => {
    fc.pre(actual.leaves.length <= 2);
    const actions = reconcile(desired, actual, time);
    for (let step = 1; step <= actions.length; step++) {
      const [, next] = done(desired, actual, actions.slice(0, step));
      assert.ok(next.leaves.length <= 2);
    }
  }));
});

Deno.test("reconcile keeps one leaf until its successor is in", () => {
  fc.assert(fc.property(anyDesired, anyStore, anyTime, (desired, actual, time) => {
    fc.pre(desired.anchors !== null && actual.leaves.length > 0);
    const actions = reconcile(desired, actual, time);
    for (let step = 1; step <= actions.length; step++) {
      const [, next] = done(desired, actual, actions.slice(0, step));
      assert.ok(next.leaves.length > 0);
    }
  }));
});

const serial = fc.constantFrom("a", "b", "c");
const anyLeaf = fc.record({
  serial,
  notAfter: fc.integer({ min: NOW - 2 * DAY, max: NOW + 2 * DAY }),
  hasKey: fc.boolean(),
  chain: fc.constantFrom(elderChain, [anchors.intermediate, anchors.root]),
}).map((options) => leaf(options.serial, options));
const anyStore = fc.record({
  leaves: fc.uniqueArray(anyLeaf, { selector: (leaf) => leaf.sha256, maxLength: 3 }),
  strays: fc.uniqueArray(fc.constantFrom("key-x", "key-y"), { maxLength: 2 }),
  ours: fc.boolean(),
  theirs: fc.boolean(),
  two: fc.boolean(),
}).map(({ leaves, strays, ours, theirs, two }) => {
  const base = two ? storeOfTwo(leaves) : store(leaves);
  return {
    ...base,
    keys: [...base.keys, ...strays],
    authorities: ours ? base.authorities : [],
    present: ours || theirs ? base.present : new Set<string>(),
  };
});
const anyDesired = fc.oneof(
  fc.constant(off),
  fc.uniqueArray(
    fc.record({ serial, status: fc.constantFrom("current" as const, "overlap" as const) }),
    { selector: (leaf) => leaf.serial, maxLength: 3 },
  ).map((leaves) => on(...leaves)),
);
const anyTime = fc.boolean().map((isKnown) => ({ now: NOW, known: isKnown }));

/** What a store holds after the actions were done; a request brings leaf "new". */
function done(
  desired: DesiredStore,
  actual: ActualStore,
  actions: Action[],
): [DesiredStore, ActualStore] {
  let next: ActualStore = { ...actual, present: new Set(actual.present) };
  let goal = desired;
  let requested = "";
  for (const action of actions) {
    switch (action.do) {
      case "install-authority": {
        const sha256 = anchors[action.role];
        next = {
          ...next,
          present: new Set([...next.present, sha256]),
          authorities: [...next.authorities, { role: action.role, sha256 }],
        };
        break;
      }
      case "request-leaf":
        requested = action.key ?? "key-new";
        next = { ...next, keys: [...new Set([...next.keys, requested])] };
        goal = on(current("new"), ...desired.leaves.filter((leaf) => leaf.status === "overlap"));
        break;
      case "install-leaf":
        next = { ...next, leaves: [...next.leaves, leaf("new", { spkiSha256: requested })] };
        break;
      case "remove-leaf":
        next = { ...next, leaves: next.leaves.filter((leaf) => leaf.sha256 !== action.sha256) };
        break;
      case "remove-key":
        next = { ...next, keys: next.keys.filter((key) => key !== action.spkiSha256) };
        break;
      case "remove-authority":
        next = {
          ...next,
          authorities: next.authorities.filter(({ sha256 }) => sha256 !== action.sha256),
        };
        break;
    }
  }
  return [goal, next];
}

Deno.test("reconcile has nothing to do once its actions are done", () => {
  fc.assert(
    fc.property(anyDesired, anyStore, anyTime, (desired, actual, time) => {
      const [goal, next] = done(desired, actual, reconcile(desired, actual, time));
      assert.deepEqual(reconcile(goal, next, time), []);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("reconcile makes before it breaks: no removal precedes a request", () => {
  fc.assert(
    fc.property(anyDesired, anyStore, anyTime, (desired, actual, time) => {
      const steps = reconcile(desired, actual, time).map((action) => action.do);
      const request = steps.indexOf("request-leaf");
      if (request >= 0) {
        assert.ok(steps.slice(0, request).every((step) => step === "install-authority"));
      }
      const leafGone = steps.includes("remove-leaf");
      const [, next] = done(desired, actual, reconcile(desired, actual, time));
      if (leafGone && desired.anchors) assert.ok(next.leaves.length > 0);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("reconcile removes only what is ours and there", () => {
  fc.assert(
    fc.property(anyDesired, anyStore, anyTime, (desired, actual, time) => {
      for (const action of reconcile(desired, actual, time)) {
        if (action.do === "remove-leaf") {
          assert.ok(actual.leaves.some((leaf) => leaf.sha256 === action.sha256));
        } else if (action.do === "remove-key") assert.ok(actual.keys.includes(action.spkiSha256));
        else if (action.do === "remove-authority") {
          assert.ok(actual.authorities.some((authority) => authority.sha256 === action.sha256));
        }
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("reconcile leaves nothing of ours when nothing is wanted", () => {
  fc.assert(
    fc.property(anyStore, anyTime, (actual, time) => {
      const [, next] = done(off, actual, reconcile(off, actual, time));
      assert.deepEqual([next.leaves, next.keys, next.authorities], [[], [], []]);
    }),
    { numRuns: 2000 },
  );
});
