/** Leaves that were issued, and what became of each. */
import { z } from "zod";
import { type Page, type Paged, paged } from "./paging.ts";
import type { Database } from "./schema.ts";

/** Why a leaf was revoked, by the names of RFC 5280, 5.3.1: those that happen to leaves here. */
export const RevocationReason = z.enum([
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
]);
export type RevocationReason = z.infer<typeof RevocationReason>;

const CertificateRow = z.object({
  seq: z.number(),
  serial: z.string(),
  /** SHA-256 of the DER certificate. */
  sha256: z.string(),
  commonName: z.string(),
  deviceId: z.string(),
  userId: z.string(),
  /** SHA-256 of the DER SubjectPublicKeyInfo. */
  spkiSha256: z.string(),
  pem: z.string(),
  /** Key identifier of the intermediate that signed it; null for one of the first generation. */
  issuerKeyIdentifier: z.string().nullable(),
  kind: z.enum(["first", "renewal", "reissue"]),
  issuedAt: z.number(),
  notBefore: z.number(),
  notAfter: z.number(),
  /** The window in which it is to be renewed. */
  renewalStart: z.number(),
  renewalEnd: z.number(),
  /** When a device first reported it installed. */
  installedAt: z.number().nullable(),
  /** When its successor was reported installed: the overlap counts from here. */
  supersededAt: z.number().nullable(),
  revokedAt: z.number().nullable(),
  reason: RevocationReason.nullable(),
});
/** A leaf and its history. It is live while it is neither revoked nor expired. */
export type Certificate = Omit<z.infer<typeof CertificateRow>, "seq">;

/** A leaf as it is just issued. */
export type IssuedCertificate = Omit<
  Certificate,
  "installedAt" | "supersededAt" | "revokedAt" | "reason"
>;

/** Which leaves; an absent member matches all. */
export interface Owner {
  deviceId?: string;
  userId?: string;
}

/** A leaf that is being revoked. */
export type RevokedCertificate = Pick<Certificate, "serial" | "deviceId" | "userId">;

const RevokedRow = CertificateRow.pick({ serial: true, deviceId: true, userId: true });
const SELECT = "SELECT rowid AS seq, * FROM certificate";
const OWNER =
  `($deviceId IS NULL OR deviceId = $deviceId) AND ($userId IS NULL OR userId = $userId)`;

/** Every leaf that this server issued. */
export class Certificates {
  /** Up to when `settle` has looked, and when it is to look again. */
  #settledAt = 0;
  #next?: { overlapSeconds: number; at: number };
  #revision = 0;

  constructor(private readonly database: Database) {}

  /** Another number after every revocation; for who keeps what was made from them. */
  get revision(): number {
    return this.#revision;
  }

  /** Adds a leaf. */
  add(certificate: IssuedCertificate): void {
    this.database.run(
      `INSERT INTO certificate (serial, sha256, commonName, deviceId, userId, spkiSha256, pem,
         issuerKeyIdentifier, kind, issuedAt, notBefore, notAfter, renewalStart, renewalEnd)
       VALUES ($serial, $sha256, $commonName, $deviceId, $userId, $spkiSha256, $pem,
         $issuerKeyIdentifier, $kind, $issuedAt, $notBefore, $notAfter, $renewalStart, $renewalEnd)`,
      { ...certificate },
    );
    if (this.#next) this.#next.at = Math.min(this.#next.at, certificate.notAfter);
  }

  /** A leaf by its serial. */
  get(serial: string): Certificate | undefined {
    return this.database.get(CertificateRow, `${SELECT} WHERE serial = $serial`, { serial });
  }

  /** A leaf by the SHA-256 of its DER. */
  bySha256(sha256: string): Certificate | undefined {
    return this.database.get(CertificateRow, `${SELECT} WHERE sha256 = $sha256`, { sha256 });
  }

  /** Every leaf for a public key, whosever it is, newest first. */
  byKey(spkiSha256: string): Certificate[] {
    return this.database.all(
      CertificateRow,
      `${SELECT} WHERE spkiSha256 = $spkiSha256 ORDER BY rowid DESC`,
      { spkiSha256 },
    );
  }

  /** Whether a leaf of this common name was ever issued. */
  hasName(commonName: string): boolean {
    return this.database.get(
      z.object({}),
      "SELECT 1 FROM certificate WHERE commonName = $commonName",
      { commonName },
    ) !== undefined;
  }

  /** Live leaves of a user on a device, newest first: the first is current, others overlap. */
  live(deviceId: string, userId: string, now: number): Certificate[] {
    return this.database.all(
      CertificateRow,
      `${SELECT} WHERE deviceId = $deviceId AND userId = $userId AND revokedAt IS NULL
       AND notAfter > $now ORDER BY rowid DESC`,
      { deviceId, userId, now },
    );
  }

  /** Live leaves of all users of a device, newest first. */
  liveOn(deviceId: string, now: number): Certificate[] {
    return this.database.all(
      CertificateRow,
      `${SELECT} WHERE deviceId = $deviceId AND revokedAt IS NULL AND notAfter > $now
       ORDER BY rowid DESC`,
      { deviceId, now },
    );
  }

  /** How many leaves are live. */
  countLive(now: number): number {
    return this.database.get(
      z.object({ count: z.number() }),
      "SELECT count(*) AS count FROM certificate WHERE revokedAt IS NULL AND notAfter > $now",
      { now },
    )?.count ?? 0;
  }

  /** How many leaves are live, by the key identifier of their issuer. */
  countLiveByIssuer(now: number): Map<string | null, number> {
    const rows = this.database.all(
      z.object({ issuerKeyIdentifier: z.string().nullable(), count: z.number() }),
      `SELECT issuerKeyIdentifier, count(*) AS count FROM certificate
       WHERE revokedAt IS NULL AND notAfter > $now GROUP BY issuerKeyIdentifier`,
      { now },
    );
    return new Map(rows.map(({ issuerKeyIdentifier, count }) => [issuerKeyIdentifier, count]));
  }

  /** How many current leaves were issued at or before `instant`: those a renewal still awaits. */
  countUnrenewed(instant: number, now: number): number {
    return this.database.get(
      z.object({ count: z.number() }),
      `SELECT count(*) AS count FROM (
         SELECT max(rowid), issuedAt FROM certificate WHERE revokedAt IS NULL AND notAfter > $now
         GROUP BY deviceId, userId)
       WHERE issuedAt <= $instant`,
      { instant, now },
    )?.count ?? 0;
  }

  /** Leaves, oldest first. */
  list(page: Page, owner: Owner = {}): Paged<Certificate> {
    return paged(
      this.database.all(
        CertificateRow,
        `${SELECT} WHERE rowid > $after AND ${OWNER} ORDER BY rowid LIMIT $limit`,
        { after: page.after ?? 0, limit: page.limit + 1, ...ownerParameters(owner) },
      ),
      page,
    );
  }

  /** Instants of a user's re-issues on a device since `since`, oldest first. */
  reissues(deviceId: string, userId: string, since: number): number[] {
    return this.database.all(
      z.object({ issuedAt: z.number() }),
      `SELECT issuedAt FROM certificate WHERE deviceId = $deviceId AND userId = $userId
       AND kind = 'reissue' AND issuedAt > $since ORDER BY issuedAt`,
      { deviceId, userId, since },
    ).map(({ issuedAt }) => issuedAt);
  }

  /**
   * Notes that a leaf was reported installed: from now on the overlap of its live elders counts.
   * Repeated reports change nothing.
   */
  installed(certificate: Certificate, now: number): void {
    const { serial, deviceId, userId } = certificate;
    this.database.run(
      "UPDATE certificate SET installedAt = $now WHERE serial = $serial AND installedAt IS NULL",
      { serial, now },
    );
    this.database.run(
      `UPDATE certificate SET supersededAt = $now
       WHERE deviceId = $deviceId AND userId = $userId AND revokedAt IS NULL
         AND supersededAt IS NULL
         AND rowid < (SELECT rowid FROM certificate WHERE serial = $serial)`,
      { deviceId, userId, serial, now },
    );
    this.#next = undefined;
  }

  /** Revokes one leaf; false when it is unknown or revoked already. */
  revoke(serial: string, reason: RevocationReason, now: number): boolean {
    this.#revision++;
    return this.database.run(
      `UPDATE certificate SET revokedAt = $now, reason = $reason
       WHERE serial = $serial AND revokedAt IS NULL`,
      { serial, reason, now },
    ) === 1;
  }

  /** Revokes every leaf of `owner` that is not revoked, expired ones left alone; which they were. */
  revokeAll(owner: Owner, reason: RevocationReason, now: number): RevokedCertificate[] {
    this.#revision++;
    return this.database.all(
      RevokedRow,
      `UPDATE certificate SET revokedAt = $now, reason = $reason
       WHERE revokedAt IS NULL AND notAfter > $now AND ${OWNER}
       RETURNING serial, deviceId, userId`,
      { reason, now, ...ownerParameters(owner) },
    );
  }

  /** Whether a leaf's overlap ended or a leaf expired since the last `settle`. */
  due(overlapSeconds: number, now: number): boolean {
    if (now < this.#settledAt) {
      this.#settledAt = now;
      this.#next = undefined;
    }
    if (this.#next?.overlapSeconds !== overlapSeconds) this.#next = undefined;
    this.#next ??= { overlapSeconds, at: this.#nextEnd(overlapSeconds, this.#settledAt) };
    return this.#next.at <= now;
  }

  /** Revokes as superseded what overlapped long enough; tells what expired since the last call. */
  settle(
    overlapSeconds: number,
    now: number,
  ): { superseded: RevokedCertificate[]; expired: RevokedCertificate[] } {
    const superseded = this.database.all(
      RevokedRow,
      `UPDATE certificate SET revokedAt = $now, reason = 'superseded'
       WHERE revokedAt IS NULL AND supersededAt <= $latest
       RETURNING serial, deviceId, userId`,
      { now, latest: now - overlapSeconds * 1000 },
    );
    const expired = this.database.all(
      RevokedRow,
      `SELECT serial, deviceId, userId FROM certificate
       WHERE revokedAt IS NULL AND notAfter > $since AND notAfter <= $now`,
      { now, since: this.#settledAt },
    );
    this.#settledAt = now;
    this.#next = undefined;
    this.#revision++;
    return { superseded, expired };
  }

  /** The first instant after `since` at which an overlap ends or a leaf expires. */
  #nextEnd(overlapSeconds: number, since: number): number {
    const row = this.database.get(
      z.object({ overlap: z.number().nullable(), expiry: z.number().nullable() }),
      `SELECT (SELECT min(supersededAt) FROM certificate
                WHERE supersededAt IS NOT NULL AND revokedAt IS NULL) AS overlap,
              (SELECT min(notAfter) FROM certificate
                WHERE notAfter > $since AND revokedAt IS NULL) AS expiry`,
      { since },
    );
    return Math.min(
      row?.overlap == null ? Infinity : row.overlap + overlapSeconds * 1000,
      row?.expiry ?? Infinity,
    );
  }

  /** After a revocation the newest live leaf has no successor any more: its overlap is off. */
  restoreNewest(deviceId: string, userId: string, now: number): void {
    this.database.run(
      `UPDATE certificate SET supersededAt = NULL WHERE rowid = (
         SELECT max(rowid) FROM certificate WHERE deviceId = $deviceId AND userId = $userId
         AND revokedAt IS NULL AND notAfter > $now)`,
      { deviceId, userId, now },
    );
  }

  /** Moves the renewal window of every live leaf. */
  moveWindows(window: { start: number; end: number }, now: number): number {
    return this.database.run(
      `UPDATE certificate SET renewalStart = $start, renewalEnd = $end
       WHERE revokedAt IS NULL AND notAfter > $now`,
      { ...window, now },
    );
  }

  /** Revoked leaves that a CRL still has to name: those that were unexpired at `since`. */
  revoked(since: number): { serial: string; revokedAt: number; reason: RevocationReason }[] {
    return this.database.all(
      z.object({ serial: z.string(), revokedAt: z.number(), reason: RevocationReason }),
      `SELECT serial, revokedAt, reason FROM certificate
       WHERE revokedAt IS NOT NULL AND notAfter > $since ORDER BY revokedAt, serial`,
      { since },
    );
  }

  /** The next CRL number (RFC 5280, 5.2.3); it only grows, over restarts too. */
  nextCrlNumber(): number {
    return this.database.get(
      z.object({ number: z.number() }),
      "UPDATE crl SET number = number + 1 RETURNING number",
    )?.number ?? 1;
  }
}

function ownerParameters(owner: Owner) {
  return { deviceId: owner.deviceId ?? null, userId: owner.userId ?? null };
}
