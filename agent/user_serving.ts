/** One user's turn: the user-agent is started, or called where it waits, and awaited to its report. */
import type { Account } from "../platform/accounts.ts";
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform, SelfProgram, UserAgentExit } from "../platform/platform.ts";
import type { DesiredState } from "./contract.ts";
import { isSettled } from "./desired.ts";
import type { DeviceAccounts } from "./device_accounts.ts";
import type { DeviceDesired } from "./device_desired.ts";
import type { UserSlice } from "./local_contract.ts";
import type { Log } from "./log.ts";
import { withArguments } from "./self_program.ts";
import type { State, UserRow } from "./state.ts";
import type { UserRequests } from "./user_requests.ts";
import type { UserRows } from "./user_rows.ts";

/** What a turn needs of the world. */
export interface ServingWorld {
  platform: DevicePlatform;
  program: SelfProgram;
  state: State;
  log: Log;
  /** Resolves after so many milliseconds, or at once when the signal says to end. */
  pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /**
   * Opens the channel of an account before its user-agent starts; one that waits there goes to work.
   * False where user-agents wait in their sessions, and this one is not there.
   */
  callUserAgent: (account: Account) => Promise<boolean>;
}

/** The parts of the worker that a turn is about. */
export interface ServingParts {
  desired: DeviceDesired;
  accounts: DeviceAccounts;
  rows: UserRows;
  requests: UserRequests;
  sliceOf: (desired: DesiredState, userId: string) => UserSlice;
  /** Ends what runs. */
  signal: AbortSignal;
}

/** How long a user-agent that was called takes for its report at most, milliseconds. */
const LONGEST_RUN = 120_000;

/** Serves users, each in a turn of its own. */
export class UserServing {
  readonly #world: ServingWorld;
  readonly #parts: ServingParts;
  /** Users who were not there when their user-agents were called. */
  readonly #away = new Set<string>();

  constructor(world: ServingWorld, parts: ServingParts) {
    this.#world = world;
    this.#parts = parts;
  }

  /** Whether a user was not there: it comes by itself when it can. */
  isAway(userId: string): boolean {
    return this.#away.has(userId);
  }

  /** One user's run, from channel to report; what goes wrong is noted in the user's row. */
  async run(userId: string): Promise<void> {
    const { state, platform, program, log } = this.#world;
    const { rows, accounts, requests, signal } = this.#parts;
    const desired = this.#parts.desired.current;
    const account = accounts.of(userId);
    const row = state.user(userId);
    if (!desired || !account || !row || signal.aborted) return;
    const { wanted } = this.#parts.sliceOf(desired, userId);
    const heard = requests.expectReport(userId);
    try {
      if (!await this.#world.callUserAgent(account)) return this.#notThere(row, wanted);
      // From here on there may be something in the store, whatever becomes of the run.
      const current = state.user(userId) ?? row;
      const details = { ...current.details, held: current.details.held ?? [] };
      state.saveUser({ ...current, details, state: runningState(current, wanted) });
      const command = withArguments(program, "user-agent", "--once");
      const exit = await platform.startUserAgent(account, command, signal) ??
        await this.#untilReported(heard);
      const after = state.user(userId);
      if (!after || heard.aborted || signal.aborted) return;
      log.error("user-agent.failed", { userId, code: exit.code, errors: exit.errors.slice(-500) });
      rows.set(after, wanted ? "failed" : "removing", silence(exit));
    } catch (error) {
      const problem = toProblem(error);
      const latest = state.user(userId) ?? row;
      if (problem.code === "not-logged-on") {
        // Nothing ran, and nothing can be in the store that was not there before.
        state.saveUser({ ...latest, state: row.state, details: row.details });
        return this.#notThere(row, wanted);
      }
      const failed = problem.waiting ? "waiting" : "failed";
      rows.set(latest, wanted ? failed : "removing", problem);
    }
  }

  /** How a run ended that is no process of ours. */
  async #untilReported(heard: AbortSignal): Promise<UserAgentExit> {
    await this.#world.pause(LONGEST_RUN, AbortSignal.any([heard, this.#parts.signal]));
    return { code: 0, timedOut: !heard.aborted, errors: "" };
  }

  /** There is nothing to try again until the user comes. */
  #notThere(row: UserRow, wanted: boolean): void {
    const { state } = this.#world;
    const desired = this.#parts.desired.current;
    const latest = state.user(row.userId) ?? row;
    const settled = desired !== undefined &&
      isSettled(this.#parts.sliceOf(desired, row.userId), latest);
    const toldWhy = latest.error !== undefined && (latest.state === "removing") !== wanted;
    if (!settled && !toldWhy) {
      this.#parts.rows.set(latest, wanted ? "waiting" : "removing", notLoggedOn());
    }
    const { retryAt: _, ...resting } = state.user(row.userId) ?? latest;
    state.saveUser(resting);
    this.#away.add(row.userId);
  }
}

function runningState(row: UserRow, wanted: boolean): UserRow["state"] {
  if (!wanted) return "removing";
  return row.state === "installed" || row.state === "renewing" ? row.state : "requesting";
}

function notLoggedOn(): Problem {
  return new Problem(
    "not-logged-on",
    "This user is not logged on, or the user-agent of the session does not run. It is served when " +
      "the user logs on.",
  );
}

function silence(exit: UserAgentExit): Problem {
  return new Problem(
    "internal",
    exit.timedOut
      ? "The user-agent was ended because it took longer than 120 s. It is tried again; look for " +
        "a program that holds this user's certificate store."
      : `The user-agent ended with code ${exit.code} before it reported. It is tried again; the ` +
        "agent's log has what it said.",
  );
}
