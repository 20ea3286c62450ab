/** Arbitrary policies and requests that have something to do with each other, for tests. */
import fc from "fast-check";
import { type AccessRequest, type Decision, Policy } from "./policy.ts";

/** Users whom policies name. */
export const ALICE = "11111111-1111-4111-8111-111111111111";
export const BOB = "22222222-2222-4222-8222-222222222222";

const policyIds = fc.uuid();
const userSelectors = fc.constantFrom("*", ALICE, BOB, "group:staff", "group:contractors");
const systems = fc.constantFrom("linux", "macos", "windows", "ios", "android", "other");
const ranges = fc.constantFrom("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0");

/** A policy, enabled or not. */
export const policies: fc.Arbitrary<Policy> = fc.record({
  policyId: policyIds,
  name: fc.string({ minLength: 1, maxLength: 20 }),
  enabled: fc.boolean(),
  users: fc.array(userSelectors, { minLength: 1, maxLength: 3 }),
  resources: fc.array(fc.constantFrom("*", "mail", "wiki"), { minLength: 1, maxLength: 2 }),
  conditions: fc.record({
    device: fc.constantFrom("managed", "unmanaged"),
    ip: fc.array(ranges, { minLength: 1, maxLength: 2 }),
    os: fc.array(systems, { minLength: 1, maxLength: 3 }),
  }, { requiredKeys: [] }),
  action: fc.constantFrom("relax", "restrict", "deny"),
}).map((value) => Policy.parse(value));

/** Policies, each with an id of its own. */
export const policyLists = fc.uniqueArray(policies, {
  maxLength: 8,
  selector: (policy) => policy.policyId,
});

/** A request for a resource that policies may name. */
export const requests: fc.Arbitrary<AccessRequest> = fc.record({
  userId: fc.constantFrom(ALICE, BOB, null),
  groups: fc.subarray(["staff", "contractors"]),
  resource: fc.constantFrom("mail", "wiki", "payroll"),
  device: fc.constantFrom("managed" as const, "unmanaged" as const),
  os: systems,
  ip: fc.constantFrom("10.1.2.3", "::ffff:192.0.2.9", "2001:db8::1", "198.51.100.1"),
});

/** A default decision. */
export const defaults = fc.constantFrom<Decision>("allow", "mfa", "deny");
