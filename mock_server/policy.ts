/**
 * Conditional access (DESIGN S14 and section 5, "Policy"): which policies count for a request and
 * what they decide. Pure.
 */
import { z } from "@hono/zod-openapi";
import { Uuid } from "../agent/contract.ts";
import { Cidr, cidrContains, IpAddress } from "./cidr.ts";

/** Operating systems that a request can come from; `other` is what no header or record tells. */
export const RequestOs = z.enum([
  "linux",
  "macos",
  "windows",
  "ios",
  "android",
  "chromeos",
  "other",
]);

/** Whether a request's device counts as managed. */
export const DeviceCondition = z.enum(["managed", "unmanaged"]);

/** What a policy does, from lenient to strict. */
export const PolicyAction = z.enum(["relax", "restrict", "deny"]);

/** What becomes of a request: `mfa` asks for a second factor. */
export const Decision = z.enum(["allow", "mfa", "deny"]);

/** A group's name, as users carry it and as policies name it after `group:`. */
export const GroupName = z.string().min(1).max(255);

/** The name of a resource: an application, or the portal itself. */
export const ResourceName = z.string().min(1).max(255);

const UserSelector = z.union([
  z.literal("*"),
  Uuid,
  z.string().max(261).regex(/^group:./s, "must be '*', a userId or 'group:NAME'"),
]);

/**
 * A policy as the administrator writes it. Unknown members are refused: a misspelt condition that
 * was dropped would widen the policy to everybody.
 */
export const PolicyBody = z.strictObject({
  name: z.string().min(1).max(255),
  enabled: z.boolean().default(true),
  users: z.array(UserSelector).min(1).max(1000),
  resources: z.array(ResourceName).min(1).max(1000),
  conditions: z.strictObject({
    device: DeviceCondition.optional(),
    ip: z.array(Cidr).min(1).max(1000).optional(),
    os: z.array(RequestOs).min(1).max(16).optional(),
  }).default({}),
  action: PolicyAction,
}).openapi("PolicyBody");

/**
 * A policy with its id, as lists show it. Not an `extend`, which the contract would describe as
 * `allOf` of two objects of which each forbids the other's members.
 */
export const Policy = z.strictObject({ ...PolicyBody.shape, policyId: Uuid }).openapi("Policy");

/** `POST /admin/v1/policies/evaluate`: a request that is only imagined. */
export const EvaluationRequest = z.strictObject({
  user: z.string().min(1).max(320),
  resource: ResourceName,
  device: DeviceCondition,
  os: RequestOs,
  ip: IpAddress,
}).openapi("EvaluationRequest");

/** What the policies decide; `policy` is the id of the one that did, null for the default. */
export const PolicyDecision = z.object({
  decision: Decision,
  policy: Uuid.nullable(),
  why: z.string(),
}).openapi("PolicyDecision");

/** A request for a resource, as far as policies look at it. */
export interface AccessRequest {
  /** Null when nobody known is signed in: only policies for `*` count then. */
  userId: string | null;
  groups: readonly string[];
  resource: string;
  device: z.infer<typeof DeviceCondition>;
  os: z.infer<typeof RequestOs>;
  ip: string;
}

export type Policy = z.infer<typeof Policy>;
export type PolicyBody = z.infer<typeof PolicyBody>;
export type PolicyDecision = z.infer<typeof PolicyDecision>;
export type Decision = z.infer<typeof Decision>;
export type RequestOs = z.infer<typeof RequestOs>;

/** A policy out of the store, which keeps its id and its JSON apart. */
export function storedPolicy(row: { policyId: string; value: unknown }): Policy {
  return { ...PolicyBody.parse(row.value), policyId: row.policyId };
}

/**
 * Decides about a request: of the enabled policies whose users, resources and conditions all
 * match, the strictest wins, of equals the one with the smallest id; the order of `policies` never
 * matters.
 *
 * @param defaultDecision what holds when no policy matches
 */
export function evaluate(
  policies: readonly Policy[],
  request: AccessRequest,
  defaultDecision: Decision,
): PolicyDecision {
  const seen = asSeen(request);
  let winner: Policy | undefined;
  for (const policy of policies) {
    if (policy.enabled && (!winner || wins(policy, winner)) && matches(policy, seen)) {
      winner = policy;
    }
  }
  if (!winner) {
    const why = `No enabled policy matches, so the default decision '${defaultDecision}' holds` +
      `${mobileNote(request)}.`;
    return { decision: defaultDecision, policy: null, why };
  }
  const why = `Policy '${winner.name}' (${winner.action}) matches ${reasons(winner, seen)}` +
    `; no stricter policy does${mobileNote(request)}.`;
  return { decision: DECISION_OF[winner.action], policy: winner.policyId, why };
}

/** Whether one of a policy's `users` means this user. */
export function selects(
  selector: string,
  { userId, groups }: Pick<AccessRequest, "userId" | "groups">,
): boolean {
  if (selector === "*") return true;
  return selector.startsWith("group:") ? groups.includes(selector.slice(6)) : selector === userId;
}

const DECISION_OF = { relax: "allow", restrict: "mfa", deny: "deny" } as const;

const STRICTNESS = { relax: 0, restrict: 1, deny: 2 } as const;

/** Certificates are distributed to computers alone, so a phone never satisfies `managed` (S14). */
function asSeen(request: AccessRequest): AccessRequest {
  return isMobile(request.os) ? { ...request, device: "unmanaged" } : request;
}

function isMobile(os: RequestOs): boolean {
  return os === "ios" || os === "android";
}

function wins(policy: Policy, other: Policy): boolean {
  const difference = STRICTNESS[policy.action] - STRICTNESS[other.action];
  return difference > 0 || (difference === 0 && policy.policyId < other.policyId);
}

function matches(policy: Policy, request: AccessRequest): boolean {
  const { device, ip, os } = policy.conditions;
  return policy.users.some((selector) => selects(selector, request)) &&
    policy.resources.some((resource) => resource === "*" || resource === request.resource) &&
    (device === undefined || device === request.device) &&
    (os === undefined || os.includes(request.os)) &&
    (ip === undefined || ip.some((range) => cidrContains(range, request.ip)));
}

function reasons(policy: Policy, request: AccessRequest): string {
  const { device, ip, os } = policy.conditions;
  const selector = policy.users.find((candidate) => selects(candidate, request));
  const range = ip?.find((candidate) => cidrContains(candidate, request.ip));
  return [
    selector === "*"
      ? "every user"
      : selector?.startsWith("group:")
      ? `group '${selector.slice(6)}'`
      : "this user",
    policy.resources.includes("*") ? "every resource" : `resource '${request.resource}'`,
    ...(device ? [`${device} devices`] : []),
    ...(os ? [`operating system '${request.os}'`] : []),
    ...(range ? [`addresses in ${range}`] : []),
  ].join(", ");
}

function mobileNote(request: AccessRequest): string {
  if (!isMobile(request.os) || request.device !== "managed") return "";
  return "; a mobile device never counts as managed";
}
