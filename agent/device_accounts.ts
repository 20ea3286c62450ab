/** Which local account serves which managed user. */
import type { Account } from "../platform/accounts.ts";
import { Problem, toProblem } from "../platform/errors.ts";
import type { UserRow } from "./state.ts";
import { isEmpty } from "./user_rows.ts";

/** Accounts that are looked up at once: each may take a process, and a device has many users. */
const AT_ONCE = 32;

/** What became of one row. */
export type AccountFinding =
  | { row: UserRow; is: "served"; account: Account }
  /** Nothing can be done for the user now. */
  | { row: UserRow; is: "unserved"; problem: Problem }
  /** The user is to hold nothing, and there is no store of theirs left that could hold it. */
  | { row: UserRow; is: "gone" };

/** The accounts that serve managed users, as they were found last. */
export class DeviceAccounts {
  readonly #served = new Map<string, Account>();

  /** @param lookUp an account by its name. Throws Problem */
  constructor(private readonly lookUp: (username: string) => Promise<Account>) {}

  /** Looks every row's account up anew, and says what became of each row. */
  async find(
    rows: readonly UserRow[],
    isWanted: (userId: string) => boolean,
  ): Promise<AccountFinding[]> {
    const findings = await findAccounts(rows, isWanted, this.lookUp);
    this.#served.clear();
    for (const finding of findings) {
      if (finding.is === "served") this.#served.set(finding.row.userId, finding.account);
    }
    return findings;
  }

  /** The account that serves a user. */
  of(userId: string): Account | undefined {
    return this.#served.get(userId);
  }

  /** The user that an account serves, by the account's id. */
  userOf(uid: string): string | undefined {
    for (const [userId, account] of this.#served) if (account.uid === uid) return userId;
    return undefined;
  }

  /** Users that an account serves. */
  userIds(): string[] {
    return [...this.#served.keys()];
  }

  /** Every account that serves somebody. */
  all(): Account[] {
    return [...this.#served.values()];
  }
}

/**
 * Looks every row's account up. An account serves one user: one that the desired state wants comes
 * before one that is to be removed, whose things the other's user-agent removes, and that one before
 * one who never had anything.
 */
export async function findAccounts(
  rows: readonly UserRow[],
  isWanted: (userId: string) => boolean,
  lookUp: (username: string) => Promise<Account>,
): Promise<AccountFinding[]> {
  const rank = (row: UserRow) => Number(isWanted(row.userId)) * 2 + Number(!isEmpty(row));
  const wantedFirst = rows.toSorted((a, b) => rank(b) - rank(a));
  const look = async (row: UserRow) => {
    try {
      return { row, account: await lookUp(row.username) };
    } catch (error) {
      return { row, problem: toProblem(error) };
    }
  };
  const found = [];
  for (let at = 0; at < wantedFirst.length; at += AT_ONCE) {
    found.push(...await Promise.all(wantedFirst.slice(at, at + AT_ONCE).map(look)));
  }
  const taken = new Set<string>();
  return found.map(({ row, account, problem }): AccountFinding => {
    const wanted = isWanted(row.userId);
    if (!account) {
      // An account that is gone took its home along.
      const gone = problem.code === "no-local-account" || problem.code === "system-account";
      return gone && !wanted ? { row, is: "gone" } : { row, is: "unserved", problem };
    }
    if (taken.has(account.uid)) {
      return wanted ? { row, is: "unserved", problem: shared(account) } : { row, is: "gone" };
    }
    taken.add(account.uid);
    return { row, is: "served", account };
  });
}

function shared(account: Account): Problem {
  return new Problem(
    "duplicate-binding",
    `The local account '${account.name}' (uid ${account.uid}) is bound to two managed users. ` +
      "Unbind one of them at the agent server.",
  );
}
