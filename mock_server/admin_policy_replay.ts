/** Admin API: what a draft of a policy would have decided about the challenges of the last days. */
import { createRoute, type z } from "@hono/zod-openapi";
import { ADMIN_TOKEN, type AdminApp, answerOf, bodyOf, bodyRefusals } from "./admin_routes.ts";
import { CHALLENGE_EVENT } from "./challenge.ts";
import type { ServerContext } from "./context.ts";
import { storedPolicy } from "./policy.ts";
import {
  ChallengeDetail,
  NEW_DRAFT_ID,
  PolicyReplay,
  type RecordedChallenge,
  REPLAY_MS,
  replayPolicies,
  ReplayRequest,
} from "./policy_replay.ts";
import { RequestProblem } from "./problems.ts";

/** Challenges that are read at once; few, because meanwhile everybody else waits. */
const PAGE = 100;

const replayRoute = createRoute({
  method: "post",
  path: "/admin/v1/policies/replay",
  security: ADMIN_TOKEN,
  summary: "Whose decision of the last 30 days would have been another with a draft; " +
    "changes nothing",
  request: bodyOf(ReplayRequest),
  responses: {
    200: answerOf("The decisions that would have been another", PolicyReplay),
    ...bodyRefusals("not-found"),
  },
});

/** Adds the route of replays. */
export function policyReplayRoutes(app: AdminApp, context: ServerContext): void {
  app.openapi(
    replayRoute,
    async (c) => c.json(await replayDraft(context, c.req.valid("json")), 200),
  );
}

/**
 * Replays a draft, without changing anything. Throws `not-found` where it is to replace a policy
 * that is not there.
 */
export async function replayDraft(
  { store, now }: ServerContext,
  { policy, policyId }: z.infer<typeof ReplayRequest>,
): Promise<PolicyReplay> {
  if (policyId !== undefined && !store.policies.get(policyId)) {
    throw new RequestProblem("not-found", `There is no policy ${policyId}`);
  }
  const since = now().getTime() - REPLAY_MS;
  const rules = {
    policies: store.policies.all().map(storedPolicy),
    draft: { policy, policyId: policyId ?? NEW_DRAFT_ID },
    defaultDecision: store.settings.current.defaultDecision,
  };
  return await replayPolicies(recordedChallenges({ store }, since), rules, since);
}

/** Newest first, a page at a time, with room for other requests after each. */
async function* recordedChallenges(
  { store }: Pick<ServerContext, "store">,
  since: number,
): AsyncGenerator<RecordedChallenge> {
  let page = store.events.newestOfType(CHALLENGE_EVENT, since, PAGE);
  while (page.length > 0) {
    for (const { eventId, at, userId, detail } of page) {
      yield { ...ChallengeDetail.parse(detail), eventId, at, userId: userId ?? null };
    }
    await new Promise((resolve) => setTimeout(resolve));
    page = store.events.newestOfType(CHALLENGE_EVENT, since, PAGE, page.at(-1));
  }
}
