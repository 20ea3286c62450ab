/** Who and what is managed: users, devices, the accounts that join them, and what devices report. */
import { z } from "zod";
import {
  DeviceOs,
  FilterReport,
  PublicJwk,
  type RemovedItem,
  ReportedError,
  type UserReport,
  UserState,
} from "../agent/contract.ts";
import { type Page, type Paged, paged } from "./paging.ts";
import { type Database, json, type Parameters } from "./schema.ts";

const UserRow = z.object({
  seq: z.number(),
  userId: z.string(),
  email: z.string(),
  name: z.string().nullable(),
  groups: json(z.array(z.string())),
  createdAt: z.number(),
  deletedAt: z.number().nullable(),
});
/** A directory user; a deleted one keeps its row, because certificates and events speak of it. */
export type User = Omit<z.infer<typeof UserRow>, "seq">;

/** Directory users. */
export class Users {
  constructor(private readonly database: Database) {}

  /** Adds a user; e-mail addresses differ by more than case (ask `byEmail` first). */
  add(user: Omit<User, "deletedAt">): void {
    this.database.run(
      `INSERT INTO user (userId, email, name, groups, createdAt)
       VALUES ($userId, $email, $name, $groups, $createdAt)`,
      {
        userId: user.userId,
        email: user.email,
        name: user.name,
        groups: JSON.stringify(user.groups),
        createdAt: user.createdAt,
      },
    );
  }

  /** A user, deleted ones too. */
  get(userId: string): User | undefined {
    return this.database.get(UserRow, "SELECT rowid AS seq, * FROM user WHERE userId = $userId", {
      userId,
    });
  }

  /** The user with this e-mail address, in any case of letters; no deleted one. */
  byEmail(email: string): User | undefined {
    return this.database.get(
      UserRow,
      "SELECT rowid AS seq, * FROM user WHERE email = $email AND deletedAt IS NULL",
      { email },
    );
  }

  /** Users that are not deleted, oldest first; with `state` those last reported in it somewhere. */
  list(page: Page, state?: UserState): Paged<User> {
    return paged(
      this.database.all(
        UserRow,
        `SELECT rowid AS seq, * FROM user WHERE deletedAt IS NULL AND rowid > $after
           AND ($state IS NULL OR EXISTS (SELECT 1 FROM report
             WHERE report.userId = user.userId AND report.state = $state))
         ORDER BY rowid LIMIT $limit`,
        { after: page.after ?? 0, limit: page.limit + 1, state: state ?? null },
      ),
      page,
    );
  }

  /** Marks a user deleted. Row only: `deleteUser` in fleet_changes.ts does the rest. */
  delete(userId: string, now: number): void {
    this.database.run(
      "UPDATE user SET deletedAt = $now WHERE userId = $userId AND deletedAt IS NULL",
      { userId, now },
    );
  }
}

const DeviceRow = z.object({
  seq: z.number(),
  deviceId: z.string(),
  /** RFC 7638 thumbprint of its key. */
  thumbprint: z.string(),
  publicKey: json(PublicJwk),
  hostname: z.string(),
  os: DeviceOs,
  osVersion: z.string(),
  agentVersion: z.string(),
  enrolledAt: z.number(),
  lastSeenAt: z.number(),
  deletedAt: z.number().nullable(),
});
/** An enrolled device; a deleted one keeps its row, so that its agent can be told. */
export type Device = Omit<z.infer<typeof DeviceRow>, "seq">;

/** What a list of devices can be narrowed to. */
export interface DeviceFilter {
  /** Some user of the device was last reported in this state. */
  state?: UserState;
  /** Not seen since this instant. */
  lastSeenBefore?: number;
}

/** Enrolled devices. */
export class Devices {
  constructor(private readonly database: Database) {}

  /** Adds a device; its key must not belong to another one that is not deleted. */
  add(device: Omit<Device, "lastSeenAt" | "deletedAt">): void {
    this.database.run(
      `INSERT INTO device (deviceId, thumbprint, publicKey, hostname, os, osVersion, agentVersion,
         enrolledAt, lastSeenAt)
       VALUES ($deviceId, $thumbprint, $publicKey, $hostname, $os, $osVersion, $agentVersion,
         $enrolledAt, $enrolledAt)`,
      { ...device, publicKey: JSON.stringify(device.publicKey) },
    );
  }

  /** A device, deleted ones too. */
  get(deviceId: string): Device | undefined {
    return this.database.get(
      DeviceRow,
      "SELECT rowid AS seq, * FROM device WHERE deviceId = $deviceId",
      { deviceId },
    );
  }

  /** The device that is enrolled with this key; no deleted one. */
  byThumbprint(thumbprint: string): Device | undefined {
    return this.database.get(
      DeviceRow,
      "SELECT rowid AS seq, * FROM device WHERE thumbprint = $thumbprint AND deletedAt IS NULL",
      { thumbprint },
    );
  }

  /** Devices that are not deleted, oldest first. */
  list(page: Page, filter: DeviceFilter = {}): Paged<Device> {
    const rows = this.database.all(
      DeviceRow,
      `SELECT rowid AS seq, * FROM device WHERE deletedAt IS NULL AND rowid > $after
         AND ($before IS NULL OR lastSeenAt < $before)
         AND ($state IS NULL OR EXISTS (SELECT 1 FROM report
           WHERE report.deviceId = device.deviceId AND report.state = $state))
       ORDER BY rowid LIMIT $limit`,
      {
        after: page.after ?? 0,
        limit: page.limit + 1,
        before: filter.lastSeenBefore ?? null,
        state: filter.state ?? null,
      },
    );
    return paged(rows, page);
  }

  /** How many devices are not deleted. */
  count(): number {
    return count(this.database, "SELECT count(*) AS count FROM device WHERE deletedAt IS NULL");
  }

  /** Notes that the device was heard of. */
  seen(deviceId: string, now: number): void {
    this.database.run("UPDATE device SET lastSeenAt = $now WHERE deviceId = $deviceId", {
      deviceId,
      now,
    });
  }

  /** Takes over what the device says of itself. */
  describe(
    device: Pick<Device, "deviceId" | "hostname" | "osVersion" | "agentVersion">,
  ): void {
    this.database.run(
      `UPDATE device SET hostname = $hostname, osVersion = $osVersion, agentVersion = $agentVersion
       WHERE deviceId = $deviceId`,
      {
        deviceId: device.deviceId,
        hostname: device.hostname,
        osVersion: device.osVersion,
        agentVersion: device.agentVersion,
      },
    );
  }

  /** Marks a device deleted. Row only: `deleteDevice` in fleet_changes.ts does the rest. */
  delete(deviceId: string, now: number): void {
    this.database.run(
      "UPDATE device SET deletedAt = $now WHERE deviceId = $deviceId AND deletedAt IS NULL",
      { deviceId, now },
    );
  }
}

const BindingRow = z.object({
  deviceId: z.string(),
  userId: z.string(),
  username: z.string(),
  boundAt: z.number(),
  removedAt: z.number().nullable(),
});
/** A directory user's local account on a device; a removed one keeps its row for late reports. */
export type Binding = z.infer<typeof BindingRow>;

const ManagedUserRow = z.object({ userId: z.string(), username: z.string(), email: z.string() });
/** A user who is managed on some device. */
export type ManagedUser = z.infer<typeof ManagedUserRow>;

/** Which user has which account on which device. */
export class Bindings {
  constructor(private readonly database: Database) {}

  /** Binds, binds again, or renames the account (ask `byAccount` first: one user per account). */
  put(deviceId: string, userId: string, username: string, now: number): void {
    this.database.run(
      `INSERT INTO binding (deviceId, userId, username, boundAt)
       VALUES ($deviceId, $userId, $username, $now)
       ON CONFLICT (deviceId, userId) DO UPDATE SET username = $username, removedAt = NULL,
         boundAt = iif(removedAt IS NULL, boundAt, $now)`,
      { deviceId, userId, username, now },
    );
  }

  /** A binding, removed ones too. */
  get(deviceId: string, userId: string): Binding | undefined {
    return this.database.get(
      BindingRow,
      "SELECT * FROM binding WHERE deviceId = $deviceId AND userId = $userId",
      { deviceId, userId },
    );
  }

  /** Who is bound to this account now. */
  byAccount(deviceId: string, username: string): Binding | undefined {
    return this.database.get(
      BindingRow,
      `SELECT * FROM binding
       WHERE deviceId = $deviceId AND username = $username AND removedAt IS NULL`,
      { deviceId, username },
    );
  }

  /** Users who are managed on a device now, by account name. */
  managedOn(deviceId: string): ManagedUser[] {
    return this.database.all(
      ManagedUserRow,
      `SELECT binding.userId, username, email FROM binding JOIN user USING (userId)
       WHERE deviceId = $deviceId AND removedAt IS NULL ORDER BY username`,
      { deviceId },
    );
  }

  /** Devices on which a user is managed now. */
  devicesOf(userId: string): string[] {
    return this.database.all(
      z.object({ deviceId: z.string() }),
      "SELECT deviceId FROM binding WHERE userId = $userId AND removedAt IS NULL",
      { userId },
    ).map(({ deviceId }) => deviceId);
  }

  /** How many users are managed on a device now, or on all devices together. */
  count(deviceId?: string): number {
    return count(
      this.database,
      `SELECT count(*) AS count FROM binding
       WHERE removedAt IS NULL AND ($deviceId IS NULL OR deviceId = $deviceId)`,
      { deviceId: deviceId ?? null },
    );
  }

  /** Marks a binding removed. Row only: `unbind` in fleet_changes.ts does the rest. */
  remove(deviceId: string, userId: string, now: number): void {
    this.database.run(
      `UPDATE binding SET removedAt = $now
       WHERE deviceId = $deviceId AND userId = $userId AND removedAt IS NULL`,
      { deviceId, userId, now },
    );
  }
}

const ReportRow = z.object({
  userId: z.string(),
  at: z.number(),
  state: UserState,
  serial: z.string().nullable(),
  filters: json(z.array(FilterReport)),
  error: json(ReportedError).nullable(),
});
/** The last that a device said of a user. */
export type StoredReport = z.infer<typeof ReportRow>;

const ReceiptRow = z.object({
  userId: z.string(),
  kind: z.string(),
  id: z.string(),
  at: z.number(),
});
/** One thing that is gone from a device, read back there (S13). */
export type Receipt = z.infer<typeof ReceiptRow>;

/** Receipts kept per device and user: 20 years of renewals, and no room for a flood. */
const RECEIPTS_KEPT = 1000;

/** The last report per device and user, and the receipts of what was removed. */
export class Reports {
  constructor(private readonly database: Database) {}

  /** Stores a user's part of a report; the user must be, or have been, bound there. */
  record(deviceId: string, report: UserReport, now: number): void {
    this.database.run(
      `INSERT OR REPLACE INTO report (deviceId, userId, at, state, serial, filters, error)
       VALUES ($deviceId, $userId, $now, $state, $serial, $filters, $error)`,
      {
        deviceId,
        userId: report.userId,
        now,
        state: report.state,
        serial: report.serial ?? null,
        filters: JSON.stringify(report.filters),
        error: report.error ? JSON.stringify(report.error) : null,
      },
    );
    if (report.removed?.length) this.#receipts(deviceId, report.userId, report.removed, now);
  }

  #receipts(
    deviceId: string,
    userId: string,
    removed: z.infer<typeof RemovedItem>[],
    now: number,
  ): void {
    for (const { kind, id } of removed) {
      this.database.run(
        `INSERT OR REPLACE INTO removal_receipt (deviceId, userId, kind, id, at)
         VALUES ($deviceId, $userId, $kind, $id, $now)`,
        { deviceId, userId, kind, id, now },
      );
    }
    this.database.run(
      `DELETE FROM removal_receipt WHERE rowid IN (
         SELECT rowid FROM removal_receipt WHERE deviceId = $deviceId AND userId = $userId
         ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ${RECEIPTS_KEPT})`,
      { deviceId, userId },
    );
  }

  /** The last report of one user there. */
  get(deviceId: string, userId: string): StoredReport | undefined {
    return this.database.get(
      ReportRow,
      "SELECT * FROM report WHERE deviceId = $deviceId AND userId = $userId",
      { deviceId, userId },
    );
  }

  /** The last report of every user there. */
  ofDevice(deviceId: string): StoredReport[] {
    return this.database.all(ReportRow, "SELECT * FROM report WHERE deviceId = $deviceId", {
      deviceId,
    });
  }

  /** What is gone from a device, newest first. */
  receipts(deviceId: string): Receipt[] {
    return this.database.all(
      ReceiptRow,
      "SELECT userId, kind, id, at FROM removal_receipt WHERE deviceId = $deviceId ORDER BY at DESC",
      { deviceId },
    );
  }
}

function count(database: Database, sql: string, parameters: Parameters = {}): number {
  return database.get(z.object({ count: z.number() }), sql, parameters)?.count ?? 0;
}
