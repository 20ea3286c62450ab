/**
 * The agent's work on one device: desired state in, filters written, user-agents run, reports out.
 * It lives as long as there is something to do (agent.ts keeps the watch in between).
 */
import type { Account } from "../platform/accounts.ts";
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import {
  CertificateAnswer,
  type DesiredState,
  type DeviceReport,
  type RemovedItem,
} from "./contract.ts";
import { acceptDesiredState, isSettled, sliceFor, wants, withIssuedLeaf } from "./desired.ts";
import type { Enrolled } from "./identity.ts";
import type { LocalBundle, LocalCertificateRequest, UserAgentReport } from "./local_contract.ts";
import type { Log } from "./log.ts";
import { answerJson, refusal, type ServerAnswer, type ServerClient } from "./server_client.ts";
import type { State, UserRow } from "./state.ts";
import { VERSION } from "./version.ts";

/** Everything of the world that the worker touches. */
export interface WorkerWorld {
  state: State;
  platform: DevicePlatform;
  identity: Enrolled;
  client: ServerClient;
  program: SelfProgram;
  log: Log;
  now: () => number;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Opens the channel of an account before its user-agent starts. */
  openChannel: (account: Account) => void;
}

/** User-agents that run at once. */
const AT_ONCE = 4;

/** How long a settled store goes unchecked, milliseconds: somebody may have changed it by hand. */
const RECHECK = 3_600_000;

/** First and longest pause between tries, milliseconds. */
const BACK_OFF = { first: 1000, longest: 300_000 } as const;

/** The worker of one device. Messages may come while it works; it settles when all is done. */
export class DeviceWorker {
  readonly #world: WorkerWorld;
  readonly #accounts = new Map<string, Account>();
  readonly #running = new Map<string, { again: boolean; done: Promise<void> }>();
  readonly #waiting: (() => void)[] = [];
  readonly #sliceWaiters = new Set<() => void>();
  readonly #stop = new AbortController();
  #free = AT_ONCE;
  #filterWrittenAt: number | undefined;

  constructor(world: WorkerWorld) {
    this.#world = world;
  }

  /**
   * Takes a desired state as the server sent it and starts what follows from it.
   *
   * @throws Problem `bundle-rejected` when it is refused; then nothing changed
   */
  async desired(etag: string, body: string, check: boolean): Promise<void> {
    const { state, identity, log } = this.#world;
    const before = state.desired();
    try {
      acceptDesiredState(parseJson(body), identity.device);
    } catch (error) {
      const problem = toProblem(error);
      state.recordEvent("desired-state.refused", problem.message);
      log.error("desired-state.refused", { reason: problem.message });
      throw problem;
    }
    if (before?.body !== body) {
      state.recordEvent("desired-state.changed", `ETag ${etag}`);
      log.info("desired-state.changed", { etag });
    }
    state.saveDesired(etag, body);
    await this.sync(check);
  }

  /** Leaves the agent server: everything goes, and the last thing to go is the device key. */
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
   * Starts whatever is not as it shall be: filters first, then user-agents. With `check` every
   * store is looked at, otherwise those that are not settled, or not looked at for an hour.
   */
  async sync(check: boolean): Promise<void> {
    const { state, now } = this.#world;
    const desired = this.#desiredState();
    if (!desired) return;
    const leaving = this.#leaving();
    this.#addUsers(desired);
    await this.#findAccounts(desired);
    if (this.#anyWanted(desired, leaving)) this.#writeFilters(desired);
    for (const wake of this.#sliceWaiters) wake();
    for (const row of state.users()) {
      if (!this.#accounts.has(row.userId)) continue;
      const slice = sliceFor(desired, row.userId, this.#sliceContext());
      const due = check || row.checkedAt === undefined || row.checkedAt + RECHECK <= now();
      const pause = row.retryAt !== undefined && row.retryAt > now() && !check &&
        (row.state === "failed" || row.state === "waiting" || row.state === "removing");
      if (!isSettled(slice, row) ? !pause : due && slice.wanted) this.#start(row.userId);
    }
  }

  /** Resolves when no user-agent runs and the server has heard of everything, or could not. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.all([...this.#running.values()].map((r) => r.done));
    }
    await this.#finish();
  }

  /** When there is something to do again, local milliseconds; undefined when there is not. */
  nextTry(): number | undefined {
    const { state } = this.#world;
    const times = state.users().flatMap((row) => {
      if (row.retryAt !== undefined) return [row.retryAt];
      return row.state === "installed" && row.checkedAt !== undefined
        ? [row.checkedAt + RECHECK]
        : [];
    });
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Whether every user is where the desired state wants and every filter works. */
  needsAttention(): boolean {
    const bad = new Set(["failed", "waiting", "removing"]);
    return this.#world.state.users().some((row) => bad.has(row.state)) ||
      this.#filters().some((filter) => filter.state !== "ok");
  }

  /** Ids of the accounts that have a channel or may have one. */
  uids(): string[] {
    return [...this.#accounts.values()].map((account) => String(account.uid));
  }

  /** Gives the account of an id to `use`, when it serves a managed user. */
  account(uid: string, use: (account: Account) => void): void {
    for (const account of this.#accounts.values()) if (String(account.uid) === uid) use(account);
  }

  /** Ends running user-agents; used when the agent itself is told to stop. */
  stop(): void {
    this.#stop.abort();
  }

  /** The slice of the user that an account serves now. @throws Problem `server-refused` */
  slice(uid: string) {
    const desired = this.#desiredState();
    const userId = this.#userOf(uid);
    if (!desired || userId === undefined) {
      throw new Problem("server-refused", "No managed user is bound to this account.");
    }
    return sliceFor(desired, userId, this.#sliceContext());
  }

  /** Calls back once when slices may have changed; returns how to stop listening. */
  onChange(callback: () => void): () => void {
    this.#sliceWaiters.add(callback);
    return () => this.#sliceWaiters.delete(callback);
  }

  /** Signs and sends an account's certificate request. @throws Problem */
  async certificate(uid: string, request: LocalCertificateRequest): Promise<LocalBundle> {
    const { state, client, identity, log } = this.#world;
    const slice = this.slice(uid);
    const row = state.user(slice.userId);
    if (!slice.wanted || !row) {
      throw new Problem("server-refused", "This user is to hold no certificate now.");
    }
    state.saveUser({ ...row, state: request.leafSignature ? "renewing" : "requesting" });
    const answer = await client.request({
      method: "POST",
      path: `/v1/devices/${identity.device.deviceId}/users/${slice.userId}/certificates`,
      body: new TextEncoder().encode(JSON.stringify({ csr: request.csr })),
      ...(request.leafSignature ? { leafSignature: request.leafSignature } : {}),
    });
    if (answer.status !== 200 && answer.status !== 201) {
      throw refusal("obtain a certificate", answer);
    }
    const bundle = parseBundle(answer);
    log.info("certificate.issued", { userId: slice.userId, serial: bundle.serial });
    const desired = this.#desiredState();
    const stored = state.desired();
    if (desired && stored) {
      const newer = withIssuedLeaf(desired, slice.userId, bundle.serial);
      state.saveDesired(stored.etag, JSON.stringify(newer));
    }
    const { leaf, intermediate, root, renewal } = bundle;
    return { leaf, intermediate, root, renewal };
  }

  /** Takes a user-agent's report. @throws Problem `server-refused` when it is for another user */
  report(uid: string, report: UserAgentReport): void {
    const { state, log, now } = this.#world;
    if (this.#userOf(uid) !== report.userId) {
      throw new Problem("server-refused", "A report must be about this account's own user.");
    }
    const row = state.user(report.userId);
    if (!row) return;
    const { serial, leafName, notAfter, renewAt, store, held, error } = report;
    const attempts = error ? row.attempts + 1 : 0;
    const { retryAt: _retryAt, error: _error, ...rest } = row;
    state.saveUser({
      ...rest,
      state: report.state,
      details: error ? row.details : {
        held,
        ...(serial ? { serial } : {}),
        ...(leafName ? { leafName } : {}),
        ...(notAfter ? { notAfter } : {}),
        ...(renewAt ? { renewAt } : {}),
        ...(store ? { store } : {}),
      },
      attempts,
      ...(error ? { error, retryAt: now() + this.#pause(attempts) } : {}),
      checkedAt: now(),
      unreported: row.unreported || row.state !== report.state || report.removed.length > 0 ||
        row.details.serial !== serial || error?.message !== row.error?.message,
      removed: [...row.removed, ...report.removed].slice(-256),
    });
    const fields = { userId: report.userId, user: row.username };
    if (error) log.warning(`user.${report.state}`, { ...fields, ...error });
    else log.info(`user.${report.state}`, { ...fields, ...(serial ? { serial } : {}) });
    if (row.state !== report.state || error) {
      state.recordEvent(`user.${report.state}`, error?.message ?? serial ?? "", report.userId);
    }
  }

  // --- users and accounts -----------------------------------------------------------------------

  #addUsers(desired: DesiredState): void {
    const { state } = this.#world;
    for (const { userId, username } of desired.users) {
      const row = state.user(userId);
      if (row?.username === username) continue;
      state.saveUser({
        ...(row ?? { state: "absent", details: {}, attempts: 0, unreported: true, removed: [] }),
        userId,
        username,
      });
    }
  }

  async #findAccounts(desired: DesiredState): Promise<void> {
    const { state, platform } = this.#world;
    const wantedFirst = state.users().toSorted((a, b) =>
      Number(isListed(desired, b.userId)) - Number(isListed(desired, a.userId))
    );
    const found = await Promise.all(wantedFirst.map(async (row) => {
      try {
        return { row, account: await platform.account(row.username) };
      } catch (error) {
        return { row, problem: toProblem(error) };
      }
    }));
    this.#accounts.clear();
    const taken = new Set<number>();
    for (const { row, account, problem } of found) {
      if (!account) this.#withoutAccount(desired, row, problem);
      else if (taken.has(account.uid)) this.#sharesAccount(desired, row, account);
      else {
        taken.add(account.uid);
        this.#accounts.set(row.userId, account);
        const uid = String(account.uid);
        if (row.uid !== uid) state.saveUser({ ...row, uid });
      }
    }
  }

  /** An account that is gone took its home along: there is nothing left that could be removed. */
  #withoutAccount(desired: DesiredState, row: UserRow, problem: Problem): void {
    const gone = problem.code === "no-local-account" || problem.code === "system-account";
    if (!this.#wanted(desired, row.userId) && gone) this.#setRow(row, "removed");
    else if (this.#wanted(desired, row.userId)) this.#setRow(row, stateOf(problem), problem);
    else this.#setRow(row, "removing", problem);
  }

  /** The account serves another managed user now, whose user-agent removes what is not theirs. */
  #sharesAccount(desired: DesiredState, row: UserRow, account: Account): void {
    if (!this.#wanted(desired, row.userId)) return this.#setRow(row, "removed");
    this.#setRow(
      row,
      "failed",
      new Problem(
        "duplicate-binding",
        `The local account '${account.name}' (uid ${account.uid}) is bound to two managed users. ` +
          "Unbind one of them at the agent server.",
      ),
    );
  }

  #setRow(row: UserRow, next: UserRow["state"], problem?: Problem): void {
    const { state, now } = this.#world;
    const { retryAt: _retryAt, error: _error, ...rest } = row;
    const attempts = problem ? row.attempts + 1 : 0;
    const changed = row.state !== next || row.error?.message !== problem?.message;
    state.saveUser({
      ...rest,
      state: next,
      details: next === "removed" ? {} : row.details,
      attempts,
      ...(problem
        ? {
          error: { code: problem.code, message: problem.message },
          retryAt: now() + this.#pause(attempts),
        }
        : {}),
      unreported: row.unreported || changed,
    });
    if (changed) state.recordEvent(`user.${next}`, problem?.message ?? "", row.userId);
  }

  #userOf(uid: string): string | undefined {
    for (const [userId, account] of this.#accounts) {
      if (String(account.uid) === uid) return userId;
    }
    return undefined;
  }

  // --- user-agents ------------------------------------------------------------------------------

  #start(userId: string): void {
    const running = this.#running.get(userId);
    if (running) {
      running.again = true;
      return;
    }
    const entry = { again: false, done: Promise.resolve() };
    entry.done = this.#serve(userId).finally(() => {
      this.#running.delete(userId);
      if (entry.again && !this.#stop.signal.aborted) this.#startIfUnsettled(userId);
    });
    this.#running.set(userId, entry);
  }

  /** What changed while a user-agent ran may be what it did already. */
  #startIfUnsettled(userId: string): void {
    const desired = this.#desiredState();
    const row = this.#world.state.user(userId);
    if (!desired || !row || row.error || !this.#accounts.has(userId)) return;
    if (!isSettled(sliceFor(desired, userId, this.#sliceContext()), row)) this.#start(userId);
  }

  async #serve(userId: string): Promise<void> {
    const { state, platform, program, log } = this.#world;
    await this.#turn();
    try {
      const account = this.#accounts.get(userId);
      const row = state.user(userId);
      const desired = this.#desiredState();
      if (!account || !row || !desired) return;
      const wanted = this.#wanted(desired, userId);
      if (!wanted && row.state !== "removed") state.saveUser({ ...row, state: "removing" });
      const before = row.checkedAt;
      this.#world.openChannel(account);
      const exit = await platform.startUserAgent(account, program, this.#stop.signal);
      const after = state.user(userId);
      if (after && after.checkedAt === before && !this.#stop.signal.aborted) {
        this.#setRow(after, wanted ? "failed" : "removing", silence(exit));
        log.error("user-agent.failed", {
          userId,
          code: exit.code,
          errors: exit.errors.slice(-500),
        });
      }
    } catch (error) {
      const row = state.user(userId);
      if (row) this.#setRow(row, "failed", toProblem(error));
    } finally {
      this.#free++;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#free--;
  }

  // --- filters, reports, the end ----------------------------------------------------------------

  #writeFilters(desired: DesiredState): void {
    const reports = this.#world.platform.writeFilters(this.#desiredFilters(desired), this.#paths());
    const times = reports.flatMap((report) =>
      report.writtenAt === undefined ? [] : [report.writtenAt]
    );
    this.#filterWrittenAt = times.length > 0 ? Math.max(...times) : undefined;
  }

  #filters() {
    const desired = this.#desiredState();
    if (!desired || !this.#anyWanted(desired, this.#leaving())) return [];
    return this.#world.platform.inspectFilters(this.#desiredFilters(desired));
  }

  async #finish(): Promise<void> {
    const { state } = this.#world;
    const desired = this.#desiredState();
    if (!desired) return;
    const rows = state.users();
    const clean = !this.#anyWanted(desired, this.#leaving()) &&
      rows.every((row) => row.state === "removed" || row.state === "absent" || neverHeld(row));
    if (clean) this.#removeFilters(desired, rows);
    await this.#sendReport();
    for (const row of state.users()) {
      if (row.state === "removed" && !row.unreported && !isListed(desired, row.userId)) {
        state.forgetUser(row.userId);
      }
    }
  }

  /** Whether everything of this device is gone, so that its identity may go too. */
  isClean(): boolean {
    const rows = this.#world.state.users();
    return this.#leaving() && rows.every((row) => row.state === "removed" || neverHeld(row));
  }

  #removeFilters(desired: DesiredState, rows: UserRow[]): void {
    const { state, platform, log } = this.#world;
    const removal = platform.removeFilters(desired.brand, this.#paths());
    for (const path of removal.removedDirectories) state.forgetDirectory(path);
    for (const left of removal.left) log.warning("filter.left", { ...left });
    if (removal.removed.length === 0) return;
    state.recordEvent("filter.removed", removal.removed.join(", "));
    const items: RemovedItem[] = removal.removed.map((id) => ({ kind: "filter", id }));
    const last = rows.find((row) => row.unreported) ?? rows[0];
    if (last) state.saveUser({ ...last, unreported: true, removed: [...last.removed, ...items] });
  }

  async #sendReport(): Promise<void> {
    const { state, client, identity, platform, log, now } = this.#world;
    const rows = state.users().filter((row) => row.unreported);
    // A device that has left has nobody to report to.
    if (rows.length === 0 || this.#leaving()) return;
    const { hostname, osVersion } = await platform.system();
    const filters = this.#filters().map(({ browser, location, state }) => ({
      browser,
      location,
      state,
    }));
    const report: DeviceReport = {
      agentVersion: VERSION,
      osVersion,
      hostname,
      users: rows.map((row) => ({
        userId: row.userId,
        state: row.state,
        ...(row.details.serial ? { serial: row.details.serial } : {}),
        filters,
        ...(row.error ? { error: row.error } : {}),
        ...(row.removed.length > 0 ? { removed: row.removed } : {}),
      })),
    };
    try {
      const answer = await client.request({
        method: "POST",
        path: `/v1/devices/${identity.device.deviceId}/reports`,
        body: new TextEncoder().encode(JSON.stringify(report)),
      });
      if (answer.status !== 204) throw refusal("report", answer);
      for (const row of rows) {
        const newest = state.user(row.userId);
        if (newest) state.saveUser({ ...newest, unreported: false, removed: [] });
      }
    } catch (error) {
      const problem = toProblem(error);
      log.warning("report.failed", { reason: problem.message });
      for (const row of rows) {
        const newest = state.user(row.userId);
        if (!newest || newest.retryAt !== undefined) continue;
        state.saveUser({ ...newest, retryAt: now() + this.#pause(1) });
      }
    }
  }

  // --- what everything above looks at -----------------------------------------------------------

  #desiredState(): DesiredState | undefined {
    const stored = this.#world.state.desired();
    const device = this.#world.identity.device;
    return stored && acceptDesiredState(parseJson(stored.body), device);
  }

  #desiredFilters(desired: DesiredState) {
    return { brand: desired.brand, patterns: desired.selection.patterns };
  }

  #paths() {
    const { state } = this.#world;
    return {
      recordCreated: (path: string) => state.recordDirectory(path),
      createdDirectories: state.createdDirectories(),
    };
  }

  #leaving(): boolean {
    return this.#world.state.device()?.leaving ?? false;
  }

  #wanted(desired: DesiredState, userId: string): boolean {
    return wants(desired, desired.users.find((user) => user.userId === userId), this.#leaving());
  }

  #anyWanted(desired: DesiredState, leaving: boolean): boolean {
    return [...this.#accounts.keys()].some((userId) =>
      wants(desired, desired.users.find((user) => user.userId === userId), leaving)
    );
  }

  #sliceContext() {
    const { identity, client } = this.#world;
    return {
      deviceId: identity.device.deviceId,
      publicUrl: identity.device.publicUrl,
      leaving: this.#leaving(),
      clock: client.clock,
      ...(this.#filterWrittenAt === undefined ? {} : { filterWrittenAt: this.#filterWrittenAt }),
    };
  }

  /** Full jitter: uniform up to a bound that doubles with each failure. */
  #pause(attempts: number): number {
    const bound = Math.min(BACK_OFF.longest, BACK_OFF.first * 2 ** (attempts - 1));
    return Math.max(100, this.#world.random() * bound);
  }
}

function isListed(desired: DesiredState, userId: string): boolean {
  return desired.users.some((user) => user.userId === userId);
}

function neverHeld(row: UserRow): boolean {
  return row.details.held === undefined && row.checkedAt === undefined;
}

function stateOf(problem: Problem): "waiting" | "failed" {
  return problem.waiting ? "waiting" : "failed";
}

function silence(exit: { code: number; timedOut: boolean }): Problem {
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
