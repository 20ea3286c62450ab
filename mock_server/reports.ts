/** What a report of a device sets in motion. */
import type { DeviceReport, UserReport } from "../agent/contract.ts";
import { recordEvent, type ServerContext } from "./context.ts";
import type { StoredReport } from "./fleet.ts";
import { settleLeaves } from "./fleet_changes.ts";
import { RequestProblem } from "./problems.ts";

/**
 * Keeps a report, and starts the overlap of leaves whose successor it says is installed. Users who
 * were bound once are taken too, because their removal is reported late. Throws `invalid` for one
 * who never was: nothing of that report is kept.
 */
export function recordReport(
  context: ServerContext,
  deviceId: string,
  report: DeviceReport,
): void {
  const { store } = context;
  const { hostname, osVersion, agentVersion } = report;
  store.transaction(() => {
    store.devices.describe({ deviceId, hostname, osVersion, agentVersion });
    for (const user of report.users) recordUser(context, deviceId, user);
  });
  settleLeaves(context);
}

function recordUser(context: ServerContext, deviceId: string, user: UserReport): void {
  const { store } = context;
  const { userId, state, serial, error, removed } = user;
  const now = context.now().getTime();
  if (!store.bindings.get(deviceId, userId)) {
    throw new RequestProblem("invalid", `json.users: user ${userId} was never managed here`);
  }
  const before = store.reports.get(deviceId, userId);
  store.reports.record(deviceId, user, now);
  if (isNews(before, user)) {
    recordEvent(context, "user.reported", { deviceId, userId }, { state, serial, error, removed });
  }
  if (serial === undefined || (state !== "installed" && state !== "renewing")) return;
  const leaf = store.certificates.get(serial);
  if (leaf?.deviceId !== deviceId || leaf.userId !== userId || leaf.revokedAt !== null) return;
  store.certificates.installed(leaf, now);
}

/** Reports repeat themselves; the audit log is told what differs from the last. */
function isNews(before: StoredReport | undefined, user: UserReport): boolean {
  return before?.state !== user.state || before.serial !== (user.serial ?? null) ||
    before.error?.code !== user.error?.code || Boolean(user.removed?.length);
}
