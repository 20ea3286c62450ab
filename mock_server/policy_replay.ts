/**
 * Replay of a draft policy over challenges that were answered: whose decision would have been
 * another. Pure; the challenges come in one after the other and none is kept but what is listed.
 */
import { z } from "@hono/zod-openapi";
import { Instant, Uuid } from "../agent/contract.ts";
import { instant } from "./context.ts";
import {
  Decision,
  DeviceCondition,
  evaluate,
  Policy,
  PolicyBody,
  PolicyDecision,
  RequestOs,
} from "./policy.ts";

/** How far back a replay looks, milliseconds. */
export const REPLAY_MS = 30 * 86_400_000;

/** Challenges that one replay looks at; of more than that, the newest. */
export const MOST_CHALLENGES = 100_000;

/** Changed decisions that an answer lists; its counts are exact. */
const MOST_LISTED = 500;

/** What a challenge's event holds of all that policies look at, and what they decided. */
export const ChallengeDetail = z.object({
  user: z.string(),
  /** The user's groups at that time. */
  groups: z.array(z.string()),
  resource: z.string(),
  managed: z.boolean(),
  os: RequestOs,
  ip: z.string(),
  decision: Decision,
  policy: Uuid.nullable(),
});

/** A challenge as it was answered. */
export interface RecordedChallenge extends z.infer<typeof ChallengeDetail> {
  eventId: string;
  /** Milliseconds since 1970. */
  at: number;
  /** Null when nobody known was signed in. */
  userId: string | null;
}

/** `POST /admin/v1/policies/replay`. */
export const ReplayRequest = z.strictObject({
  // Not `nullable`, which the contract would describe as an object and nothing else.
  policy: z.union([PolicyBody, z.null()])
    .openapi({ description: "Null: what if `policyId` were deleted" }),
  policyId: Uuid.optional().openapi({
    description: "The policy that the draft replaces; absent: the draft is added",
  }),
}).refine(({ policy, policyId }) => policy !== null || policyId !== undefined, {
  message: "a draft is needed, or the policyId of the policy to do without",
}).openapi("ReplayRequest");

const Decided = PolicyDecision.omit({ why: true });

/** Its answer. */
export const PolicyReplay = z.object({
  challenges: z.number().int().openapi({ description: "How many were looked at" }),
  since: Instant.describe(
    `Every challenge from then on: of 30 days, or the newest ${MOST_CHALLENGES}`,
  ),
  draftId: Uuid.nullable().openapi({ description: "What `after` calls the draft" }),
  changed: z.number().int().openapi({ description: "Decisions that would have been another" }),
  changedAnyway: z.number().int().openapi({
    description: "Those of them that are not the draft's doing: the policies in force would " +
      "decide the same by now",
  }),
  items: z.array(z.object({
    eventId: Uuid,
    at: Instant,
    user: z.string(),
    resource: z.string(),
    device: DeviceCondition,
    os: RequestOs,
    ip: z.string(),
    before: Decided.openapi({ description: "As it was decided and recorded then" }),
    present: Decided.openapi({ description: "By the policies in force" }),
    after: PolicyDecision.openapi({ description: "By the policies in force with the draft" }),
  })).openapi({
    description: `The first ${MOST_LISTED} that changed, newest first; the counts are of all`,
  }),
}).openapi("PolicyReplay");
export type PolicyReplay = z.infer<typeof PolicyReplay>;

/** A policy as it may become; null: as if it were deleted. */
export interface Draft {
  policyId: string;
  policy: PolicyBody | null;
}

/** What a replay decides by. */
export interface ReplayRules {
  /** The policies in force. */
  policies: readonly Policy[];
  draft: Draft;
  defaultDecision: Decision;
}

/**
 * The id of a draft that replaces nothing. The one that it would get is not known yet; this one
 * loses every tie, so that the draft is named only where it makes a difference.
 */
export const NEW_DRAFT_ID = "ffffffff-ffff-4fff-bfff-ffffffffffff";

/** The policies as they would be with the draft. */
export function withDraft(policies: readonly Policy[], { policyId, policy }: Draft): Policy[] {
  const others = policies.filter((other) => other.policyId !== policyId);
  return policy ? [...others, { ...policy, policyId }] : others;
}

/**
 * Decides every challenge anew. Each keeps what it was: its user, groups and address, and whether
 * its device counted as managed.
 *
 * @param challenges newest first; no more than {@link MOST_CHALLENGES} are taken
 * @param since the instant from which on they are complete, milliseconds
 */
export async function replayPolicies(
  challenges: AsyncIterable<RecordedChallenge> | Iterable<RecordedChallenge>,
  { policies, draft, defaultDecision }: ReplayRules,
  since: number,
): Promise<PolicyReplay> {
  const drafted = withDraft(policies, draft);
  const replay = { challenges: 0, changed: 0, changedAnyway: 0 };
  const items: PolicyReplay["items"] = [];
  let [from, oldest] = [since, since];
  for await (const challenge of challenges) {
    if (replay.challenges === MOST_CHALLENGES) {
      from = oldest;
      break;
    }
    replay.challenges++;
    oldest = challenge.at;
    const request = { ...challenge, device: deviceOf(challenge) };
    const after = evaluate(drafted, request, defaultDecision);
    if (after.decision === challenge.decision) continue;
    const { why: _, ...present } = evaluate(policies, request, defaultDecision);
    replay.changed++;
    if (present.decision === after.decision) replay.changedAnyway++;
    if (items.length < MOST_LISTED) items.push(changedItem(challenge, present, after));
  }
  const draftId = draft.policy && draft.policyId;
  return { ...replay, since: instant(from), draftId, items };
}

function deviceOf({ managed }: RecordedChallenge) {
  return managed ? "managed" as const : "unmanaged" as const;
}

function changedItem(
  challenge: RecordedChallenge,
  present: z.infer<typeof Decided>,
  after: PolicyDecision,
): PolicyReplay["items"][number] {
  const { eventId, at, user, resource, os, ip, decision, policy } = challenge;
  return {
    eventId,
    at: instant(at),
    user,
    resource,
    device: deviceOf(challenge),
    os,
    ip,
    before: { decision, policy },
    present,
    after,
  };
}
