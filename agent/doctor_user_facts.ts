/** Gathers what `doctor` judges of managed users, through processes with their rights. */
import type { z } from "zod";
import type { Account } from "../platform/accounts.ts";
import { Problem, toProblem } from "../platform/errors.ts";
import { ChallengeOutcome, type ChallengeRequest } from "./challenge.ts";
import { challengeTarget } from "./doctor_challenge.ts";
import { type DoctorWorld, LOOK_MS } from "./doctor_facts.ts";
import { canPresent, type UserFacts } from "./doctor_user.ts";
import { withArguments } from "./self_program.ts";
import { UserInspection } from "./user_inspection.ts";

/** A user to look at. */
export interface UserQuestion extends Pick<UserFacts, "username" | "row" | "wanted"> {
  /** Absent where only root may know it. */
  email?: string;
}

/** Processes of users at once. */
const AT_ONCE = 4;

/** Portals that are asked for each user; more patterns say nothing new. */
const MOST_CHALLENGES = 5;

/** Looks at every user's home, stores and browsers, then makes their challenges. */
export async function gatherUsers(
  world: DoctorWorld,
  questions: readonly UserQuestion[],
  patterns: readonly string[],
  trust: { serverCa?: string },
): Promise<UserFacts[]> {
  const seen = await inParallel(questions, (question) => lookAt(world, question));
  const tries = seen.flatMap(({ facts, account, email }) => {
    const directory = challengeDirectory(facts);
    if (!account || directory === undefined) return [];
    return patterns.slice(0, MOST_CHALLENGES).map((pattern) => {
      return { facts, account, email, pattern, directory };
    });
  });
  const tried = await inParallel(tries, async (one) => {
    const { facts, account, email, pattern, directory } = one;
    const target = challengeTarget(pattern, world.fresh());
    world.progress(`${facts.username}'s answer to ${target.host}:${target.port}`);
    const query = new URLSearchParams({ user: email ?? "nobody", resource: "doctor" });
    const outcome = await challenge(world, account, {
      directory,
      ...target,
      path: `/challenge?${query}`,
      ...trust,
      systemRoots: true,
      timeoutMs: LOOK_MS - 2000,
    });
    return { facts, challenge: { pattern, target, signedIn: email !== undefined, outcome } };
  });
  for (const { facts, challenge } of tried) facts.challenges.push(challenge);
  return seen.map(({ facts }) => facts);
}

interface Seen {
  facts: UserFacts;
  account?: Account;
  email?: string;
}

async function lookAt(world: DoctorWorld, question: UserQuestion): Promise<Seen> {
  const { username, row, wanted, email } = question;
  world.progress(`${username}'s account, stores and browsers`);
  const facts: UserFacts = {
    username,
    wanted,
    row,
    inspection: { code: "internal", message: "nobody looked" },
    challenges: [],
  };
  try {
    const account = await world.platform.account(username);
    facts.inspection = await inspect(world, account);
    return { facts, account, ...(email === undefined ? {} : { email }) };
  } catch (error) {
    const { code, message } = toProblem(error);
    return { facts: { ...facts, account: { code, message } } };
  }
}

async function inspect(world: DoctorWorld, account: Account): Promise<UserFacts["inspection"]> {
  try {
    return await ask(world, account, ["agent-inspect"], UserInspection);
  } catch (error) {
    const { code, message } = toProblem(error);
    return { code, message };
  }
}

async function challenge(
  world: DoctorWorld,
  account: Account,
  request: ChallengeRequest,
): Promise<ChallengeOutcome> {
  try {
    const args = ["agent-challenge", JSON.stringify(request)];
    return await ask(world, account, args, ChallengeOutcome);
  } catch (error) {
    const { code, message } = toProblem(error);
    return { answered: false, code, message };
  }
}

/** Runs this program as that user; what it prints is the user's word, and is parsed as such. */
async function ask<T>(
  { platform, program }: DoctorWorld,
  account: Account,
  args: string[],
  schema: z.ZodType<T>,
): Promise<T> {
  const result = await platform.runAsUser(account, withArguments(program, ...args), LOOK_MS);
  if (result.timedOut) {
    throw new Problem(
      "internal",
      `What looks at ${account.name}'s things did not end in ${LOOK_MS / 1000} s.`,
    );
  }
  try {
    return schema.parse(JSON.parse(result.stdoutTail));
  } catch (cause) {
    const why = result.stderrTail.trim().slice(0, 2000) || `it ended with ${result.code}`;
    throw new Problem("internal", `Cannot look at ${account.name}'s things: ${why}`, { cause });
  }
}

/** The database that the user's browsers open, when there is one to answer from. */
function challengeDirectory({ inspection, wanted, row }: UserFacts): string | undefined {
  if (!wanted || !("stores" in inspection) || !canPresent({ row })) return undefined;
  const [store] = inspection.stores;
  return store?.exists && !store.problem ? store.path : undefined;
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [at, item] of queue) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
