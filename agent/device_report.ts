/** What the agent server hears of this device. */
import { toProblem } from "../platform/errors.ts";
import type { SystemFacts } from "../platform/platform.ts";
import type { DeviceReport, FilterReport } from "./contract.ts";
import type { Log } from "./log.ts";
import { refusal, type ServerClient } from "./server_client.ts";
import type { UserRow } from "./state.ts";
import { VERSION } from "./version.ts";

/** A report of these rows. */
export function deviceReport(
  { hostname, osVersion }: SystemFacts,
  rows: readonly UserRow[],
  filters: readonly FilterReport[],
): DeviceReport {
  return {
    agentVersion: VERSION,
    osVersion,
    hostname,
    users: rows.map((row) => ({
      userId: row.userId,
      state: row.state,
      ...(row.details.serial ? { serial: row.details.serial } : {}),
      filters: [...filters],
      ...(row.error ? { error: row.error } : {}),
      ...(row.removed.length > 0 ? { removed: row.removed } : {}),
    })),
  };
}

/** Sends it; false when the agent server did not take it, which is logged and tried again. */
export async function sendReport(
  client: ServerClient,
  deviceId: string,
  report: DeviceReport,
  log: Log,
): Promise<boolean> {
  try {
    const answer = await client.request({
      method: "POST",
      path: `/v1/devices/${deviceId}/reports`,
      body: new TextEncoder().encode(JSON.stringify(report)),
    });
    if (answer.status !== 204) throw refusal("report", answer);
    return true;
  } catch (error) {
    log.warning("report.failed", { reason: toProblem(error).message });
    return false;
  }
}
