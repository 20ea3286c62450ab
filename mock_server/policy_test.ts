import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AccessRequest,
  type Decision,
  evaluate,
  type Policy,
  PolicyBody,
  type PolicyDecision,
} from "./policy.ts";
import { ALICE, BOB, defaults, policies, policyLists, requests } from "./scratch_policies.ts";

const STRICT: Record<Decision, number> = { allow: 0, mfa: 1, deny: 2 };
const DECIDES = { relax: "allow", restrict: "mfa", deny: "deny" } as const;

function decided(answer: PolicyDecision) {
  return { decision: answer.decision, policy: answer.policy };
}

function policy(over: Partial<PolicyBody> & { policyId?: string } = {}): Policy {
  const { policyId = "00000000-0000-4000-8000-000000000001", ...body } = over;
  const all = { name: "p", users: ["*"], resources: ["*"], action: "deny" as const, ...body };
  return { ...PolicyBody.parse(all), policyId };
}

const request: AccessRequest = {
  userId: ALICE,
  groups: ["staff"],
  resource: "mail",
  device: "managed",
  os: "linux",
  ip: "192.0.2.1",
};

Deno.test("the order of policies never matters", () => {
  const shuffled = policyLists.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))
  );
  fc.assert(
    fc.property(shuffled, requests, defaults, ([list, other], request, fallback) => {
      assert.deepEqual(evaluate(list, request, fallback), evaluate(other, request, fallback));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("one more policy never makes a decision that a policy took more lenient", () => {
  fc.assert(fc.property(policyLists, policies, requests, (list, more, request) => {
    const before = evaluate(list, request, "allow");
    fc.pre(before.policy !== null && list.every((entry) => entry.policyId !== more.policyId));
    const after = evaluate([...list, more], request, "allow");
    assert.ok(STRICT[after.decision] >= STRICT[before.decision]);
  }));
});

Deno.test("of all that match, the strictest decides, and of equals the smallest policyId", () => {
  fc.assert(
    fc.property(policyLists, requests, defaults, (list, request, fallback) => {
      const matching = list.filter((entry) => evaluate([entry], request, "allow").policy !== null);
      const strictest = matching.map(({ action }) => STRICT[DECIDES[action]]).sort().at(-1);
      const [first] = matching.filter(({ action }) => STRICT[DECIDES[action]] === strictest)
        .map(({ policyId }) => policyId).sort();
      const { decision, policy } = evaluate(list, request, fallback);
      assert.equal(policy, first ?? null);
      assert.equal(STRICT[decision], strictest ?? STRICT[fallback]);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("a device condition alone tells a managed device from an unmanaged one", () => {
  fc.assert(fc.property(policyLists, requests, defaults, (list, request, fallback) => {
    const blind = list.map((entry) => ({ ...entry, conditions: { ...entry.conditions } }));
    for (const { conditions } of blind) delete conditions.device;
    assert.deepEqual(
      decided(evaluate(blind, { ...request, device: "managed" }, fallback)),
      decided(evaluate(blind, { ...request, device: "unmanaged" }, fallback)),
    );
  }));
});

Deno.test("deciding changes neither the policies nor the request", () => {
  fc.assert(fc.property(policyLists, requests, (list, request) => {
    const before = JSON.stringify([list, request]);
    evaluate(list, request, "allow");
    assert.equal(JSON.stringify([list, request]), before);
  }));
});

Deno.test("disabled policies never count", () => {
  fc.assert(fc.property(policyLists, requests, defaults, (list, request, fallback) => {
    const enabled = list.filter((entry) => entry.enabled);
    assert.deepEqual(evaluate(list, request, fallback), evaluate(enabled, request, fallback));
  }));
});

Deno.test("the winner is enabled, decides by its own action, and alone decides the same", () => {
  fc.assert(fc.property(policyLists, requests, defaults, (list, request, fallback) => {
    const answer = evaluate(list, request, fallback);
    if (answer.policy === null) return assert.equal(answer.decision, fallback);
    const winner = list.find((entry) => entry.policyId === answer.policy);
    assert.ok(winner?.enabled);
    assert.deepEqual(decided(evaluate([winner], request, fallback)), decided(answer));
  }));
});

Deno.test("nothing that loses alone to the default can change a decision", () => {
  fc.assert(fc.property(policyLists, requests, (list, request) => {
    const matching = list.filter((entry) => evaluate([entry], request, "allow").policy !== null);
    assert.deepEqual(evaluate(matching, request, "allow"), evaluate(list, request, "allow"));
  }));
});

Deno.test("a phone or tablet is decided as unmanaged, whatever certificate it shows", () => {
  const mobile = fc.constantFrom("ios" as const, "android" as const);
  fc.assert(fc.property(policyLists, requests, mobile, (list, base, os) => {
    const managed = evaluate(list, { ...base, os, device: "managed" }, "allow");
    const unmanaged = evaluate(list, { ...base, os, device: "unmanaged" }, "allow");
    assert.deepEqual(decided(managed), decided(unmanaged));
    assert.match(managed.why, /mobile device never counts as managed/);
  }));
});

Deno.test("each part of a policy has to match", () => {
  const cases: [string, Parameters<typeof policy>[0], boolean][] = [
    ["everybody", {}, true],
    ["the user", { users: [BOB, ALICE] }, true],
    ["another user", { users: [BOB] }, false],
    ["a group of the user", { users: ["group:staff"] }, true],
    ["another group", { users: ["group:Staff"] }, false],
    ["the resource", { resources: ["wiki", "mail"] }, true],
    ["another resource", { resources: ["wiki"] }, false],
    ["managed", { conditions: { device: "managed" } }, true],
    ["unmanaged", { conditions: { device: "unmanaged" } }, false],
    ["a range", { conditions: { ip: ["10.0.0.0/8", "192.0.2.0/24"] } }, true],
    ["another range", { conditions: { ip: ["10.0.0.0/8"] } }, false],
    ["the system", { conditions: { os: ["linux"] } }, true],
    ["another system", { conditions: { os: ["windows"] } }, false],
    ["one of two conditions", { conditions: { os: ["linux"], device: "unmanaged" } }, false],
  ];
  for (const [name, body, matches] of cases) {
    const { decision } = evaluate([policy(body)], request, "allow");
    assert.equal(decision, matches ? "deny" : "allow", name);
  }
});

Deno.test("somebody unknown is judged by the policies for everybody alone", () => {
  const nobody = { ...request, userId: null, groups: [] };
  const byName = policy({ users: [ALICE, "group:staff"] });
  assert.equal(evaluate([byName], nobody, "allow").decision, "allow");
  assert.equal(evaluate([byName, policy()], nobody, "allow").decision, "deny");
});

Deno.test("deny beats restrict beats relax; equals go to the smallest policyId", () => {
  const ids = ["a", "b", "c", "d"].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`);
  const [a, b, c, d] = ids;
  const list = [
    policy({ policyId: d, action: "restrict" }),
    policy({ policyId: a, action: "relax" }),
    policy({ policyId: c, action: "restrict" }),
  ];
  assert.deepEqual(decided(evaluate(list, request, "allow")), { decision: "mfa", policy: c });
  list.push(policy({ policyId: b, action: "deny" }));
  assert.deepEqual(decided(evaluate(list, request, "allow")), { decision: "deny", policy: b });
  assert.deepEqual(decided(evaluate([], request, "mfa")), { decision: "mfa", policy: null });
  const relaxed = evaluate([policy({ policyId: a, action: "relax" })], request, "deny");
  assert.deepEqual(decided(relaxed), { decision: "allow", policy: a });
});

Deno.test("the answer says in words which policy matched and by what", () => {
  const named = policy({
    name: "Office only",
    users: ["group:staff"],
    conditions: { device: "managed", ip: ["192.0.2.0/24"], os: ["linux"] },
  });
  assert.equal(
    evaluate([named], request, "allow").why,
    "Policy 'Office only' (deny) matches group 'staff', every resource, managed devices, " +
      "operating system 'linux', addresses in 192.0.2.0/24; no stricter policy does.",
  );
  assert.match(evaluate([], request, "allow").why, /default decision 'allow'/);
});

Deno.test("a policy with a part that is misspelt, empty or impossible is refused", () => {
  const good = { name: "n", users: ["*"], resources: ["*"], action: "deny" };
  assert.deepEqual(PolicyBody.parse(good).conditions, {});
  const bad: [string, Record<string, unknown>][] = [
    ["no action", { action: undefined }],
    ["unknown action", { action: "block" }],
    ["unknown condition", { conditions: { devices: "managed" } }],
    ["unknown member", { condition: { device: "managed" } }],
    ["no users", { users: [] }],
    ["a user by e-mail", { users: ["alice@example.com"] }],
    ["a group without a name", { users: ["group:"] }],
    ["no resources", { resources: [] }],
    ["no name", { name: "" }],
    ["a bad range", { conditions: { ip: ["10.0.0.0/33"] } }],
    ["no range", { conditions: { ip: [] } }],
    ["an unknown system", { conditions: { os: ["beos"] } }],
    ["an unknown device state", { conditions: { device: "trusted" } }],
    ["enabled by a word", { enabled: "yes" }],
  ];
  for (const [name, part] of bad) {
    assert.equal(PolicyBody.safeParse({ ...good, ...part }).success, false, name);
  }
});
