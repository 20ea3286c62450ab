/**
 * The agent's work on one device: desired state in, filters written, user-agents run, reports out.
 * It lives as long as there is something to do (agent.ts keeps the watch in between).
 */
import type { Account } from "../platform/accounts.ts";
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform, SelfProgram, UserAgentExit } from "../platform/platform.ts";
import { CertificateAnswer, type DesiredState } from "./contract.ts";
import { acceptDesiredState, isSettled, renewalOf, sliceFor, withIssuedLeaf } from "./desired.ts";
import { findAccounts } from "./device_accounts.ts";
import { DeviceFilters, type FiltersWorld } from "./device_filters.ts";
import { DeviceReports, type ReportWorld } from "./device_report.ts";
import type { Enrolled } from "./identity.ts";
import {
  certificateRequestBody,
  certificatesPath,
  type LocalBundle,
  type LocalCertificateRequest,
  type RenewalOutcome,
  type UserAgentReport,
  type UserSlice,
} from "./local_contract.ts";
import { withArguments } from "./self_program.ts";
import { answerJson, refusal, type ServerAnswer, type ServerClient } from "./server_client.ts";
import type { UserRow } from "./state.ts";
import { neverHeld, type RowsWorld, UserRows } from "./user_rows.ts";
import { UserRuns } from "./user_runs.ts";

/** Everything of the world that the worker touches. */
export interface WorkerWorld extends RowsWorld, FiltersWorld, ReportWorld {
  platform: DevicePlatform;
  identity: Enrolled;
  client: ServerClient;
  program: SelfProgram;
  /** Opens the channel of an account before its user-agent starts. */
  openChannel: (account: Account) => void;
}

/** How long a settled store goes unchecked, milliseconds: somebody may have changed it by hand. */
const RECHECK = 3_600_000;

/** The worker of one device. News may come while it works; it settles when all is done. */
export class DeviceWorker {
  readonly #world: WorkerWorld;
  readonly #rows: UserRows;
  readonly #filters: DeviceFilters;
  readonly #runs: UserRuns;
  readonly #reports: DeviceReports;
  readonly #accounts = new Map<string, Account>();
  /** Users whose running, or last, user-agent has reported. */
  readonly #heard = new Set<string>();
  readonly #watchers = new Set<() => void>();
  /** Users whose leaf an administrator wants renewed now. */
  readonly #renewNow = new Set<string>();
  readonly #stop = new AbortController();
  /** The stored desired state, parsed once. */
  #accepted: { body: string; desired: DesiredState } | undefined;

  constructor(world: WorkerWorld) {
    this.#world = world;
    this.#rows = new UserRows(world);
    this.#filters = new DeviceFilters(world);
    this.#runs = new UserRuns((userId) => this.#serve(userId), (userId) => this.#stillDue(userId));
    this.#reports = new DeviceReports(
      world,
      this.#rows,
      () => this.#filterReports(this.#desiredState()),
      this.#stop.signal,
    );
  }

  /**
   * Takes a desired state as the server sent it and starts what follows from it.
   *
   * @param check look at every store, also at those that are settled by their last report
   * @throws Problem `bundle-rejected` when it is refused; then nothing changed
   */
  async desired(etag: string, body: string, check: boolean): Promise<void> {
    const { state, identity, log } = this.#world;
    try {
      acceptDesiredState(parseJson(body), identity.device);
    } catch (error) {
      const problem = toProblem(error);
      state.recordEvent("desired-state.refused", problem.message);
      throw problem;
    }
    if (state.desired()?.body !== body) {
      state.recordEvent("desired-state.changed", `ETag ${etag}`);
      log.info("desired-state.changed", { etag });
    }
    state.saveDesired(etag, body);
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
    const desired = this.#desiredState();
    if (!desired) return;
    this.#rows.add(desired);
    await this.#findAccounts(desired);
    if (this.#anyWanted(desired)) this.#filters.write(desired);
    for (const changed of this.#watchers) changed();
    for (const row of state.users()) {
      if (!this.#accounts.has(row.userId)) continue;
      const slice = this.#sliceOf(desired, row.userId);
      const recheck = check || (row.checkedAt ?? 0) + RECHECK <= now();
      const failedAtThis = row.error !== undefined && (row.state === "removing") !== slice.wanted;
      const pausing = !check && failedAtThis && (row.retryAt ?? 0) > now();
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
    const desired = this.#desiredState();
    if (!desired) return [];
    await this.sync(false);
    const rows = state.users().filter((row) =>
      this.#sliceOf(desired, row.userId).wanted && (username ?? row.username) === row.username
    );
    for (const { userId } of rows) {
      if (!this.#accounts.has(userId)) continue;
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
    this.#filters.rest();
    const desired = this.#desiredState();
    if (!desired) return;
    if (!this.#anyWanted(desired) && this.#world.state.users().every(isEmpty)) {
      this.#filters.remove(desired);
    }
    await this.#reports.now();
    for (const row of this.#world.state.users()) {
      const gone = row.state === "removed" && !row.unreported && !isListed(desired, row.userId);
      if (gone) this.#world.state.forgetUser(row.userId);
    }
  }

  /** When there is something to do again, local milliseconds; undefined when there is not. */
  nextTry(): number | undefined {
    const times = this.#world.state.users().flatMap((row) => {
      if (row.retryAt !== undefined) return [row.retryAt];
      if (row.state !== "installed") return [];
      return [(row.checkedAt ?? 0) + RECHECK, this.#renewAt(row) ?? Infinity];
    });
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Whether somebody should look: a user that is not served, a filter that does not work. */
  needsAttention(): boolean {
    const desired = this.#desiredState();
    const bad = new Set<UserRow["state"]>(["failed", "waiting", "removing"]);
    return this.#world.state.users().some((row) => bad.has(row.state)) ||
      this.#filterReports(desired).some((filter) => filter.state !== "ok");
  }

  /** Whether a device that leaves has nothing left to remove. */
  isClean(): boolean {
    return this.#leaving() && this.#world.state.users().every(isEmpty);
  }

  /** Ids of the accounts that serve managed users. */
  uids(): string[] {
    return [...this.#accounts.values()].map((account) => String(account.uid));
  }

  /** Gives the account of an id to `use`, when it serves a managed user. */
  account(uid: string, use: (account: Account) => void): void {
    for (const account of this.#accounts.values()) if (String(account.uid) === uid) use(account);
  }

  /** Ends running user-agents. */
  stop(): void {
    this.#filters.rest();
    this.#stop.abort();
  }

  /** The slice of the user that an account serves now. @throws Problem `server-refused` */
  slice(uid: string): UserSlice {
    const desired = this.#desiredState();
    const userId = this.#userOf(uid);
    if (!desired || userId === undefined) {
      throw new Problem("server-refused", "No managed user is bound to this account.");
    }
    return this.#sliceOf(desired, userId);
  }

  /** Calls back when slices may have changed; returns how to stop that. */
  onChange(callback: () => void): () => void {
    this.#watchers.add(callback);
    return () => this.#watchers.delete(callback);
  }

  /** Signs and sends an account's certificate request. @throws Problem */
  async certificate(uid: string, request: LocalCertificateRequest): Promise<LocalBundle> {
    const { state, client, identity, log } = this.#world;
    const { userId, wanted } = this.slice(uid);
    const row = state.user(userId);
    if (!wanted || !row) {
      throw new Problem("server-refused", "This user is to hold no certificate now.");
    }
    state.saveUser({ ...row, state: request.leafSignature ? "renewing" : "requesting" });
    const answer = await client.request({
      method: "POST",
      path: certificatesPath({ deviceId: identity.device.deviceId, userId }),
      body: certificateRequestBody(request.csr),
      ...(request.leafSignature ? { leafSignature: request.leafSignature } : {}),
    });
    if (answer.status !== 200 && answer.status !== 201) {
      throw refusal("obtain a certificate", answer);
    }
    const { overlapSeconds: _, ...bundle } = parseBundle(answer);
    log.info("certificate.issued", { userId, serial: bundle.serial });
    this.#renewNow.delete(userId);
    this.#rememberIssued(userId, bundle);
    return bundle;
  }

  /** Takes a user-agent's report. @throws Problem `server-refused` when it is for another user */
  report(uid: string, report: UserAgentReport): void {
    if (this.#userOf(uid) !== report.userId) {
      throw new Problem("server-refused", "A report must be about this account's own user.");
    }
    this.#heard.add(report.userId);
    this.#rows.take(report);
  }

  /** One user's run, from channel to report. */
  async #serve(userId: string): Promise<void> {
    const { state, platform, program, log } = this.#world;
    const desired = this.#desiredState();
    const account = this.#accounts.get(userId);
    const row = state.user(userId);
    if (!desired || !account || !row || this.#stop.signal.aborted) return;
    const { wanted } = this.#sliceOf(desired, userId);
    this.#heard.delete(userId);
    try {
      // From here on there may be something in the store, whatever becomes of the run.
      const details = { ...row.details, held: row.details.held ?? [] };
      state.saveUser({ ...row, details, state: runningState(row, wanted) });
      this.#world.openChannel(account);
      const command = withArguments(program, "user-agent", "--once");
      const exit = await platform.startUserAgent(account, command, this.#stop.signal);
      const after = state.user(userId);
      if (!after || this.#heard.has(userId) || this.#stop.signal.aborted) return;
      log.error("user-agent.failed", { userId, code: exit.code, errors: exit.errors.slice(-500) });
      this.#rows.set(after, wanted ? "failed" : "removing", silence(exit));
    } catch (error) {
      this.#rows.set(state.user(userId) ?? row, wanted ? "failed" : "removing", toProblem(error));
    } finally {
      // The last one's report follows at once, with that of what is shared.
      if (this.#runs.othersRun(userId)) {
        this.#reports.soon().catch(() => {
          // Tried again, and failed again, when all has settled.
        });
      }
    }
  }

  /** What changed while a user-agent ran may be what it did already. */
  #stillDue(userId: string): boolean {
    const desired = this.#desiredState();
    const row = this.#world.state.user(userId);
    return desired !== undefined && row !== undefined && this.#accounts.has(userId) &&
      !this.#stop.signal.aborted && !isSettled(this.#sliceOf(desired, userId), row);
  }

  async #findAccounts(desired: DesiredState): Promise<void> {
    const { state, platform } = this.#world;
    const findings = await findAccounts(
      state.users(),
      (userId) => this.#sliceOf(desired, userId).wanted,
      (username) => platform.account(username),
    );
    this.#accounts.clear();
    for (const finding of findings) {
      const { row } = finding;
      if (finding.is === "served") {
        this.#accounts.set(row.userId, finding.account);
        const uid = String(finding.account.uid);
        if (row.uid !== uid) state.saveUser({ ...row, uid });
      } else if (finding.is === "gone") {
        if (row.state !== "removed") this.#rows.set(row, "removed");
      } else {
        const wanted = this.#sliceOf(desired, row.userId).wanted;
        const next = !wanted ? "removing" : finding.problem.waiting ? "waiting" : "failed";
        this.#rows.set(row, next, finding.problem);
      }
    }
  }

  #filterReports(desired: DesiredState | undefined) {
    if (!desired || !this.#anyWanted(desired)) return [];
    return this.#filters.inspect(desired);
  }

  #rememberIssued(userId: string, leaf: Pick<CertificateAnswer, "serial" | "renewal">): void {
    const { state } = this.#world;
    const desired = this.#desiredState();
    const stored = state.desired();
    if (!desired || !stored) return;
    state.saveDesired(stored.etag, JSON.stringify(withIssuedLeaf(desired, userId, leaf)));
  }

  #desiredState(): DesiredState | undefined {
    const body = this.#world.state.desired()?.body;
    if (body === undefined) return undefined;
    if (this.#accepted?.body !== body) {
      const desired = acceptDesiredState(parseJson(body), this.#world.identity.device);
      this.#accepted = { body, desired };
    }
    return this.#accepted.desired;
  }

  #leaving(): boolean {
    return this.#world.state.device()?.leaving ?? false;
  }

  #anyWanted(desired: DesiredState): boolean {
    return [...this.#accounts.keys()].some((userId) => this.#sliceOf(desired, userId).wanted);
  }

  /** When a leaf is to be renewed, local milliseconds; undefined before the server told the time. */
  #renewAt(row: UserRow): number | undefined {
    const { clock } = this.#world.client;
    const renewAt = renewalOf(row);
    return renewAt === undefined || !clock.known ? undefined : renewAt - clock.offset;
  }

  #userOf(uid: string): string | undefined {
    for (const [userId, account] of this.#accounts) {
      if (String(account.uid) === uid) return userId;
    }
    return undefined;
  }

  #sliceOf(desired: DesiredState, userId: string): UserSlice {
    const { identity, client } = this.#world;
    const filterWrittenAt = this.#filters.writtenAt;
    return sliceFor(desired, userId, {
      deviceId: identity.device.deviceId,
      publicUrl: identity.device.publicUrl,
      leaving: this.#leaving(),
      clock: { ...client.clock },
      renewNow: this.#renewNow.has(userId),
      ...(filterWrittenAt === undefined ? {} : { filterWrittenAt }),
    });
  }
}

function isListed(desired: DesiredState, userId: string): boolean {
  return desired.users.some((user) => user.userId === userId);
}

function runningState(row: UserRow, wanted: boolean): UserRow["state"] {
  if (!wanted) return "removing";
  return row.state === "installed" || row.state === "renewing" ? row.state : "requesting";
}

function isEmpty(row: UserRow): boolean {
  return row.state === "removed" || neverHeld(row);
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

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new Problem("bundle-rejected", "The desired state is not JSON; nothing changed.", {
      cause,
    });
  }
}

function parseBundle(answer: ServerAnswer): CertificateAnswer {
  const parsed = CertificateAnswer.safeParse(answerJson(answer));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Problem(
    "bundle-rejected",
    `The agent server's answer was refused and nothing changed: '${issue?.path.join(".")}' ` +
      `${issue?.message ?? "is malformed"}.`,
  );
}
