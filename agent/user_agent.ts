/**
 * The user-agent: runs as one managed user, with that user's rights, and is the only one that
 * writes that user's stores. One run: slice -> observe -> reconcile -> apply -> read back -> report.
 */
import { Problem, toProblem } from "../platform/errors.ts";
import type { UserFilters } from "../platform/filters.ts";
import type { RunningBrowser } from "../platform/findings.ts";
import type { OpenUserStore, UserPlatform } from "../platform/platform.ts";
import type { CreatedPath, TrustStore } from "../platform/trust_store.ts";
import { apply, forgetAbsent } from "./apply.ts";
import type { RemovedItem } from "./contract.ts";
import { Ledger } from "./ledger.ts";
import { ledgerFile, type LedgerPlace } from "./ledger_file.ts";
import { recoverLedger } from "./ledger_recovery.ts";
import type { LocalClient } from "./local_client.ts";
import { anchorsDigest, type UserAgentReport, type UserSlice } from "./local_contract.ts";
import { hasNewApplications } from "./key_access.ts";
import { observe } from "./observe.ts";
import { followWindow } from "./renewal.ts";
import { type Action, type DesiredStore, reconcile } from "./reconcile.ts";
import { settleUserFilters, writeUserFilters } from "./user_filters.ts";
import { certificateDer, sha256Hex } from "./verify.ts";

/** Everything of the world that a user-agent touches. */
export interface UserWorld {
  client: LocalClient;
  /** Resolves when this user has a channel to the agent; absent where asking tells at once. */
  untilServed?: (signal: AbortSignal) => Promise<void>;
  /** The user's own state folder, where the ledger is. */
  stateDir: string;
  /** Where the ledger is instead. */
  ledger?: LedgerPlace;
  /** @throws Problem `home-missing`, `shared-home`, `system-account` */
  checkHome: () => Promise<void>;
  /** Opens the user's store; without `create` nothing is made. @throws Problem */
  openStore: (options: OpenUserStore) => TrustStore;
  /** See `UserPlatform`. */
  removeStore?: UserPlatform["removeStore"];
  filters?: UserFilters;
  /** Removes those of our folders and databases that hold nothing of anybody's. */
  removeCreated: (created: CreatedPath[]) => Promise<string[]>;
  runningBrowsers: () => Promise<RunningBrowser[]>;
  now: () => number;
  /** Uniform in [0, 1). */
  random: () => number;
  sleep: (milliseconds: number) => Promise<void>;
}

/** How a run ended: `done`, or something that the agent tries again. */
export type RunResult = "done" | "again";

/** Seconds that a resident user-agent asks the agent to hold its question. */
const WAIT_SECONDS = 240;

/**
 * One run for one user. Whatever goes wrong with this user's store is reported to the agent as a
 * state with its reason.
 *
 * @throws Problem `unreachable` when there is no agent to ask or to report to
 */
export async function runUserAgent(world: UserWorld): Promise<RunResult> {
  const answer = await world.client.slice();
  return answer ? await runSlice(world, answer.slice) : "done";
}

/** Runs for as long as `signal` lets it: at once, and whenever the slice changes. */
export async function runUserAgentForever(world: UserWorld, signal: AbortSignal): Promise<void> {
  const ended = new Promise((resolve) => signal.addEventListener("abort", resolve));
  let etag = "";
  let pause = 1000;
  while (!signal.aborted) {
    try {
      await world.untilServed?.(signal);
      // Who knows of nothing has nothing to wait for.
      const wait = etag === "" ? {} : { etag, waitSeconds: WAIT_SECONDS };
      const answer = await world.client.slice({ ...wait, signal });
      if (!answer) {
        pause = 1000;
        continue;
      }
      const result = await runSlice(world, answer.slice);
      etag = result === "done" ? answer.etag : "";
      pause = result === "done" ? 1000 : Math.min(pause * 2, 300_000);
      if (result === "done") continue;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      pause = Math.min(pause * 2, 300_000);
    }
    await Promise.race([world.sleep(pause * (0.5 + world.random() / 2)), ended]);
  }
}

async function runSlice(world: UserWorld, slice: UserSlice): Promise<RunResult> {
  let report: UserAgentReport;
  try {
    await world.checkHome();
    report = await settle(world, slice, await ledgerFor(world, slice));
  } catch (error) {
    report = failure(slice, toProblem(error));
  }
  await world.client.report(report);
  return report.error ? "again" : "done";
}

/** Brings the user's store to what the slice wants, and says how it is then. */
async function settle(
  world: UserWorld,
  slice: UserSlice,
  place: LedgerPlace,
): Promise<UserAgentReport> {
  const ledger = await place.open();
  let report: UserAgentReport;
  let created: CreatedPath[];
  try {
    const store = openStore(world, slice, ledger);
    const filters = await writeUserFilters(world.filters, slice, ledger);
    const told = filters ? { ...slice, filterWrittenAt: filters.writtenAt } : slice;
    report = store ? await settleStore(world, told, ledger, store) : removedReport(slice, []);
    report = await settleUserFilters(world.filters, slice, ledger, report, filters);
    if (!slice.wanted && !report.error) report = await removeStore(world, slice, ledger, report);
    const { deviceId, publicUrl } = slice;
    ledger.saveSummary(JSON.stringify({ ...report, deviceId, publicUrl }));
    // What is still there has to stay known.
    if (!slice.final || report.error) return report;
    created = ledger.createdPaths();
    const gone = await world.removeCreated(created);
    report.removed.push(...gone.map((id) => ({ kind: "database" as const, id })));
  } finally {
    ledger.close();
  }
  // It is of no use any more: with it goes the last thing of ours in the user's home.
  await place.remove();
  // The ledger's own folder was in these.
  await world.removeCreated(created);
  return report;
}

/** Who is to hold nothing, and has no ledger, gets none in their home to find that out. */
async function ledgerFor(world: UserWorld, slice: UserSlice): Promise<LedgerPlace> {
  const place = world.ledger ?? ledgerFile(world.stateDir, world.now);
  if (slice.wanted || await place.exists()) return place;
  return { ...place, open: () => Promise.resolve(new Ledger(":memory:", world.now)) };
}

/** Undefined for a store that cannot be opened and that nothing was ever put into. */
function openStore(world: UserWorld, slice: UserSlice, ledger: Ledger): TrustStore | undefined {
  try {
    return world.openStore(storeOptions(slice, ledger));
  } catch (error) {
    // The ledger knows of a thing before it exists. What it does not know keeps no removal waiting.
    const holds = ledger.keys().length + ledger.certificates().length > 0;
    if (slice.wanted || holds || toProblem(error).waiting) throw error;
    return undefined;
  }
}

function storeOptions({ wanted, brand, selection }: UserSlice, ledger: Ledger): OpenUserStore {
  return {
    create: wanted,
    brand,
    macosApplications: selection?.macosApplications ?? [],
    created: ledger.createdPaths(),
    publicKeys: () => ledger.keys().flatMap((key) => ledger.key(key)?.spki ?? []),
    recordPath: (created) => ledger.recordPath(created),
  };
}

/** A store that is ours alone goes with the last thing in it; a failure keeps the receipt. */
async function removeStore(
  world: UserWorld,
  slice: UserSlice,
  ledger: Ledger,
  report: UserAgentReport,
): Promise<UserAgentReport> {
  try {
    const gone = await world.removeStore?.(storeOptions(slice, ledger)) ?? [];
    for (const { id } of gone) ledger.forgetPath(id);
    return { ...report, removed: [...report.removed, ...gone] };
  } catch (error) {
    return { ...failure(slice, toProblem(error)), removed: report.removed };
  }
}

async function settleStore(
  world: UserWorld,
  slice: UserSlice,
  ledger: Ledger,
  store: TrustStore,
): Promise<UserAgentReport> {
  try {
    const intermediates = [slice.trustAnchors, ...slice.formerAnchors ?? []]
      .map((anchors) => certificateDer(anchors.intermediate));
    const renewAt = renewalInstant(world, slice, ledger);
    const desired: DesiredStore = {
      leaves: slice.leaves,
      anchors: slice.wanted
        ? {
          root: await sha256Hex(certificateDer(slice.trustAnchors.root)),
          intermediate: await sha256Hex(certificateDer(slice.trustAnchors.intermediate)),
        }
        : null,
      ...(renewAt === undefined ? {} : { renewAt }),
    };
    const look = async () => await observe(await store.list(), ledger, slice, intermediates);
    let seen = await look();
    const anchors = [slice.trustAnchors, ...slice.formerAnchors ?? []];
    if (await recoverLedger(ledger, seen, anchors)) seen = await look();
    for (const foreign of seen.foreign) ledger.recordEvent("certificate.foreign", foreign);
    const current = slice.leaves.find((leaf) => leaf.status === "current")?.serial;
    const leaf = seen.leaves.find(({ serial, hasKey }) => hasKey && serial === current);
    if (await hasNewApplications(store, ledger, leaf)) desired.renewAt = 0;
    const actions = reconcile(desired, seen, serverTime(world, slice));
    const removed: RemovedItem[] = [];
    let serial = current;
    try {
      serial = await apply({ ...world, ledger, store }, slice, seen, actions, removed) ?? serial;
    } catch (error) {
      const failed = { ...failure(slice, toProblem(error)), removed };
      const renewed = signerOf(actions);
      if (renewed === undefined) return failed;
      // The leaf that was to be renewed still counts.
      const { serial } = seen.descriptions.get(renewed) ?? {};
      const { held, ...installed } = installedReport(slice, ledger, store, await look(), serial);
      return { ...installed, ...failed, held, state: "renewing" };
    }
    const contents = await store.list();
    forgetAbsent({ ...world, ledger, store }, contents);
    if (!slice.wanted) return removedReport(slice, removed);
    const after = actions.length === 0 ? seen : await look();
    return { ...installedReport(slice, ledger, store, after, serial), removed };
  } finally {
    store.close();
  }
}

/** When the current leaf is to be renewed, by the server's window as it is now. */
function renewalInstant(world: UserWorld, slice: UserSlice, ledger: Ledger): number | undefined {
  if (slice.renewNow) return 0;
  const current = slice.leaves.find((leaf) => leaf.status === "current");
  if (!current) return undefined;
  const known = ledger.renewal(current.serial);
  const plan = followWindow(known, slice.renewal, world.random);
  if (plan && plan !== known) ledger.recordRenewal(current.serial, plan);
  return plan?.renewAt;
}

/** SHA-256 of the leaf that is to be renewed; undefined when it is a first one, or a re-issue. */
function signerOf(actions: readonly Action[]): string | undefined {
  return actions.find((action) => action.do === "request-leaf")?.signer;
}

function installedReport(
  slice: UserSlice,
  ledger: Ledger,
  store: TrustStore,
  seen: Awaited<ReturnType<typeof observe>>,
  serial: string | undefined,
): UserAgentReport {
  const current = seen.leaves.find((leaf) => leaf.hasKey && leaf.serial === serial);
  const description = current && seen.descriptions.get(current.sha256);
  if (!current || !description) {
    throw new Problem(
      "internal",
      "The leaf was installed but is not in the store when read back. It is tried again; if this " +
        `stays, look for another program that changes ${store.location}.`,
    );
  }
  const plan = ledger.renewal(current.serial);
  return {
    userId: slice.userId,
    state: "installed",
    serial: current.serial,
    leafName: description.commonName,
    notAfter: isoSeconds(description.notAfter.getTime()),
    // Rounded up: who looks at that second finds it due.
    ...(plan && { renewAt: isoSeconds(plan.renewAt + 999), renewal: plan.window }),
    store: { kind: store.kind, location: store.location },
    anchors: anchorsDigest(slice.trustAnchors),
    held: seen.leaves.map((leaf) => leaf.serial),
    removed: [],
  };
}

function removedReport(slice: UserSlice, removed: RemovedItem[]): UserAgentReport {
  return { userId: slice.userId, state: "removed", held: [], removed };
}

function failure(slice: UserSlice, problem: Problem): UserAgentReport {
  return {
    userId: slice.userId,
    state: slice.wanted ? (problem.waiting ? "waiting" : "failed") : "removing",
    held: [],
    error: { code: problem.code, message: problem.message.slice(0, 2000) },
    removed: [],
  };
}

function serverTime(world: UserWorld, slice: UserSlice) {
  return { now: world.now() + slice.clock.offset, known: slice.clock.known };
}

/** RFC 3339 in whole seconds. */
function isoSeconds(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d{3}Z$/, "Z");
}
