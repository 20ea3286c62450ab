/**
 * The agent's work on one device: desired state in, filters written, user-agents run, reports out.
 * It lives as long as there is something to do (agent.ts keeps the watch in between).
 */
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import { isPausing } from "./back_off.ts";
import type { DesiredState } from "./contract.ts";
import { isSettled, renewalOf } from "./desired.ts";
import { DeviceAccounts } from "./device_accounts.ts";
import { DeviceDesired } from "./device_desired.ts";
import { DeviceFilters, type FiltersWorld } from "./device_filters.ts";
import { DeviceReports, type ReportWorld } from "./device_report.ts";
import { DeviceRoot } from "./device_root.ts";
import type { Enrolled } from "./identity.ts";
import type { RenewalOutcome, UserSlice } from "./local_contract.ts";
import type { ServerClient } from "./server_client.ts";
import type { UserRow } from "./state.ts";
import { ownFilters } from "./state_rows.ts";
import { UserRequests } from "./user_requests.ts";
import { isEmpty, type RowsWorld, UserRows } from "./user_rows.ts";
import { UserRuns } from "./user_runs.ts";
import { type ServingWorld, UserServing } from "./user_serving.ts";

/** Everything of the world that the worker touches. */
export interface WorkerWorld extends RowsWorld, FiltersWorld, ReportWorld, ServingWorld {
  platform: DevicePlatform;
  identity: Enrolled;
  client: ServerClient;
}

/** How long a settled store goes unchecked, milliseconds: somebody may have changed it by hand. */
const RECHECK = 3_600_000;

/** How long until a filter that could not be written, or removed, is tried again, milliseconds. */
const FILTER_PAUSE = 20_000;

/** The worker of one device. News may come while it works; it settles when all is done. */
export class DeviceWorker {
  /** What user-agents ask over their channels. */
  readonly requests: UserRequests;
  readonly #world: WorkerWorld;
  readonly #desired: DeviceDesired;
  readonly #accounts: DeviceAccounts;
  readonly #rows: UserRows;
  readonly #filters: DeviceFilters;
  readonly #root: DeviceRoot;
  readonly #serving: UserServing;
  readonly #runs: UserRuns;
  readonly #reports: DeviceReports;
  /** Users whose leaf an administrator wants renewed now. */
  readonly #renewNow = new Set<string>();
  readonly #stop = new AbortController();

  constructor(world: WorkerWorld) {
    this.#world = world;
    this.#desired = new DeviceDesired(world);
    this.#accounts = new DeviceAccounts((username) => world.platform.account(username));
    this.#rows = new UserRows(world);
    this.#filters = new DeviceFilters(world);
    this.#root = new DeviceRoot(world);
    this.#runs = new UserRuns((userId) => this.#run(userId), (userId) => this.#stillDue(userId));
    this.#reports = new DeviceReports(
      world,
      this.#rows,
      () => this.#filterReports(this.#desired.current),
      this.#stop.signal,
    );
    this.requests = new UserRequests(world, {
      desired: this.#desired,
      accounts: this.#accounts,
      rows: this.#rows,
      sliceOf: (userId) => {
        const desired = this.#desired.current;
        return desired && this.#sliceOf(desired, userId);
      },
      issued: (userId) => this.#renewNow.delete(userId),
    });
    this.#serving = new UserServing(world, {
      desired: this.#desired,
      accounts: this.#accounts,
      rows: this.#rows,
      requests: this.requests,
      sliceOf: (desired, userId) => this.#sliceOf(desired, userId),
      signal: this.#stop.signal,
    });
  }

  /**
   * Takes a desired state as the server sent it and starts what follows from it.
   *
   * @param check look at every store, also at those that are settled by their last report
   * @throws Problem `bundle-rejected` when it is refused; then nothing changed
   */
  async desired(etag: string, body: string, check: boolean): Promise<void> {
    await this.#desired.take(etag, body);
    await this.sync(check);
  }

  /** Leaves the agent server: everything goes, and nothing is installed again. */
  async leave(why: "deleted" | "unenrolled"): Promise<void> {
    const { state, identity, log } = this.#world;
    const device = state.device();
    if (device && !device.leaving) {
      state.saveDevice({ ...device, leaving: true });
      // Stores that OFF has emptied still have their ledgers.
      for (const row of state.users()) {
        if (row.checkedAt !== undefined) state.saveUser({ ...row, state: "removing" });
      }
      state.recordEvent(`device.${why}`, identity.device.deviceId);
      log.info(`device.${why}`, { deviceId: identity.device.deviceId });
    }
    await this.sync(true);
  }

  /**
   * Starts whatever is not as it shall be: filters first, then user-agents, of which those that
   * failed at the same have their pause, and those that are settled are looked at once an hour.
   */
  async sync(check: boolean): Promise<void> {
    const { state, now } = this.#world;
    const desired = this.#desired.current;
    if (!desired) return;
    this.#rows.add(desired);
    await this.#findAccounts(desired);
    if (this.#anyWanted(desired)) {
      this.#filters.write(desired);
      await this.#root.install();
    }
    this.requests.changed();
    for (const row of state.users()) {
      if (!this.#accounts.of(row.userId)) continue;
      const slice = this.#sliceOf(desired, row.userId);
      // A look that is yet to come was noted by a clock that has been set back since.
      const recheck = check || Math.abs(now() - (row.checkedAt ?? 0)) >= RECHECK;
      const failedAtThis = row.error !== undefined && (row.state === "removing") !== slice.wanted;
      const pausing = !check && failedAtThis && isPausing(row.retryAt, now());
      const renewal = this.#renewAt(row);
      const due = isSettled(slice, row)
        ? slice.wanted && (recheck || (renewal !== undefined && renewal <= now()))
        : !pausing;
      if (due) this.#runs.start(row.userId);
    }
  }

  /**
   * Renews the leaf of this user, or of every user that is to hold one, whatever its window.
   *
   * @param username absent for all
   */
  async renew(username?: string): Promise<RenewalOutcome[]> {
    const { state } = this.#world;
    const desired = this.#desired.current;
    if (!desired) return [];
    await this.sync(false);
    const rows = state.users().filter((row) =>
      this.#sliceOf(desired, row.userId).wanted && (username ?? row.username) === row.username
    );
    for (const { userId } of rows) {
      if (!this.#accounts.of(userId)) continue;
      this.#renewNow.add(userId);
      this.#runs.start(userId);
    }
    await this.settle();
    for (const { userId } of rows) this.#renewNow.delete(userId);
    return rows.map((row) => {
      const { details, error } = state.user(row.userId) ?? row;
      const { serial } = details;
      if (serial !== undefined && serial !== row.details.serial) {
        return { username: row.username, renewed: true, serial };
      }
      const message = error?.message ?? "Nothing was renewed; the agent's log says why.";
      return { username: row.username, renewed: false, message };
    });
  }

  /** Resolves when no user-agent runs and the server has heard of everything, or could not. */
  async settle(): Promise<void> {
    await this.#runs.settle();
    const desired = this.#desired.current;
    if (desired && this.#rows.add(desired)) {
      // Somebody's former account is empty now: the new one is next.
      await this.sync(false);
      return await this.settle();
    }
    this.#filters.rest();
    if (!desired) return;
    if (!this.#anyWanted(desired) && this.#world.state.users().every(isEmpty)) {
      const filter = this.#filters.remove(desired);
      const left = await this.#root.remove() ?? filter;
      const [row] = this.#world.state.users();
      // A removal is not finished while a filter or a root of ours is left.
      if (left && row) this.#rows.set(row, "removing", left, this.#world.now() + FILTER_PAUSE);
    }
    await this.#reports.now();
    for (const row of this.#world.state.users()) {
      const gone = row.state === "removed" && !row.unreported && !isListed(desired, row.userId);
      if (gone) this.#world.state.forgetUser(row.userId);
    }
  }

  /** When there is something to do again, local milliseconds; undefined when there is not. */
  nextTry(): number | undefined {
    const { state, now } = this.#world;
    const times = state.users().flatMap((row) => {
      if (row.retryAt !== undefined) return [isPausing(row.retryAt, now()) ? row.retryAt : now()];
      if (row.state !== "installed") return [];
      const due = [(row.checkedAt ?? 0) + RECHECK, this.#renewAt(row) ?? []].flat();
      return this.#serving.isAway(row.userId) ? due.filter((time) => time > now()) : due;
    });
    const missing = this.#filterReports(this.#desired.current)
      .some((filter) => filter.state === "missing");
    if (missing) times.push(now() + FILTER_PAUSE);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Whether somebody should look: a user that is not served, a filter that does not work. */
  needsAttention(): boolean {
    const desired = this.#desired.current;
    const bad = new Set<UserRow["state"]>(["failed", "waiting", "removing"]);
    return this.#world.state.users().some((row) => bad.has(row.state)) ||
      this.#filterReports(desired).some((filter) => filter.state !== "ok") ||
      this.#world.state.users().flatMap(ownFilters).some((filter) => filter.state !== "ok");
  }

  /** Whether a device that leaves has nothing left to remove. */
  isClean(): boolean {
    return this.#desired.leaving && this.#world.state.users().every(isEmpty);
  }

  /** Ids of the accounts that serve managed users. */
  uids(): string[] {
    return this.#accounts.all().map((account) => account.uid);
  }

  /** Gives the account of an id to `use`, when it serves a managed user. */
  account(uid: string, use: (account: Account) => void): void {
    for (const account of this.#accounts.all()) if (account.uid === uid) use(account);
  }

  /** Ends running user-agents. */
  stop(): void {
    this.#filters.rest();
    this.#stop.abort();
  }

  /** One user's run; those of others need not wait for what it has to tell. */
  async #run(userId: string): Promise<void> {
    await this.#serving.run(userId);
    // The last one's report follows at once, with that of what is shared.
    if (!this.#runs.othersRun(userId)) return;
    this.#reports.soon().catch(() => {
      // Tried again, and failed again, when all has settled.
    });
  }

  /** What changed while a user-agent ran may be what it did already. */
  #stillDue(userId: string): boolean {
    const desired = this.#desired.current;
    const row = this.#world.state.user(userId);
    return desired !== undefined && row !== undefined && this.#accounts.of(userId) !== undefined &&
      !this.#stop.signal.aborted && !isSettled(this.#sliceOf(desired, userId), row);
  }

  async #findAccounts(desired: DesiredState): Promise<void> {
    const { state } = this.#world;
    const isWanted = (userId: string) => this.#sliceOf(desired, userId).wanted;
    const findings = await this.#accounts.find(state.users(), isWanted);
    for (const finding of findings) {
      const { row } = finding;
      if (finding.is === "served") {
        const uid = finding.account.uid;
        if (row.uid !== uid) state.saveUser({ ...row, uid });
      } else if (finding.is === "gone") {
        if (row.state !== "removed") this.#rows.set(row, "removed");
      } else {
        const next = !isWanted(row.userId)
          ? "removing"
          : finding.problem.waiting
          ? "waiting"
          : "failed";
        this.#rows.set(row, next, finding.problem);
      }
    }
  }

  #filterReports(desired: DesiredState | undefined) {
    if (!desired || !this.#anyWanted(desired)) return [];
    return this.#filters.inspect(desired);
  }

  #anyWanted(desired: DesiredState): boolean {
    return this.#accounts.userIds().some((userId) => this.#sliceOf(desired, userId).wanted);
  }

  /** When a leaf is to be renewed, local milliseconds; undefined before the server told the time. */
  #renewAt(row: UserRow): number | undefined {
    const { clock } = this.#world.client;
    const renewAt = renewalOf(row);
    return renewAt === undefined || !clock.known ? undefined : renewAt - clock.offset;
  }

  #sliceOf(desired: DesiredState, userId: string): UserSlice {
    return this.#desired.slice(desired, userId, {
      username: this.#world.state.user(userId)?.username,
      renewNow: this.#renewNow.has(userId),
      filterWrittenAt: this.#filters.writtenAt,
    });
  }
}

function isListed(desired: DesiredState, userId: string): boolean {
  return desired.users.some((user) => user.userId === userId);
}
