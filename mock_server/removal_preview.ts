/**
 * What the removal of a user, of a device, or of a user from a device would do, before anybody
 * does it: who loses which certificate, and which policies see them differently. Pure.
 */
import { z } from "@hono/zod-openapi";
import type { User } from "./fleet.ts";
import type { FleetMember } from "./fleet_members.ts";
import { DeviceCondition, type Policy, selects } from "./policy.ts";
import { Affected, affected, AffectedPolicy, count, who } from "./settings_preview.ts";

/** `GET .../removal-preview`. */
export const RemovalPreview = z.object({
  loses: Affected.openapi({ description: "Who would lose their certificate" }),
  policies: z.array(AffectedPolicy.extend({ device: DeviceCondition.nullable() }))
    .openapi({ description: "Enabled policies that would see these users differently" }),
  summary: z.array(z.string()),
}).openapi("RemovalPreview");
export type RemovalPreview = z.infer<typeof RemovalPreview>;

/** Somebody who is managed, and their groups. */
export interface RemovedMember extends FleetMember {
  groups: readonly string[];
}

/** What is to be removed, and everybody who stops being managed somewhere by that. */
export type Removal =
  & { members: readonly RemovedMember[] }
  & ({ what: "binding" } | { what: "device"; hostname: string } | { what: "user"; user: User });

/** Says what a removal would do. */
export function previewRemoval(removal: Removal, policies: readonly Policy[]): RemovalPreview {
  const holders = removal.members.filter(({ leaves }) => leaves.length > 0);
  const loses = affected(holders);
  return {
    loses,
    policies: policies.filter(({ enabled }) => enabled).flatMap((policy) => {
      const effect = (removal.what === "user" && goneEffect(policy, removal.user)) ||
        deviceEffect(policy, holders);
      const { policyId, name, action, conditions: { device = null } } = policy;
      return effect ? [{ policyId, name, action, device, effect }] : [];
    }),
    summary: [
      ...headlines(removal),
      loses.certificates > 0
        ? `${who(loses)} would lose ${count(loses.certificates, "certificate")}, revoked at once.`
        : "Nobody would lose a certificate.",
    ],
  };
}

/** A deleted user is nobody any more, and then only policies for everybody count. */
function goneEffect({ users }: Policy, user: User): string | undefined {
  return !users.includes("*") && users.some((selector) => selects(selector, user))
    ? "No longer matches this user, who is unknown then: only policies for everybody do."
    : undefined;
}

function deviceEffect(policy: Policy, holders: readonly RemovedMember[]): string | undefined {
  const { users, conditions: { device } } = policy;
  const meant = holders.filter((holder) => users.some((selector) => selects(selector, holder)));
  if (device === undefined || meant.length === 0) return undefined;
  return device === "managed"
    ? `No longer matches ${who(affected(meant))}: their requests count as unmanaged.`
    : `Matches ${who(affected(meant))}, because their requests count as unmanaged.`;
}

function headlines(removal: Removal): string[] {
  const { members } = removal;
  switch (removal.what) {
    case "binding":
      return members.map(({ email, hostname, username }) =>
        `${email} would not be managed on '${hostname}' (account '${username}') any more.`
      );
    case "device":
      return [
        `'${removal.hostname}' would be deleted with ${count(members.length, "managed user")}; ` +
        "its agent would remove all that it installed.",
      ];
    case "user":
      return [
        `${removal.user.email} would be deleted and unbound from ` +
        `${count(members.length, "device")}.`,
      ];
  }
}
