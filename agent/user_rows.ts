/** The state rows of managed users: how they change, and what of it is news. */
import type { Problem } from "../platform/errors.ts";
import { backOff, isPausing } from "./back_off.ts";
import { type DesiredState, LIMITS } from "./contract.ts";
import type { UserAgentReport } from "./local_contract.ts";
import type { Log } from "./log.ts";
import type { State, UserRow } from "./state.ts";

/** What rows depend on. */
export interface RowsWorld {
  state: State;
  log: Log;
  now: () => number;
  /** Uniform in [0, 1). */
  random: () => number;
}

/** Rows of a device's managed users. */
export class UserRows {
  constructor(private readonly world: RowsWorld) {}

  /**
   * A row for every user that the desired state names; true when there is a new one. Whoever has
   * another account now keeps the row of the former one until nothing of ours is there.
   */
  add(desired: DesiredState): boolean {
    const { state } = this.world;
    const news = desired.users.filter((user) => {
      const row = state.user(user.userId);
      return !row || (row.username !== user.username && isEmpty(row));
    });
    if (news.length === 0) return false;
    // Where an earlier state was lost, somebody may hold what this one does not know of.
    const begin: Pick<UserRow, "state" | "details"> = state.isSuccessor()
      ? { state: "removing", details: { held: [] } }
      : { state: "absent", details: {} };
    state.transaction(() => {
      for (const { userId, username } of news) {
        const { removed = [] } = state.user(userId) ?? {};
        state.saveUser({ ...begin, userId, username, removed, attempts: 0, unreported: true });
      }
    });
    return true;
  }

  /**
   * Sets a row's state, with the problem that keeps it there.
   *
   * @param retryAt when it is tried again, local milliseconds; after a growing pause by default
   */
  set(row: UserRow, next: UserRow["state"], problem?: Problem, retryAt?: number): void {
    const { state } = this.world;
    const changed = row.state !== next || row.error?.message !== problem?.message;
    state.saveUser({
      ...withoutError(row),
      state: next,
      details: next === "removed" ? {} : row.details,
      ...this.#trouble(row, problem && { code: problem.code, message: problem.message }),
      ...(problem && retryAt !== undefined ? { retryAt } : {}),
      unreported: row.unreported || changed,
    });
    if (changed) state.recordEvent(`user.${next}`, problem?.message ?? "", row.userId);
  }

  /** Takes what a user-agent says of its own store. */
  take(report: UserAgentReport): void {
    const { state, log, now } = this.world;
    const row = state.user(report.userId);
    if (!row) return;
    const { userId, state: next, removed, error, ...details } = report;
    state.saveUser({
      ...withoutError(row),
      state: next,
      details: error ? row.details : details,
      ...this.#trouble(row, error),
      checkedAt: now(),
      unreported: row.unreported || row.state !== next || removed.length > 0 ||
        row.details.serial !== details.serial || row.error?.message !== error?.message,
      removed: [...row.removed, ...removed].slice(-LIMITS.removedItems),
    });
    const fields = { userId, user: row.username };
    if (error) log.warning(`user.${next}`, { ...fields, ...error });
    else log.info(`user.${next}`, { ...fields, serial: details.serial });
    if (row.state !== next || row.error?.message !== error?.message) {
      state.recordEvent(`user.${next}`, error?.message ?? details.serial ?? "", userId);
    }
  }

  /** The agent server could not be told: try again after a pause, unless that is planned anyway. */
  retryReport(rows: readonly UserRow[]): void {
    const { state, now, random } = this.world;
    for (const { userId } of rows) {
      const row = state.user(userId);
      if (!row || isPausing(row.retryAt, now())) continue;
      const attempts = row.attempts + 1;
      state.saveUser({ ...row, attempts, retryAt: now() + backOff(attempts, random) });
    }
  }

  /** The agent server has heard of these rows as they were. */
  reported(rows: readonly UserRow[]): void {
    const { state } = this.world;
    state.transaction(() => {
      for (const told of rows) {
        const row = state.user(told.userId);
        if (!row) continue;
        const { retryAt, ...rest } = row;
        const pending = row.error && retryAt !== undefined ? { retryAt } : {};
        state.saveUser({
          ...rest,
          ...pending,
          attempts: row.error ? row.attempts : 0,
          unreported: !isAsTold(row, told),
          removed: row.removed.slice(told.removed.length),
        });
      }
    });
  }

  #trouble(
    row: UserRow,
    error: UserRow["error"],
  ): Pick<UserRow, "attempts" | "error" | "retryAt"> {
    // The agent server cannot be reached more often because the store can.
    if (!error) return { attempts: row.unreported ? row.attempts : 0 };
    const attempts = row.attempts + 1;
    const retryAt = this.world.now() + backOff(attempts, this.world.random);
    return { attempts, error, retryAt };
  }
}

/** Whether the agent server knows of a row all that there is to know, having heard of it so. */
function isAsTold(row: UserRow, told: UserRow): boolean {
  return row.state === told.state && row.details.serial === told.details.serial &&
    row.error?.message === told.error?.message && row.removed.length <= told.removed.length;
}

/** Whether nothing of ours is in the store. */
export function isEmpty(row: UserRow): boolean {
  return row.state === "removed" || neverHeld(row);
}

/** Whether no user-agent ever ran for this user, so that nothing of ours can be in the store. */
function neverHeld(row: UserRow): boolean {
  return row.details.held === undefined && row.checkedAt === undefined;
}

function withoutError(row: UserRow): Omit<UserRow, "error" | "retryAt"> {
  const { error: _error, retryAt: _retryAt, ...rest } = row;
  return rest;
}
