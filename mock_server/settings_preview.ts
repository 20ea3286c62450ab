/**
 * What a change of settings would do, before anybody does it (DESIGN S1): who loses or gains a
 * certificate, and which policies see devices differently. Pure.
 */
import { z } from "@hono/zod-openapi";
import { Serial, Uuid } from "../agent/contract.ts";
import type { FleetMember } from "./fleet_members.ts";
import { DeviceCondition, type Policy, PolicyAction } from "./policy.ts";
import type { Settings } from "./store.ts";

/** Members that one side of a preview lists by name; its counts are exact. */
const MOST_LISTED = 500;

/** Managed users on devices whom a change concerns. */
export const Affected = z.object({
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
export type Affected = z.infer<typeof Affected>;

/** A policy that a change makes see devices differently. */
export const AffectedPolicy = z.object({
  policyId: Uuid,
  name: z.string(),
  action: PolicyAction,
  device: DeviceCondition,
  effect: z.string(),
});
export type AffectedPolicy = z.infer<typeof AffectedPolicy>;

/** `POST /admin/v1/settings/preview`. */
export const SettingsPreview = z.object({
  changes: z.array(z.object({ setting: z.string(), from: z.unknown(), to: z.unknown() })),
  loses: Affected.openapi({ description: "Who would lose their certificate" }),
  gains: Affected.openapi({ description: "Who would get a certificate" }),
  patterns: z.object({
    added: z.array(z.string()),
    removed: z.array(z.string()),
    affected: Affected.openapi({
      description: "Whose browsers would present, or stop presenting, a certificate there",
    }),
  }).openapi({ description: "Selection patterns that would come and go" }),
  policies: z.array(AffectedPolicy)
    .openapi({ description: "Enabled policies with a device condition that would be affected" }),
  summary: z.array(z.string()),
}).openapi("SettingsPreview");
export type SettingsPreview = z.infer<typeof SettingsPreview>;

/** The members of `change` that differ from what is set now. */
export function effectiveChange(current: Settings, change: Partial<Settings>): Partial<Settings> {
  return Object.fromEntries(changedEntries(current, change));
}

/** What a change of settings would meet. */
export interface Surroundings {
  fleet: readonly FleetMember[];
  policies: readonly Policy[];
  /** Without trailing slash. */
  portalUrl: string;
  /** Milliseconds since 1970. */
  now: number;
}

/** Says what `change` would do. */
export function previewSettings(
  current: Settings,
  change: Partial<Settings>,
  { fleet, policies, portalUrl, now }: Surroundings,
): SettingsPreview {
  const next = { ...current, ...change };
  const switched = next.globalCertificateDistribution !== current.globalCertificateDistribution;
  const on = next.globalCertificateDistribution;
  const holders = fleet.filter(({ leaves }) => leaves.length > 0);
  const loses = affected(switched && !on ? holders : []);
  const gains = affected(switched && on ? fleet.filter(({ leaves }) => !leaves.length) : [], 1);
  const changes = changedEntries(current, change)
    .map(([setting, to]) => ({ setting, from: entryOf(current, setting), to }));
  const patterns = patternChange(current, next, switched ? fleet : holders);
  const [seen, seenThen] = [sightOf(current, portalUrl), sightOf(next, portalUrl)];
  const sight = seen === seenThen ? undefined : seenThen;
  return {
    changes,
    loses,
    gains,
    patterns,
    policies: sight === undefined ? [] : affectedPolicies(policies, sight),
    summary: [
      ...switched ? [switchSummary(on ? gains : loses, on)] : [],
      ...patternSummary(patterns),
      ...sight === "blind" ? [`No pattern would cover the portal, ${portalUrl}: ${BLIND}.`] : [],
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

/**
 * Sums `members` up.
 *
 * @param expected how many certificates each would get who has none yet
 */
export function affected(members: readonly FleetMember[], expected = 0): Affected {
  return {
    devices: new Set(members.map(({ deviceId }) => deviceId)).size,
    users: new Set(members.map(({ userId }) => userId)).size,
    certificates: members.reduce((sum, { leaves }) => sum + Math.max(leaves.length, expected), 0),
    items: members.slice(0, MOST_LISTED).map((member) => ({
      deviceId: member.deviceId,
      hostname: member.hostname,
      userId: member.userId,
      email: member.email,
      username: member.username,
      serials: member.leaves.map(({ serial }) => serial),
    })),
  };
}

/** How the portal sees certificates; `blind`: they come by hand at best. */
type Sight = "on" | "off" | "blind";

function sightOf(settings: Settings, portalUrl: string): Sight {
  if (!settings.globalCertificateDistribution) return "off";
  return coversPortal(settings.selectionPatterns, portalUrl) ? "on" : "blind";
}

/** Whether browsers present a certificate unasked on the portal's fresh names (S17). */
function coversPortal(patterns: readonly string[], portalUrl: string): boolean {
  const url = new URL(portalUrl);
  // An address has no names below it, and stays what it is.
  url.hostname = `fresh.challenge.${url.hostname}`;
  const { hostname: fresh, port } = url;
  return patterns.some((pattern) => {
    const [, wild, host = "", only] = /^https:\/\/(\[\*\.\])?([^:]+)(?::(\d+))?$/.exec(pattern) ??
      [];
    const named = host.toLowerCase() === fresh ||
      (wild && fresh.endsWith(`.${host.toLowerCase()}`));
    // A pattern without a port covers them all.
    return named && (only === undefined || only === (port || "443"));
  });
}

function affectedPolicies(policies: readonly Policy[], sight: Sight): AffectedPolicy[] {
  return policies.flatMap(({ policyId, name, enabled, action, conditions: { device } }) =>
    enabled && device ? [{ policyId, name, action, device, effect: EFFECTS[device][sight] }] : []
  );
}

const BLIND = "browsers would ask there which certificate to present, or present none";

const EFFECTS = {
  managed: {
    on: "Matches again where a device presents its certificate.",
    off: "Matches nobody any more: every device counts as unmanaged.",
    blind: "Matches only where a person chooses the certificate by hand.",
  },
  unmanaged: {
    on: "No longer matches where a device presents its certificate.",
    off: "Matches every device, because all count as unmanaged.",
    blind: "Matches wherever a person does not choose the certificate by hand.",
  },
};

function switchSummary(change: Affected, on: boolean) {
  const certificates = count(change.certificates, "certificate");
  return on
    ? `ON: ${who(change)} would request ${certificates}.`
    : `OFF: ${who(change)} would lose ${certificates}, and every request would count as ` +
      "unmanaged at once.";
}

function patternChange(
  current: Settings,
  next: Settings,
  presenting: readonly FleetMember[],
): SettingsPreview["patterns"] {
  const [before, after] = [current.selectionPatterns, next.selectionPatterns];
  const added = after.filter((pattern) => !before.includes(pattern));
  const removed = before.filter((pattern) => !after.includes(pattern));
  const concerned = next.globalCertificateDistribution && added.length + removed.length > 0;
  return { added, removed, affected: affected(concerned ? presenting : [], 1) };
}

function patternSummary({ added, removed, affected }: SettingsPreview["patterns"]): string[] {
  const browsers = `browsers of ${who(affected)}`;
  return [
    ...removed.map((pattern) => `${pattern}: ${browsers} would stop presenting a certificate.`),
    ...added.map((pattern) => `${pattern}: ${browsers} would present a certificate unasked.`),
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

/** For instance `2 users on 1 device`. */
export function who({ users, devices }: Affected): string {
  return `${count(users, "user")} on ${count(devices, "device")}`;
}

/** For instance `1 user`, `2 users`. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
