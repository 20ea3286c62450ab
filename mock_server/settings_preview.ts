/**
 * What a change of settings would do, before anybody does it (DESIGN S1): who loses or gains a
 * certificate, and which policies see devices differently. Pure.
 */
import { z } from "@hono/zod-openapi";
import { Serial, Uuid } from "../agent/contract.ts";
import { DeviceCondition, type Policy, PolicyAction } from "./policy.ts";
import type { Settings } from "./store.ts";

/** A managed user on a device, with the live leaves that are there. */
export interface FleetMember {
  deviceId: string;
  hostname: string;
  userId: string;
  email: string;
  username: string;
  leaves: { serial: string; supersededAt: number | null }[];
}

/** Members that one side of a preview lists by name; its counts are exact. */
const MOST_LISTED = 500;

const Affected = z.object({
  devices: z.number().int(),
  users: z.number().int(),
  certificates: z.number().int(),
  items: z.array(z.object({
    deviceId: Uuid,
    hostname: z.string(),
    userId: Uuid,
    email: z.string(),
    username: z.string(),
    serials: z.array(Serial),
  })).openapi({ description: `The first ${MOST_LISTED}; the counts are of all` }),
});

/** `POST /admin/v1/settings/preview`. */
export const SettingsPreview = z.object({
  changes: z.array(z.object({ setting: z.string(), from: z.unknown(), to: z.unknown() })),
  loses: Affected.openapi({ description: "Who would lose their certificate" }),
  gains: Affected.openapi({ description: "Who would get a certificate" }),
  policies: z.array(z.object({
    policyId: Uuid,
    name: z.string(),
    action: PolicyAction,
    device: DeviceCondition,
    effect: z.string(),
  })).openapi({ description: "Enabled policies with a device condition that would be affected" }),
  summary: z.array(z.string()),
}).openapi("SettingsPreview");
export type SettingsPreview = z.infer<typeof SettingsPreview>;

/** The members of `change` that differ from what is set now. */
export function effectiveChange(current: Settings, change: Partial<Settings>): Partial<Settings> {
  return Object.fromEntries(changedEntries(current, change));
}

/** Says what `change` would do to `fleet` and with `policies` at `now` (milliseconds). */
export function previewSettings(
  current: Settings,
  change: Partial<Settings>,
  fleet: readonly FleetMember[],
  policies: readonly Policy[],
  now: number,
): SettingsPreview {
  const next = { ...current, ...change };
  const switched = next.globalCertificateDistribution !== current.globalCertificateDistribution;
  const on = next.globalCertificateDistribution;
  const holders = fleet.filter(({ leaves }) => leaves.length > 0);
  const loses = affected(switched && !on ? holders : []);
  const gains = affected(switched && on ? fleet.filter(({ leaves }) => !leaves.length) : [], 1);
  const changes = changedEntries(current, change)
    .map(([setting, to]) => ({ setting, from: entryOf(current, setting), to }));
  return {
    changes,
    loses,
    gains,
    policies: switched ? affectedPolicies(policies, on) : [],
    summary: [
      ...switched ? [switchSummary(on ? gains : loses, on)] : [],
      ...patternSummary(current, next, holders),
      ...otherSummary(current, next, holders, now),
      ...changes.length ? [] : ["Nothing would change: these settings are in force already."],
    ],
  };
}

function changedEntries(current: Settings, change: Partial<Settings>): [string, unknown][] {
  return Object.entries(change).filter(([setting, value]) =>
    value !== undefined && JSON.stringify(value) !== JSON.stringify(entryOf(current, setting))
  );
}

function entryOf(settings: Settings, name: string): unknown {
  return new Map<string, unknown>(Object.entries(settings)).get(name);
}

/** `expected` is how many certificates each member would get who has none yet. */
function affected(members: readonly FleetMember[], expected = 0): z.infer<typeof Affected> {
  return {
    devices: new Set(members.map(({ deviceId }) => deviceId)).size,
    users: new Set(members.map(({ userId }) => userId)).size,
    certificates: members.reduce((sum, { leaves }) => sum + Math.max(leaves.length, expected), 0),
    items: members.slice(0, MOST_LISTED).map(({ leaves, ...member }) => ({
      ...member,
      serials: leaves.map(({ serial }) => serial),
    })),
  };
}

function affectedPolicies(policies: readonly Policy[], on: boolean): SettingsPreview["policies"] {
  return policies.flatMap(({ policyId, name, enabled, action, conditions: { device } }) =>
    enabled && device ? [{ policyId, name, action, device, effect: EFFECTS[device](on) }] : []
  );
}

const EFFECTS = {
  managed: (on: boolean) =>
    on
      ? "Matches again where a device presents its certificate."
      : "Matches nobody any more: every device counts as unmanaged.",
  unmanaged: (on: boolean) =>
    on
      ? "No longer matches where a device presents its certificate."
      : "Matches every device, because all count as unmanaged.",
};

function switchSummary({ devices, users, certificates }: z.infer<typeof Affected>, on: boolean) {
  const who = `${count(users, "user")} on ${count(devices, "device")}`;
  return on
    ? `ON: ${who} would request ${count(certificates, "certificate")}.`
    : `OFF: ${who} would lose ${count(certificates, "certificate")}, and every request would ` +
      "count as unmanaged at once.";
}

function patternSummary(
  current: Settings,
  next: Settings,
  holders: readonly FleetMember[],
): string[] {
  const [before, after] = [current.selectionPatterns, next.selectionPatterns];
  const users = count(new Set(holders.map(({ userId }) => userId)).size, "user");
  return [
    ...before.filter((pattern) => !after.includes(pattern))
      .map((pattern) => `${pattern}: browsers of ${users} would stop presenting a certificate.`),
    ...after.filter((pattern) => !before.includes(pattern))
      .map((pattern) => `${pattern}: browsers of ${users} would present a certificate unasked.`),
  ];
}

function otherSummary(
  current: Settings,
  next: Settings,
  holders: readonly FleetMember[],
  now: number,
): string[] {
  const ended =
    holders.flatMap(({ leaves }) => leaves).filter(({ supersededAt }) =>
      supersededAt !== null && supersededAt + next.overlapSeconds * 1000 <= now
    ).length;
  const removed = current.macosApplications
    .filter((application) => !next.macosApplications.includes(application));
  return [
    ...ended
      ? [`${count(ended, "superseded certificate")} would end at once; their successors stay.`]
      : [],
    ...removed.map((application) => `${application}: would lose access to the key on macOS.`),
    ...next.keyAlgorithm !== current.keyAlgorithm
      ? [`New keys would be ${next.keyAlgorithm}, each from its next renewal on.`]
      : [],
    ...next.defaultDecision !== current.defaultDecision
      ? [`Requests that no policy matches would get '${next.defaultDecision}'.`]
      : [],
  ];
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
