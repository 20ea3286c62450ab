import assert from "node:assert/strict";
import fc from "fast-check";
import { filterEntries } from "../filter_entries.ts";
import type { DesiredFilters } from "../filters.ts";
import {
  decidePolicy,
  FIRST_NAME,
  judgePolicy,
  ourValues,
  type PolicyState,
} from "./policy_decision.ts";
import type { RegistryValue } from "./registry.ts";

const KEY = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Google\\Chrome\\AutoSelectCertificateForUrls";
const wanted: DesiredFilters = {
  brand: "JumpCloud",
  patterns: ["https://portal.example.com", "https://[*.]challenge.example.com:8443"],
};
const none: DesiredFilters = { brand: "JumpCloud", patterns: [] };
const [first = "", second = ""] = filterEntries(wanted);
const theirs = '{"pattern":"https://intranet.example","filter":{"ISSUER":{"CN":"Corp CA"}}}';

function policy(list: RegistryValue[] = [], more: Partial<PolicyState> = {}): PolicyState {
  return { list, ofUsers: [], cloudComesFirst: false, ...more };
}

/** What the list is after a change. */
function changed(state: PolicyState, desired: DesiredFilters): PolicyState {
  const { set, remove } = decidePolicy(state, desired);
  const kept = state.list.filter(({ name }) => !remove.includes(name));
  return { ...state, list: [...kept, ...set] };
}

Deno.test("our entries are values from 1000 on, and leave the key as it was", () => {
  const { set, remove } = decidePolicy(policy(), wanted);
  assert.deepEqual(set, [{ name: "1000", text: first }, { name: "1001", text: second }]);
  assert.deepEqual(remove, []);
  const after = changed(policy(), wanted);
  assert.deepEqual(judgePolicy(KEY, after, wanted), { state: "ok" });
  assert.deepEqual(decidePolicy(after, wanted), { set: [], remove: [] });
  assert.deepEqual(changed(after, none).list, []);
});

Deno.test("names that are taken are left out, and what is right keeps its name", () => {
  const list = [{ name: "1000", text: theirs }, { name: "1001", text: second }];
  const { set, remove } = decidePolicy(policy(list), wanted);
  assert.deepEqual(set, [{ name: "1002", text: first }]);
  assert.deepEqual(remove, []);
});

Deno.test("an entry of ours that is wanted no longer, or twice, goes", () => {
  const old = first.replace("portal", "former");
  const list = ["1000", "1001", "1002"].map((name, index) => {
    return { name, text: [old, first, first][index] ?? "" };
  });
  assert.deepEqual(decidePolicy(policy(list), wanted), {
    set: [{ name: "1003", text: second }],
    remove: ["1000", "1002"],
  });
});

Deno.test("an administrator's own entry for our issuer is left, and counts", () => {
  const list = [{ name: "1", text: first }, { name: "2", text: second }];
  assert.deepEqual(ourValues(list), []);
  assert.deepEqual(judgePolicy(KEY, policy(list), wanted), { state: "ok" });
  assert.deepEqual(decidePolicy(policy(list), none).remove, []);
});

Deno.test("a value that Chromium does not read holds nothing", () => {
  for (const name of ["", "x", "1a", "99999999999"]) {
    const list = [{ name, text: first }, { name: "1001", text: second }];
    assert.equal(judgePolicy(KEY, policy(list), wanted).state, "missing", name);
  }
});

Deno.test("a whole list in one value is not hidden by ours, and the line to add is named", () => {
  const whole = { name: "AutoSelectCertificateForUrls", text: JSON.stringify([theirs]) };
  const state = policy([], { whole });
  assert.deepEqual(decidePolicy(state, wanted), { set: [], remove: [] });
  const { state: is, hint = "" } = judgePolicy(KEY, state, wanted);
  assert.equal(is, "managed-elsewhere");
  assert.ok(hint.includes(KEY) && hint.includes(JSON.stringify(first)), hint);
  const added = { ...whole, text: JSON.stringify([theirs, first, second]) };
  assert.deepEqual(judgePolicy(KEY, policy([], { whole: added }), wanted), { state: "ok" });
  for (const text of ["{", "{}", undefined]) {
    const broken = { name: whole.name, ...(text === undefined ? {} : { text }) };
    assert.equal(
      judgePolicy(KEY, policy([], { whole: broken }), wanted).state,
      "managed-elsewhere",
    );
  }
});

Deno.test("ours gives way to a whole list that comes later", () => {
  const whole = { name: "AutoSelectCertificateForUrls", text: JSON.stringify([theirs]) };
  const ours = changed(policy(), wanted);
  assert.deepEqual(decidePolicy({ ...ours, whole }, wanted).remove, ["1000", "1001"]);
  assert.equal(judgePolicy(KEY, { ...ours, whole }, wanted).state, "managed-elsewhere");
});

Deno.test("a user's own list is not hidden by ours, and is named", () => {
  const key = "HKEY_USERS\\S-1-5-21-1-2-3-1001\\SOFTWARE\\Policies\\Google\\Chrome\\List";
  const ofUsers = [{ key, list: [{ name: "1", text: theirs }] }];
  const state = policy([], { ofUsers });
  assert.deepEqual(decidePolicy(state, wanted), { set: [], remove: [] });
  const { state: is, hint = "" } = judgePolicy(KEY, state, wanted);
  assert.equal(is, "managed-elsewhere");
  assert.ok(hint.includes(key) && hint.includes(JSON.stringify(second)), hint);
});

Deno.test("where another product's list hides a user's already, ours changes nothing by being there", () => {
  const ofUsers = [{ key: "HKEY_USERS\\x", list: [] }];
  const state = policy([{ name: "1", text: theirs }], { ofUsers });
  assert.equal(decidePolicy(state, wanted).set.length, 2);
  assert.equal(judgePolicy(KEY, changed(state, wanted), wanted).state, "ok");
});

Deno.test("policies of a management service that come first are told", () => {
  const state = changed(policy([], { cloudComesFirst: true }), wanted);
  const { state: is, hint = "" } = judgePolicy(KEY, state, wanted);
  assert.equal(is, "shadowed");
  assert.match(hint, /CloudPolicyOverridesPlatformPolicy.*add to it: .*portal/);
});

Deno.test("whatever is in the key, others' values stay as they are, and a second look does nothing", () => {
  const name = fc.oneof(
    fc.integer({ min: 0, max: 1005 }).map(String),
    fc.constantFrom("", "x", "01000", "-1", "1e3", "1000 ", "999999999999"),
  );
  const text = fc.oneof(
    fc.constantFrom(first, second, theirs, "{", "", first.replace("portal", "former")),
    fc.string(),
  );
  const value = fc.record({ name, text: fc.option(text, { nil: undefined }) })
    .map(({ name, text }): RegistryValue => ({ name, ...(text === undefined ? {} : { text }) }));
  const list = fc.uniqueArray(value, { selector: ({ name }) => name, maxLength: 12 });
  const patterns = fc.subarray([...wanted.patterns, "https://third.example"]);
  const state = fc.record({
    list,
    whole: fc.option(text, { nil: undefined }),
    users: fc.integer({ min: 0, max: 1 }),
    cloudComesFirst: fc.boolean(),
  });
  fc.assert(fc.property(state, patterns, ({ list, whole, users, cloudComesFirst }, patterns) => {
    const desired = { ...wanted, patterns };
    const before: PolicyState = {
      list,
      ...(whole === undefined ? {} : { whole: { name: "w", text: whole } }),
      ofUsers: users === 0 ? [] : [{ key: "k", list: [] }],
      cloudComesFirst,
    };
    const ours = new Set(ourValues(list).map(({ name }) => name));
    const { set, remove } = decidePolicy(before, desired);
    for (const name of remove) assert.ok(ours.has(name));
    for (const { name } of set) {
      assert.ok(Number(name) >= FIRST_NAME);
      assert.ok(!list.some((found) => found.name === name));
    }
    const after = changed(before, desired);
    assert.deepEqual(decidePolicy(after, desired), { set: [], remove: [] });
    const verdict = judgePolicy(KEY, after, desired);
    assert.equal(verdict.hint === undefined, verdict.state === "ok");
    if (whole === undefined && users === 0) assert.notEqual(verdict.state, "missing");
    // OFF leaves nothing of ours.
    assert.deepEqual(ourValues(changed(after, none).list), []);
  }));
});
