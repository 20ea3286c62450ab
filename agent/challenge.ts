/**
 * A portal's challenge, answered in a process of its own (hidden command `agent-challenge`): calls
 * into NSS block, and belong in a process with the user's rights and a deadline.
 */
import { z } from "zod";
import { INTERMEDIATE_NAME } from "../ca/names.ts";
import { ChallengeFailed } from "../platform/challenge.ts";
import { PROBLEM_CODES, toProblem } from "../platform/errors.ts";
import { type UserPlatform, userPlatform } from "../platform/platform.ts";
import { EXIT } from "./exit.ts";

/** What to ask; one argument, JSON. */
export const ChallengeRequest = z.strictObject({
  /** Folder of the NSS database. */
  directory: z.string(),
  host: z.string(),
  port: z.number().int().min(1).max(65535),
  /** Path and query. */
  path: z.string(),
  /** PEM; `systemRoots`: whether the authorities of this system count too. */
  serverCa: z.string().optional(),
  systemRoots: z.boolean().optional(),
  timeoutMs: z.number().int().min(1),
});

const Trace = z.object({
  /** Whether the portal asked for a certificate. */
  requested: z.boolean(),
  /** The authorities that it asked for, for people; none means any. */
  caNames: z.array(z.string()),
  /** What the browser would offer, best first. */
  candidates: z.array(z.object({ sha256: z.string(), issuerCommonName: z.string() })),
  presented: z.object({ sha256: z.string() }).optional(),
  /** False when nothing on this machine could tell whether it is the right server. */
  serverVerified: z.boolean(),
});

/** How it went. */
export const ChallengeOutcome = z.discriminatedUnion("answered", [
  Trace.extend({
    answered: z.literal(true),
    protocol: z.string(),
    status: z.number(),
    /** At most 16 KiB of it. */
    body: z.string(),
  }),
  Trace.partial().extend({
    answered: z.literal(false),
    /** How far it came; absent when the database could not be used. */
    stage: z.enum(["connect", "server", "handshake", "answer"]).optional(),
    code: z.enum(PROBLEM_CODES).catch("internal"),
    message: z.string(),
  }),
]);

export type ChallengeRequest = z.infer<typeof ChallengeRequest>;
export type ChallengeOutcome = z.infer<typeof ChallengeOutcome>;

/** Answers it with the leaf that the selection filter takes: the first of our issuer. */
export async function answerChallenge(
  platform: Pick<UserPlatform, "answerChallenge">,
  request: ChallengeRequest,
): Promise<ChallengeOutcome> {
  try {
    const answer = await platform.answerChallenge({
      ...request,
      choose: (candidates) => {
        const at = candidates.findIndex((one) => one.issuerCommonName === INTERMEDIATE_NAME);
        return at === -1 ? undefined : at;
      },
    });
    return { answered: true, ...answer, body: answer.body.slice(0, 16_384) };
  } catch (error) {
    const { code, message } = toProblem(error);
    const progress = error instanceof ChallengeFailed ? { stage: error.stage, ...error.trace } : {};
    return { answered: false, ...progress, code, message };
  }
}

/** `agent-challenge`: one request in JSON, one outcome in JSON. */
export async function challengeCommand(
  root: string | undefined,
  request: string,
  output: { out: (text: string) => void },
): Promise<number> {
  const outcome = await answerChallenge(
    await userPlatform(root),
    ChallengeRequest.parse(JSON.parse(request)),
  );
  output.out(`${JSON.stringify(outcome)}\n`);
  return outcome.answered ? EXIT.done : EXIT.failed;
}
