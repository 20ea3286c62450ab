/** What went that is all users': it is reported with a user that has something to report. */
import { LIMITS, type RemovedItem } from "./contract.ts";
import type { State } from "./state.ts";

/** Notes items that were read back as gone, for the next report and in the audit log. */
export function noteRemoved(state: State, kind: RemovedItem["kind"], ids: readonly string[]): void {
  if (ids.length === 0) return;
  state.recordEvent(`${kind}.removed`, ids.join(", "));
  const items = ids.map((id): RemovedItem => ({ kind, id }));
  const rows = state.users();
  const teller = rows.find((row) => row.unreported) ?? rows[0];
  if (!teller) return;
  const removed = [...teller.removed, ...items].slice(-LIMITS.removedItems);
  state.saveUser({ ...teller, unreported: true, removed });
}
