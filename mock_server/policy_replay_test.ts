import assert from "node:assert/strict";
import fc from "fast-check";
import { evaluate, type Policy, PolicyBody } from "./policy.ts";
import {
  type Draft,
  MOST_CHALLENGES,
  NEW_DRAFT_ID,
  type RecordedChallenge,
  replayPolicies,
} from "./policy_replay.ts";
import { defaults, policies, policyLists, requests } from "./scratch_policies.ts";

const SINCE = Date.parse("2026-03-01T00:00:00Z");

/** A challenge that was decided somehow. */
const challenges: fc.Arbitrary<RecordedChallenge> = fc.record({
  request: requests,
  decision: defaults,
  eventId: fc.uuid(),
  at: fc.integer({ min: SINCE, max: SINCE + 86_400_000 }),
}).map(({ request: { device, groups, ...request }, ...rest }) => ({
  ...request,
  ...rest,
  user: "somebody@example.com",
  groups: [...groups],
  managed: device === "managed",
  policy: null,
}));

const histories = fc.array(challenges, { maxLength: 12 });

/** Policies in force, and a draft that replaces one of them or is added to them. */
const drafts = fc.record({ list: policyLists, draft: policies, index: fc.nat() })
  .map(({ list, draft: { policyId: _, ...policy }, index }) => {
    const replaced = list[index % (list.length + 1)];
    return { list, draft: { policy, policyId: replaced?.policyId ?? NEW_DRAFT_ID } };
  });

function decide(list: readonly Policy[], challenge: RecordedChallenge) {
  const device = challenge.managed ? "managed" as const : "unmanaged" as const;
  return evaluate(list, { ...challenge, device }, "allow");
}

function replay(history: readonly RecordedChallenge[], list: readonly Policy[], draft: Draft) {
  return replayPolicies(history, { policies: list, draft, defaultDecision: "allow" }, SINCE);
}

/** The challenge as it would have been decided by `list`. */
function decidedBy(list: readonly Policy[]) {
  return (challenge: RecordedChallenge) => {
    const { decision, policy } = decide(list, challenge);
    return { ...challenge, decision, policy };
  };
}

Deno.test("a replay decides as evaluate does with the draft in the list", async () => {
  await fc.assert(
    fc.asyncProperty(histories, drafts, async (history, { list, draft }) => {
      const drafted = list.filter(({ policyId }) => policyId !== draft.policyId);
      drafted.push({ ...draft.policy, policyId: draft.policyId });
      const changed = history.map((challenge) => ({
        challenge,
        after: decide(drafted, challenge),
        anyway: decide(list, challenge),
      })).filter(({ challenge, after }) => after.decision !== challenge.decision);
      const answer = await replay(history, list, draft);
      assert.equal(answer.challenges, history.length);
      assert.equal(answer.changed, changed.length);
      const anyway = changed.filter(({ after, anyway }) => anyway.decision === after.decision);
      assert.equal(answer.changedAnyway, anyway.length);
      assert.equal(answer.draftId, draft.policyId);
      assert.deepEqual(
        answer.items.map(({ eventId, before, after }) => ({ eventId, before, after })),
        changed.map(({ challenge: { eventId, decision, policy }, after }) => ({
          eventId,
          before: { decision, policy },
          after,
        })),
      );
    }),
    { numRuns: 1000 },
  );
});

Deno.test("the policies in force change nothing that they decided themselves", async () => {
  await fc.assert(fc.asyncProperty(histories, policyLists, fc.nat(), async (history, list, n) => {
    const present = list[n % (list.length || 1)];
    fc.pre(present !== undefined);
    const { policyId, ...policy } = present;
    const answer = await replay(history.map(decidedBy(list)), list, { policyId, policy });
    assert.deepEqual([answer.changed, answer.items], [0, []]);
  }));
});

Deno.test("what the policies in force decide differently by now is not put down to the draft", async () => {
  await fc.assert(fc.asyncProperty(histories, policyLists, fc.nat(), async (history, list, n) => {
    const present = list[n % (list.length || 1)];
    fc.pre(present !== undefined);
    const { policyId, ...policy } = present;
    const answer = await replay(history, list, { policyId, policy });
    assert.equal(answer.changedAnyway, answer.changed);
    for (const { present, after: { why: _, ...after } } of answer.items) {
      assert.deepEqual(present, after);
    }
  }));
});

Deno.test("a draft of nothing is the policies without that one", async () => {
  await fc.assert(fc.asyncProperty(histories, policyLists, fc.nat(), async (history, list, n) => {
    const gone = list[n % (list.length || 1)];
    fc.pre(gone !== undefined);
    const draft = { policyId: gone.policyId, policy: null };
    const rest = list.filter((policy) => policy !== gone);
    const answer = await replay(history.map(decidedBy(rest)), list, draft);
    assert.deepEqual([answer.changed, answer.draftId], [0, null]);
    const before = await replay(history.map(decidedBy(list)), list, draft);
    for (const item of before.items) assert.equal(item.before.policy, gone.policyId);
    assert.equal(before.changedAnyway, 0);
  }));
});

Deno.test("a draft that is disabled changes nothing, and a copy of a policy is never named", async () => {
  await fc.assert(fc.asyncProperty(histories, policyLists, fc.nat(), async (history, list, n) => {
    const copied = list[n % (list.length || 1)];
    fc.pre(copied !== undefined);
    const { policyId: _, ...policy } = copied;
    const decided = history.map(decidedBy(list));
    const draft = { policyId: NEW_DRAFT_ID, policy };
    assert.equal((await replay(decided, list, draft)).changed, 0);
    for (const { after } of (await replay(history, list, draft)).items) {
      assert.notEqual(after.policy, NEW_DRAFT_ID);
    }
    const disabled = { policyId: NEW_DRAFT_ID, policy: { ...policy, enabled: false } };
    assert.equal((await replay(decided, list, disabled)).changed, 0);
  }));
});

Deno.test("of too many challenges the newest are looked at, and the answer says since when", async () => {
  let taken = 0;
  function* endless(): Generator<RecordedChallenge> {
    for (;;) {
      taken++;
      yield {
        eventId: "00000000-0000-4000-8000-000000000001",
        at: SINCE + 1_000_000_000 - taken,
        user: "",
        userId: null,
        groups: [],
        resource: "mail",
        managed: true,
        os: "linux",
        ip: "192.0.2.1",
        decision: "allow",
        policy: null,
      };
    }
  }
  const policy = PolicyBody.parse({ name: "n", users: ["*"], resources: ["*"], action: "deny" });
  const draft = { policyId: NEW_DRAFT_ID, policy };
  const rules = { policies: [], draft, defaultDecision: "allow" as const };
  const answer = await replayPolicies(endless(), rules, SINCE);
  assert.equal(answer.challenges, MOST_CHALLENGES);
  assert.equal(answer.changed, MOST_CHALLENGES);
  assert.equal(taken, MOST_CHALLENGES + 1, "no more were read");
  assert.equal(Date.parse(answer.since), SINCE + 1_000_000_000 - MOST_CHALLENGES);
  assert.equal(answer.items.length, 500);
  assert.equal(Date.parse(answer.items[0]?.at ?? ""), SINCE + 1_000_000_000 - 1, "newest first");
});
