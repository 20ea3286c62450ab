import assert from "node:assert/strict";
import { filterEntries } from "../filter_entries.ts";
import { configurationProfile } from "./configuration_profile.ts";
import { memberOf, type ReadPropertyList, readPropertyList } from "./property_list.ts";

const DESIRED = { brand: "JumpCloud", patterns: ["https://[*.]a.test", "https://b.test:8443"] };

/** Keys that Apple documents for each payload, beside those of every payload. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  Configuration: ["PayloadContent", "PayloadScope"],
  "com.apple.ManagedClient.preferences": ["PayloadContent"],
  "com.apple.servicemanagement": ["Rules"],
};
const ALL = ["PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"]
  .concat(["PayloadDisplayName", "PayloadDescription", "PayloadOrganization"]);

function payloadsOf(profile: ReadPropertyList): ReadPropertyList[] {
  const content = memberOf(profile, "PayloadContent");
  assert.ok(Array.isArray(content));
  return [profile, ...content];
}

Deno.test("a profile has the filters of each browser and our jobs, with documented keys only", () => {
  const payloads = payloadsOf(readPropertyList(configurationProfile(DESIRED)));
  for (const payload of payloads) {
    const type = String(memberOf(payload, "PayloadType"));
    const unknown = Object.keys(payload).filter((key) =>
      ![...ALL, ...KEYS[type] ?? []].includes(key)
    );
    assert.deepEqual(unknown, [], type);
    assert.equal(memberOf(payload, "PayloadVersion"), 1);
    assert.match(
      String(memberOf(payload, "PayloadUUID")),
      /^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/,
    );
  }
  const domains = payloads.slice(1, -1).map((payload) => memberOf(payload, "PayloadContent"));
  const settings = {
    mcx_preference_settings: { AutoSelectCertificateForUrls: filterEntries(DESIRED) },
  };
  assert.deepEqual(domains, [
    { "com.google.Chrome": { Forced: [settings] } },
    { "com.microsoft.Edge": { Forced: [settings] } },
    { "com.brave.Browser": { Forced: [settings] } },
  ]);
  assert.deepEqual(memberOf(payloads.at(-1) ?? "", "Rules"), [
    { RuleType: "Label", RuleValue: "device-trust.agent" },
    { RuleType: "Label", RuleValue: "device-trust.user-agent" },
  ]);
});

Deno.test("a later profile takes an earlier one's place, and another brand's does not", () => {
  const ids = (brand: string, patterns: string[]) =>
    payloadsOf(readPropertyList(configurationProfile({ brand, patterns })))
      .map((payload) => memberOf(payload, "PayloadUUID"));
  const before = ids("JumpCloud", DESIRED.patterns);
  assert.deepEqual(ids("JumpCloud", ["https://c.test"]), before);
  assert.equal(new Set([...before, ...ids("Acme", [])]).size, 2 * before.length);
});
