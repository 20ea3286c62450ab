/** Everything the mock server remembers, by table; times are milliseconds since 1970. */
import { z } from "zod";
import { LeafKeyAlgorithm, SelectionPattern } from "../agent/contract.ts";
import { Certificates } from "./certificates.ts";
import { Events } from "./events.ts";
import { FleetFigures } from "./fleet_figures.ts";
import { Bindings, Devices, Reports, Users } from "./fleet.ts";
import { type Page, type Paged, paged } from "./paging.ts";
import { Decision } from "./policy.ts";
import { Database, json } from "./schema.ts";

/** What an administrator can set; the brand is the CA's and therefore not here. */
export const Settings = z.object({
  globalCertificateDistribution: z.boolean(),
  selectionPatterns: z.array(SelectionPattern).max(100),
  keyAlgorithm: LeafKeyAlgorithm,
  overlapSeconds: z.number().int().min(0).max(365 * 86400),
  macosApplications: z.array(z.string().min(1).max(1024)).max(100),
  defaultDecision: Decision,
});
export type Settings = z.infer<typeof Settings>;

/** A connect key without itself: only its hash is kept, and that does not leave the store. */
export interface ConnectKey {
  connectKeyId: string;
  createdAt: number;
  expiresAt: number | null;
  maxUses: number | null;
  uses: number;
}

/** The open store. Its tables are independent; `transaction` joins what belongs together. */
export interface Store {
  settings: SettingsTable;
  connectKeys: ConnectKeys;
  users: Users;
  devices: Devices;
  bindings: Bindings;
  certificates: Certificates;
  reports: Reports;
  figures: FleetFigures;
  policies: Policies;
  events: Events;
  nonces: Nonces;
  /** All writes of `work` count or none; may be nested. */
  transaction<T>(work: () => T): T;
  close(): void;
}

/** Opens or creates the store at `path`; `defaults` stand for what no administrator has set. */
export function openStore(path: string, defaults: Settings): Store {
  const database = new Database(path);
  return {
    settings: new SettingsTable(database, defaults),
    connectKeys: new ConnectKeys(database),
    users: new Users(database),
    devices: new Devices(database),
    bindings: new Bindings(database),
    certificates: new Certificates(database),
    reports: new Reports(database),
    figures: new FleetFigures(database),
    policies: new Policies(database),
    events: new Events(database),
    nonces: new Nonces(database),
    transaction: (work) => database.transaction(work),
    close: () => database.close(),
  };
}

/** The organisation's settings: the defaults, and over them what an administrator has set. */
export class SettingsTable {
  #current: Settings;
  #changedAt: number | null;

  constructor(private readonly database: Database, defaults: Settings) {
    const row = database.get(
      z.object({ value: json(Settings.partial()), distributionChangedAt: z.number().nullable() }),
      "SELECT value, distributionChangedAt FROM setting",
    );
    this.#current = { ...defaults, ...row?.value };
    this.#changedAt = row?.distributionChangedAt ?? null;
  }

  /** The settings in force. */
  get current(): Settings {
    return this.#current;
  }

  /** When distribution was last turned ON or OFF; null before the first time. */
  get distributionChangedAt(): number | null {
    return this.#changedAt;
  }

  /**
   * Sets what `change` holds and keeps the rest. Rows only: `changeSettings` in fleet_changes.ts is what
   * also revokes, records and wakes.
   */
  update(change: Partial<Settings>, now: number): void {
    const current = { ...this.#current, ...change };
    const switched = current.globalCertificateDistribution !==
      this.#current.globalCertificateDistribution;
    const changedAt = switched ? now : this.#changedAt;
    this.database.run(
      "UPDATE setting SET value = json_patch(value, $change), distributionChangedAt = $changedAt",
      { change: JSON.stringify(change), changedAt },
    );
    this.#current = current;
    this.#changedAt = changedAt;
  }
}

const ConnectKeyRow = z.object({
  seq: z.number(),
  connectKeyId: z.string(),
  createdAt: z.number(),
  expiresAt: z.number().nullable(),
  maxUses: z.number().nullable(),
  uses: z.number(),
});
const CONNECT_KEY = "rowid AS seq, connectKeyId, createdAt, expiresAt, maxUses, uses";

/** Connect keys, hashed. */
export class ConnectKeys {
  constructor(private readonly database: Database) {}

  /** Adds a key by the SHA-256 of its UTF-8 bytes. */
  add(key: Omit<ConnectKey, "uses"> & { hash: string }): void {
    this.database.run(
      `INSERT INTO connect_key (connectKeyId, hash, createdAt, expiresAt, maxUses)
       VALUES ($connectKeyId, $hash, $createdAt, $expiresAt, $maxUses)`,
      { ...key },
    );
  }

  /** Hashes of all keys that are not revoked, for a comparison in constant time. */
  hashes(): { connectKeyId: string; hash: string }[] {
    return this.database.all(
      z.object({ connectKeyId: z.string(), hash: z.string() }),
      "SELECT connectKeyId, hash FROM connect_key WHERE revokedAt IS NULL",
    );
  }

  /** What is known of the key with this hash. */
  standing(hash: string): "good" | "revoked" | "unknown" {
    const row = this.database.get(
      z.object({ revokedAt: z.number().nullable() }),
      "SELECT revokedAt FROM connect_key WHERE hash = $hash",
      { hash },
    );
    if (!row) return "unknown";
    return row.revokedAt === null ? "good" : "revoked";
  }

  /** A key that is not revoked; it may be expired or used up. */
  get(connectKeyId: string): ConnectKey | undefined {
    return this.database.get(
      ConnectKeyRow.omit({ seq: true }),
      `SELECT ${CONNECT_KEY} FROM connect_key WHERE connectKeyId = $connectKeyId
       AND revokedAt IS NULL`,
      { connectKeyId },
    );
  }

  /** Counts one more device that this key enrolled. */
  use(connectKeyId: string): void {
    this.database.run("UPDATE connect_key SET uses = uses + 1 WHERE connectKeyId = $connectKeyId", {
      connectKeyId,
    });
  }

  /** Keys that are not revoked, oldest first. */
  list(page: Page): Paged<ConnectKey> {
    return paged(
      this.database.all(
        ConnectKeyRow,
        `SELECT ${CONNECT_KEY} FROM connect_key WHERE revokedAt IS NULL AND rowid > $after
         ORDER BY rowid LIMIT $limit`,
        { after: page.after ?? 0, limit: page.limit + 1 },
      ),
      page,
    );
  }

  /** Revokes a key; false when there is none. */
  revoke(connectKeyId: string, now: number): boolean {
    return this.database.run(
      `UPDATE connect_key SET revokedAt = $now
       WHERE connectKeyId = $connectKeyId AND revokedAt IS NULL`,
      { connectKeyId, now },
    ) === 1;
  }
}

const PolicyRow = z.object({
  seq: z.number(),
  policyId: z.string(),
  value: json(z.record(z.string(), z.unknown())),
});

/** Access policies as JSON; their shape is policy.ts's business. */
export class Policies {
  constructor(private readonly database: Database) {}

  /** One policy's JSON. */
  get(policyId: string): Record<string, unknown> | undefined {
    return this.database.get(
      PolicyRow,
      "SELECT rowid AS seq, policyId, value FROM policy WHERE policyId = $policyId",
      { policyId },
    )?.value;
  }

  /** Adds a policy, or replaces the one of that id. */
  put(policyId: string, value: Record<string, unknown>, now: number): void {
    this.database.run(
      `INSERT INTO policy (policyId, value, createdAt) VALUES ($policyId, $value, $now)
       ON CONFLICT (policyId) DO UPDATE SET value = $value`,
      { policyId, value: JSON.stringify(value), now },
    );
  }

  /** Removes a policy; false when there is none. */
  delete(policyId: string): boolean {
    return this.database.run("DELETE FROM policy WHERE policyId = $policyId", { policyId }) === 1;
  }

  /** Policies, oldest first. */
  list(page: Page): Paged<{ policyId: string; value: Record<string, unknown> }> {
    return paged(this.#rows(page.after ?? 0, page.limit + 1), page);
  }

  /** Every policy. */
  all(): { policyId: string; value: Record<string, unknown> }[] {
    return this.#rows(0, -1).map(({ policyId, value }) => ({ policyId, value }));
  }

  #rows(after: number, limit: number) {
    return this.database.all(
      PolicyRow,
      "SELECT rowid AS seq, policyId, value FROM policy WHERE rowid > $after ORDER BY rowid LIMIT $limit",
      { after, limit },
    );
  }
}

/** Nonces that were seen in verified signatures, kept until their signature is too old anyway. */
export class Nonces {
  #purgedAt = 0;

  constructor(private readonly database: Database) {}

  /** Remembers a nonce until `expiresAt`; false when that key has used it before. */
  remember(keyid: string, nonce: string, expiresAt: number, now: number): boolean {
    if (now - this.#purgedAt > 60_000) {
      this.database.run("DELETE FROM nonce WHERE expiresAt < $now", { now });
      this.#purgedAt = now;
    }
    return this.database.run(
      `INSERT INTO nonce (keyid, nonce, expiresAt) VALUES ($keyid, $nonce, $expiresAt)
       ON CONFLICT DO NOTHING`,
      { keyid, nonce, expiresAt },
    ) === 1;
  }
}
