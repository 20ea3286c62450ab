/** What the agent server wants, as accepted: parsed, checked against the pins, and cut by user. */
import { Problem } from "../platform/errors.ts";
import { type CertificateAnswer, DesiredState, type DesiredUser, judge } from "./contract.ts";
import { anchorsDigest, selectionDigest, type UserSlice } from "./local_contract.ts";
import { sameWindow } from "./renewal.ts";
import type { UserRow } from "./state.ts";
import type { Anchors } from "./verify.ts";

/**
 * A desired state as sent, or why it is refused as a whole: one bad part and nothing changes. Its
 * trust anchors are yet to be judged (trust_anchors.ts).
 *
 * @throws Problem `bundle-rejected` naming what is wrong
 */
export function parseDesiredState(json: unknown): DesiredState {
  const parsed = judge(DesiredState, json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Problem(
      "bundle-rejected",
      `The desired state was refused and nothing changed: '${issue?.path.join(".")}' ` +
        `${issue?.message ?? "is malformed"}. Correct it at the agent server.`,
    );
  }
  const ids = new Set(parsed.data.users.map((user) => user.userId));
  if (ids.size !== parsed.data.users.length) {
    throw new Problem(
      "bundle-rejected",
      "The desired state was refused and nothing changed: it lists a user twice.",
    );
  }
  return parsed.data;
}

/** What a user-agent is to do beyond the desired state itself. */
export interface SliceContext {
  deviceId: string;
  publicUrl: string;
  /** The account that the slice is for; undefined for whichever is the user's. */
  username?: string | undefined;
  /** The device leaves its server: nothing of us is to stay. */
  leaving: boolean;
  clock: UserSlice["clock"];
  filterWrittenAt?: number;
  renewNow: boolean;
  /** Pinned before the present ones, newest first. */
  formerAnchors: readonly Anchors[];
  /** Whether filters are in users' own settings, which user-agents write. */
  ownFilters: boolean;
}

/**
 * One user's slice; a user that the desired state does not name, or names with another account, is
 * to hold nothing.
 */
export function sliceFor(
  desired: DesiredState,
  userId: string,
  context: SliceContext,
): UserSlice {
  const { username } = context;
  const user = desired.users.find((user) =>
    user.userId === userId && user.username === (username ?? user.username)
  );
  const wanted = wants(desired, user, context.leaving);
  return {
    deviceId: context.deviceId,
    userId,
    publicUrl: context.publicUrl,
    brand: desired.brand,
    wanted,
    final: context.leaving || user === undefined,
    keyAlgorithm: desired.certificate.keyAlgorithm,
    overlapSeconds: desired.certificate.overlapSeconds,
    trustAnchors: anchorsOf(desired),
    ...(context.formerAnchors.length > 0 ? { formerAnchors: [...context.formerAnchors] } : {}),
    ...(wanted && user?.renewal ? { renewal: user.renewal } : {}),
    ...(wanted && context.renewNow ? { renewNow: true } : {}),
    leaves: wanted ? user?.leaves ?? [] : [],
    clock: context.clock,
    ...(context.ownFilters
      ? {
        selection: {
          patterns: desired.selection.patterns,
          macosApplications: desired.macosApplications,
        },
      }
      : {}),
    ...(context.filterWrittenAt === undefined ? {} : { filterWrittenAt: context.filterWrittenAt }),
  };
}

function anchorsOf({ trustAnchors: { root, intermediate } }: DesiredState): Anchors {
  return { root, intermediate };
}

/** Whether the user is to hold a leaf. */
export function wants(
  desired: DesiredState,
  user: DesiredUser | undefined,
  leaving: boolean,
): boolean {
  return desired.distribution.enabled && user !== undefined && !leaving;
}

/**
 * Whether a user's store is, by its last report, what the slice wants, so that no user-agent need
 * run. A row that waits, failed or was never checked is not.
 */
export function isSettled(slice: UserSlice, row: UserRow | undefined): boolean {
  if (!slice.wanted) return row === undefined || row.state === "removed" || row.state === "absent";
  if (row?.state !== "installed" || slice.renewNow) return false;
  const { renewal, anchors, selection } = row.details;
  if (anchors !== undefined && anchors !== anchorsDigest(slice.trustAnchors)) return false;
  if (slice.selection && selection !== selectionDigest(slice.selection)) return false;
  // The server moved the window: another instant is to be drawn.
  if (slice.renewal && !(renewal && sameWindow(slice.renewal, renewal))) return false;
  const listed = new Set(slice.leaves.map((leaf) => leaf.serial));
  const current = slice.leaves.find((leaf) => leaf.status === "current");
  const { held = [] } = row.details;
  // An elder that is lost cannot be brought back.
  return current !== undefined && held.includes(current.serial) &&
    held.every((serial) => listed.has(serial));
}

/**
 * When the user's leaf is to be renewed, server time in milliseconds; undefined while nothing is
 * planned.
 */
export function renewalOf(row: UserRow): number | undefined {
  const { renewAt } = row.details;
  return row.state === "installed" && renewAt !== undefined ? Date.parse(renewAt) : undefined;
}

/**
 * The desired state after the agent server issued `serial` to a user and before it says so itself:
 * a slice must never be older than what this device knows.
 */
export function withIssuedLeaf(
  desired: DesiredState,
  userId: string,
  { serial, renewal }: Pick<CertificateAnswer, "serial" | "renewal">,
): DesiredState {
  return {
    ...desired,
    users: desired.users.map((user) => {
      if (user.userId !== userId || user.leaves.some((leaf) => leaf.serial === serial)) return user;
      const older = user.leaves.map((leaf) => ({ ...leaf, status: "overlap" as const }));
      return { ...user, renewal, leaves: [{ serial, status: "current" as const }, ...older] };
    }),
  };
}
