/** What is in the agent's state, and how SQLite's rows become that. */
import type { SQLOutputValue } from "node:sqlite";
import type { ProblemCode } from "../platform/errors.ts";
import type { FilterReport, RemovedItem, RenewalWindow, UserState } from "./contract.ts";
import type { Anchors } from "./verify.ts";

/** Who this device is to its agent server. Certificates are PEM. */
export interface DeviceRecord {
  /** Absent until the server has answered the enrolment. */
  deviceId?: string;
  /** As the administrator gave it, without a trailing slash. */
  server: string;
  publicUrl?: string;
  serverCa?: string;
  /** SHA-256 of the machine id that the key was made on; absent where there is none. */
  machine?: string;
  root?: string;
  intermediate?: string;
  /** Roots and intermediates that were pinned before, newest first. */
  former?: Anchors[];
  /** Set once unenrolment or deletion began: everything goes, nothing is installed again. */
  leaving: boolean;
}

/** A problem as `status` shows it. */
export interface RecordedProblem {
  code: ProblemCode;
  message: string;
}

/** What the user-agent said of its store the last time. */
export interface UserDetails {
  serial?: string;
  leafName?: string;
  /** RFC 3339. */
  notAfter?: string;
  /** RFC 3339. */
  renewAt?: string;
  /** The server's window that `renewAt` was drawn in. */
  renewal?: RenewalWindow;
  store?: { kind: string; location: string };
  /** Which anchors are in the store; absent in reports of an earlier version. */
  anchors?: string;
  /** Serials of our leaves in the store. */
  held?: string[];
  /** Filters in the user's own settings, where a system has them there. */
  filters?: (FilterReport & { hint?: string })[];
  /** What the user's browsers were told, see `selectionDigest`. */
  selection?: string;
}

/** A managed user on this device, or one whose removal is not finished. */
export interface UserRow {
  userId: string;
  username: string;
  /** The OS's own id of the account, as text (uid or SID); absent while there is no account. */
  uid?: string;
  state: UserState;
  details: UserDetails;
  error?: RecordedProblem;
  /** Failures in a row. */
  attempts: number;
  retryAt?: number;
  /** When a user-agent last looked at the store. */
  checkedAt?: number;
  /** Whether the agent server has not heard of this row's newest state. */
  unreported: boolean;
  /** The receipt of a removal that the agent server has not heard of. */
  removed: RemovedItem[];
}

/** The last exchange with the agent server. */
export interface SyncRow {
  lastSync?: number;
  /** Server time minus local time, milliseconds. */
  clockOffset: number;
  error?: RecordedProblem;
}

/** An entry of the audit log. */
export interface EventRow {
  eventId: number;
  at: number;
  type: string;
  userId?: string;
  detail: string;
}

/** Filters in the user's own settings, as everybody is told of them: without what to do. */
export function ownFilters({ details }: Pick<UserRow, "details">): FilterReport[] {
  return (details.filters ?? []).map(({ browser, location, state }) => {
    return { browser, location, state };
  });
}

/** A row as SQLite gives it. */
export type Row = Record<string, SQLOutputValue>;

/** A row of table `user`. */
export function userRow(row: Row): UserRow {
  return {
    userId: String(row.user_id),
    username: String(row.username),
    // Written by saveUser alone, in a folder that only root can write.
    state: String(row.state) as UserState,
    details: JSON.parse(String(row.details)),
    attempts: Number(row.attempts),
    unreported: row.unreported === 1,
    removed: JSON.parse(String(row.removed)),
    ...texts({ uid: row.uid }),
    ...(row.retry_at === null ? {} : { retryAt: Number(row.retry_at) }),
    ...(row.checked_at === null ? {} : { checkedAt: Number(row.checked_at) }),
    ...problemOf(row.error),
  };
}

/** What is in a column `error`. */
export function problemOf(error: SQLOutputValue | undefined): { error?: RecordedProblem } {
  return typeof error === "string" ? { error: JSON.parse(error) } : {};
}

/** The members that are text, under their names. */
export function texts<K extends string>(
  values: Record<K, SQLOutputValue | undefined>,
): { [P in K]?: string } {
  const result: { [P in K]?: string } = {};
  for (const key in values) {
    const value = values[key];
    if (typeof value === "string") result[key] = value;
  }
  return result;
}
