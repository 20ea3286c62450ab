import assert from "node:assert/strict";
import fc from "fast-check";
import { filterEntries, ourPattern } from "../filter_entries.ts";
import {
  decideFilter,
  type FilterChange,
  type FilterPlaces,
  judgeFilter,
} from "./filter_decision.ts";
import { OtherValue, type ReadPropertyList } from "./property_list.ts";

const DESIRED = { brand: "JumpCloud", patterns: ["https://a.test", "https://[*.]b.test:8443"] };
const [A = "", B = ""] = filterEntries(DESIRED);
const [OLD = ""] = filterEntries({ ...DESIRED, patterns: ["https://old.test"] });
const THEIRS = '{"pattern":"https://x.test","filter":{"ISSUER":{"CN":"X"}}}';
const ODD = new OtherValue("data", "AAEC");
const NONE = { ...DESIRED, patterns: [] };

/** What the user's list is after a change. */
function changed(places: FilterPlaces, change: FilterChange): FilterPlaces {
  const { user, ...rest } = places;
  switch (change.do) {
    case "nothing":
      return places;
    case "delete":
      return rest;
    case "set":
      return { ...rest, user: change.entries };
    case "add":
      return { ...rest, user: [...user ?? [], ...change.entries] };
  }
}

Deno.test("the user's list gets what is missing, loses what is not wanted, and keeps the rest", () => {
  const cases: [FilterPlaces, FilterChange][] = [
    [{}, { do: "add", entries: [A, B] }],
    [{ user: [THEIRS, A] }, { do: "add", entries: [B] }],
    [{ user: [THEIRS, B, A] }, { do: "nothing" }],
    [{ user: [OLD, THEIRS, A] }, { do: "set", entries: [THEIRS, A, B] }],
    [{ user: [ODD] }, { do: "add", entries: [A, B] }],
    [{ user: [ODD, OLD, A, B] }, { do: "nothing" }],
  ];
  for (const [places, change] of cases) assert.deepEqual(decideFilter(places, DESIRED), change);
});

Deno.test("at OFF ours go, the key with the last of them, and nothing of others'", () => {
  const cases: [FilterPlaces, FilterChange][] = [
    [{}, { do: "nothing" }],
    [{ user: [A, OLD] }, { do: "delete" }],
    [{ user: [THEIRS, A] }, { do: "set", entries: [THEIRS] }],
    [{ user: [THEIRS] }, { do: "nothing" }],
    [{ user: [ODD, A] }, { do: "nothing" }],
  ];
  for (const [places, change] of cases) assert.deepEqual(decideFilter(places, NONE), change);
});

Deno.test("what an MDM forces counts alone, and the line to add to it is named", () => {
  const forced = { entries: [THEIRS], file: "/Library/Managed Preferences/ada/x.plist" };
  const { state, hint = "" } = judgeFilter({ user: [A, B], forced }, DESIRED);
  assert.equal(state, "shadowed");
  assert.ok(hint.includes(forced.file) && hint.includes(JSON.stringify(B)), hint);
  const whole = { ...forced, entries: [THEIRS, B, A] };
  assert.deepEqual(judgeFilter({ forced: whole }, DESIRED), { state: "ok" });
});

Deno.test("a list that everybody on the Mac has is not hidden by ours", () => {
  const everybody = { entries: [THEIRS], file: "/Library/Preferences/x.plist" };
  assert.deepEqual(decideFilter({ everybody }, DESIRED), { do: "nothing" });
  assert.deepEqual(decideFilter({ everybody, user: [A, B] }, DESIRED), { do: "delete" });
  const { state, hint = "" } = judgeFilter({ everybody }, DESIRED);
  assert.equal(state, "managed-elsewhere");
  assert.ok(hint.includes(JSON.stringify(A)), hint);
  // The user hid it already.
  const hidden = { everybody, user: [THEIRS] };
  assert.deepEqual(decideFilter(hidden, DESIRED), { do: "add", entries: [A, B] });
});

const entry = fc.constantFrom<ReadPropertyList>(A, B, OLD, THEIRS, ODD, "no JSON", 5);
const list = fc.option(fc.array(entry, { maxLength: 6 }), { nil: undefined });

Deno.test("whatever lists there are: one change is enough, and others' entries keep their order", () => {
  fc.assert(fc.property(list, list, fc.boolean(), (user, shared, on) => {
    const desired = on ? DESIRED : NONE;
    const before: FilterPlaces = {
      ...(user ? { user } : {}),
      ...(shared ? { everybody: { entries: shared, file: "/x" } } : {}),
    };
    const after = changed(before, decideFilter(before, desired));
    assert.deepEqual(decideFilter(after, desired), { do: "nothing" });
    const theirs = (list: readonly ReadPropertyList[] = []) =>
      list.filter((entry) => ourPattern(entry) === undefined);
    assert.deepEqual(theirs(after.user), theirs(user));
    const odd = user?.some((entry) => typeof entry !== "string") ?? false;
    if (on && !shared) assert.equal(judgeFilter(after, desired).state, "ok");
    if (!on && !odd) {
      assert.ok(!(after.user ?? []).some((entry) => ourPattern(entry) !== undefined));
    }
  }));
});
