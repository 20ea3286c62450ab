/** Policies as people read and write them. Pure. */
import type { Decision, Policy, PolicyBody } from "../policy.ts";
import { lines } from "./forms.tsx";
import { OS_WORDS, type Tone } from "./words.tsx";

/** What a policy does. */
export const ACTION_WORDS = {
  relax: { words: "Allow", tone: "good" },
  restrict: { words: "Ask for a second factor", tone: "warn" },
  deny: { words: "Deny", tone: "bad" },
} as const satisfies Record<Policy["action"], { words: string; tone: Tone }>;

/** What becomes of a request. */
export const DECISION_WORDS = {
  allow: { words: "Allowed", tone: "good" },
  mfa: { words: "Needs a second factor", tone: "warn" },
  deny: { words: "Denied", tone: "bad" },
} as const satisfies Record<Decision, { words: string; tone: Tone }>;

/** Looks up users by either of their names. */
export interface Directory {
  emailOf(userId: string): string | undefined;
  userIdOf(email: string): string | undefined;
}

/** Whom a policy is for: `Everyone`, e-mail addresses, groups. */
export function usersInWords(users: readonly string[], directory: Directory): string {
  return users.map((selector) => {
    if (selector === "*") return "Everyone";
    if (selector.startsWith("group:")) return `group ${selector.slice(6)}`;
    return directory.emailOf(selector) ?? `deleted user ${selector.slice(0, 8)}`;
  }).join(", ");
}

/** What a policy is about. */
export function resourcesInWords(resources: readonly string[]): string {
  return resources.map((resource) => resource === "*" ? "Every resource" : resource).join(", ");
}

/** When a policy matches. */
export function conditionsInWords({ device, ip, os }: Policy["conditions"]): string[] {
  return [
    ...(device ? [`on ${device === "managed" ? "a managed" : "an unmanaged"} device`] : []),
    ...(os ? [`from ${os.map((name) => OS_WORDS[name]).join(" or ")}`] : []),
    ...(ip ? [`from ${ip.join(" or ")}`] : []),
  ];
}

/** A policy as the fields of its form hold it. */
export function policyFields(policy: PolicyBody, directory: Directory): URLSearchParams {
  const { name, enabled, users, resources, conditions: { device, ip, os }, action } = policy;
  return new URLSearchParams([
    ["name", name],
    ["enabled", enabled ? "yes" : "no"],
    ["users", users.map((selector) => directory.emailOf(selector) ?? selector).join("\n")],
    ["resources", resources.join("\n")],
    ["conditions.device", device ?? ""],
    ["conditions.ip", (ip ?? []).join("\n")],
    ...(os ?? []).map((system) => ["conditions.os", system]),
    ["action", action],
  ]);
}

/** What those fields say, as a policy's body yet to be validated. */
export function policyFromFields(fields: URLSearchParams, directory: Directory): unknown {
  const device = fields.get("conditions.device");
  const ip = lines(fields.get("conditions.ip"));
  const os = fields.getAll("conditions.os");
  return {
    name: fields.get("name")?.trim(),
    enabled: fields.get("enabled") === "yes",
    users: lines(fields.get("users")).map((line) => directory.userIdOf(line) ?? line),
    resources: lines(fields.get("resources")),
    conditions: {
      ...(device ? { device } : {}),
      ...(ip.length > 0 ? { ip } : {}),
      ...(os.length > 0 ? { os } : {}),
    },
    action: fields.get("action") ?? undefined,
  };
}
