/** What the agent server hears of this device, and when. */
import { toProblem } from "../platform/errors.ts";
import type { DevicePlatform, SystemFacts } from "../platform/platform.ts";
import { type DeviceReport, type FilterReport, LIMITS, type UserReport } from "./contract.ts";
import type { Enrolled } from "./identity.ts";
import type { Log } from "./log.ts";
import { refusal, type ServerClient } from "./server_client.ts";
import type { State, UserRow } from "./state.ts";
import { ownFilters } from "./state_rows.ts";
import type { UserRows } from "./user_rows.ts";
import { VERSION } from "./version.ts";

/** How long a report waits for more of its kind while user-agents run, milliseconds. */
const GATHERING = 1000;

/** More than a report has beside its users. */
const HEAD_BYTES = 4096;

/** What reports need of the world. */
export interface ReportWorld {
  state: State;
  client: Pick<ServerClient, "request">;
  identity: { device: Pick<Enrolled["device"], "deviceId"> };
  platform: Pick<DevicePlatform, "system">;
  log: Log;
  /** Resolves after so many milliseconds, or at once when the signal says to end. */
  pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** Tells the agent server what is new of users, as far as it has not heard it. */
export class DeviceReports {
  #gathering = false;
  /** The report that is under way, and the one that is to follow it. */
  #telling: Promise<void> = Promise.resolve();
  #tellingNext: Promise<void> | undefined;

  /**
   * @param filters how the filters are now
   * @param signal ends what is still to come
   */
  constructor(
    private readonly world: ReportWorld,
    private readonly rows: UserRows,
    private readonly filters: () => readonly FilterReport[],
    private readonly signal: AbortSignal,
  ) {}

  /** Tells soon: nobody's news waits for everybody's, but a moment for that of the quick. */
  async soon(): Promise<void> {
    if (this.#gathering) return;
    this.#gathering = true;
    await this.world.pause(GATHERING, this.signal);
    this.#gathering = false;
    if (!this.signal.aborted) await this.now();
  }

  /**
   * Tells, one report at a time: what comes during one is in the one that follows. Resolves when
   * the server has heard what is new now, or could not.
   */
  now(): Promise<void> {
    this.#tellingNext ??= this.#telling.then(async () => {
      this.#tellingNext = undefined;
      await this.#report();
    });
    this.#telling = this.#tellingNext.catch(() => {
      // Whoever waits for it hears of its failure.
    });
    return this.#tellingNext;
  }

  async #report(): Promise<void> {
    const { state, platform } = this.world;
    const rows = state.users().filter((row) => row.unreported);
    // A device that has left has nobody to report to.
    if (rows.length === 0 || state.device()?.leaving) return;
    const filters = this.filters();
    const system = await platform.system();
    for (const some of inReports(rows, filters)) {
      const reception = await this.#send(system, some, filters);
      if (reception !== "refused" || some.length === 1) continue;
      // What one user made of their row keeps the agent server from hearing of nobody else.
      for (const row of some) await this.#send(system, [row], filters);
    }
  }

  async #send(system: SystemFacts, rows: readonly UserRow[], filters: readonly FilterReport[]) {
    const { client, identity, log } = this.world;
    const report = deviceReport(system, rows, filters);
    const reception = await sendReport(client, identity.device.deviceId, report, log);
    if (reception === "heard") this.rows.reported(rows);
    else if (reception === "unheard" || rows.length === 1) this.rows.retryReport(rows);
    return reception;
  }
}

/** A report of these rows. */
function deviceReport(
  { hostname, osVersion }: SystemFacts,
  rows: readonly UserRow[],
  filters: readonly FilterReport[],
): DeviceReport {
  return {
    agentVersion: VERSION,
    osVersion,
    hostname,
    users: rows.map((row) => userReport(row, filters)),
  };
}

function userReport(row: UserRow, filters: readonly FilterReport[]): UserReport {
  return {
    userId: row.userId,
    state: row.state,
    ...(row.details.serial ? { serial: row.details.serial } : {}),
    filters: [...filters, ...ownFilters(row)],
    ...(row.error ? { error: row.error } : {}),
    ...(row.removed.length > 0 ? { removed: row.removed } : {}),
  };
}

/** Rows in as few reports as the agent server takes them in, by their size. */
function inReports(rows: readonly UserRow[], filters: readonly FilterReport[]): UserRow[][] {
  const reports: UserRow[][] = [];
  let room = 0;
  for (const row of rows) {
    const bytes = new TextEncoder().encode(JSON.stringify(userReport(row, filters))).length + 1;
    if (bytes > room) {
      reports.push([]);
      room = LIMITS.reportBytes - HEAD_BYTES;
    }
    reports.at(-1)?.push(row);
    room -= bytes;
  }
  return reports;
}

/**
 * What became of a report: the agent server took it, found fault with it, or could not be asked. The
 * latter two are logged and tried again.
 */
type Reception = "heard" | "refused" | "unheard";

/** Sends it. */
async function sendReport(
  client: ReportWorld["client"],
  deviceId: string,
  report: DeviceReport,
  log: Log,
): Promise<Reception> {
  let reception: Reception = "unheard";
  try {
    const answer = await client.request({
      method: "POST",
      path: `/v1/devices/${deviceId}/reports`,
      body: new TextEncoder().encode(JSON.stringify(report)),
    });
    if (answer.status === 204) return "heard";
    if (REFUSALS.has(answer.status)) reception = "refused";
    throw refusal("report", answer);
  } catch (error) {
    log.warning("report.failed", { reason: toProblem(error).message });
    return reception;
  }
}

/** Malformed, or too large for this server: what a report of less may not be. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);
