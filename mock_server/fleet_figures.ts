/** Figures of the whole fleet, counted by the database: what an administrator sees at a glance. */
import { z } from "zod";
import { UserState } from "../agent/contract.ts";
import type { Database } from "./schema.ts";

const RemovalRow = z.object({ devices: z.number(), clean: z.number(), notSeen: z.number() });
/** How far a removal has come: devices that are clean, and those not heard of since it began. */
export type RemovalFigures = z.infer<typeof RemovalRow>;

const StateRow = z.object({ state: UserState.nullable(), users: z.number() });
/** How many managed users were last reported in a state; null before their first report. */
export type StateFigures = z.infer<typeof StateRow>;

const ExpiryRow = z.object({ day: z.number(), certificates: z.number() });
/** How many current certificates end within the day that starts so many days from now. */
export type ExpiryFigures = z.infer<typeof ExpiryRow>;

/** Counts over devices, reports and certificates. */
export class FleetFigures {
  constructor(private readonly database: Database) {}

  /**
   * How many devices are clean of what was to be removed since `since`, of all or as for one.
   * A device that never got a certificate is clean; any other one when it has said so since.
   */
  removal(since: number, deviceId?: string): RemovalFigures {
    const row = this.database.get(
      RemovalRow,
      `SELECT count(*) AS devices, ifnull(sum(clean), 0) AS clean,
         ifnull(sum(NOT clean AND lastSeenAt < $since), 0) AS notSeen
       FROM (SELECT lastSeenAt,
           NOT EXISTS (SELECT 1 FROM certificate WHERE certificate.deviceId = device.deviceId)
           OR (SELECT ifnull(min(at >= $since AND state IN ('removed', 'absent')), 0)
               FROM report WHERE report.deviceId = device.deviceId) AS clean
         FROM device WHERE deletedAt IS NULL AND ($deviceId IS NULL OR deviceId = $deviceId))`,
      { since, deviceId: deviceId ?? null },
    );
    return row ?? { devices: 0, clean: 0, notSeen: 0 };
  }

  /** Managed users by the state that was last reported of them. */
  states(): StateFigures[] {
    return this.database.all(
      StateRow,
      `SELECT state, count(*) AS users
       FROM binding LEFT JOIN report USING (deviceId, userId)
       WHERE removedAt IS NULL GROUP BY state`,
    );
  }

  /** Current certificates, those that overlap left out, by the day in which they end. */
  expiries(now: number): ExpiryFigures[] {
    return this.database.all(
      ExpiryRow,
      `SELECT CAST((notAfter - $now) / 86400000 AS INTEGER) AS day, count(*) AS certificates
       FROM (SELECT max(rowid), notAfter FROM certificate
             WHERE revokedAt IS NULL AND notAfter > $now GROUP BY deviceId, userId)
       GROUP BY day ORDER BY day`,
      { now },
    );
  }
}
