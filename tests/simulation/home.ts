/** A local account's home: what the user-agent keeps there, what else is there, and its troubles. */
import { createHash, sign } from "node:crypto";
import { Ledger } from "../../agent/ledger.ts";
import type { LedgerPlace } from "../../agent/ledger_file.ts";
import { parseCertificate } from "../../ca/certificate.ts";
import type { Account } from "../../platform/accounts.ts";
import { Problem } from "../../platform/errors.ts";
import type { CertificateRole, TrustStore } from "../../platform/trust_store.ts";
import type { Keys, PooledKey } from "./keys.ts";
import type { Random } from "./random.ts";

/** What can be wrong with a home for a while. */
export const HOME_TROUBLES = [
  "store-locked",
  "store-full",
  "ledger-full",
  "home-missing",
  "account-missing",
] as const;
export type HomeTrouble = typeof HOME_TROUBLES[number];

/** A certificate in the store. */
export interface HeldCertificate {
  der: Uint8Array;
  spkiSha256: string;
  serial: string;
  /** Put there by our code. */
  ours: boolean;
}

/** A key in the store. */
export interface HeldKey extends PooledKey {
  ours: boolean;
}

/** Hears of every change that our code makes to a home; throws when it is wrong. */
export interface HomeWatch {
  removing(home: Home, certificate: HeldCertificate): void;
  removingKey(home: Home, ours: boolean): void;
  changed(home: Home): void;
}

/** One home on one device. */
export class Home {
  readonly keys = new Map<string, HeldKey>();
  /** By the SHA-256 of the DER. */
  readonly certificates = new Map<string, HeldCertificate>();
  ledger: Ledger | undefined;
  trouble: HomeTrouble | undefined;
  /** When something last happened to it that our code has to react to. */
  disturbedAt = -Infinity;
  /** When nothing was wanted of it, or something of another user, the last time that was seen. */
  unwantedAt = -Infinity;
  owner: string | undefined;
  /** Hashes of certificates that somebody deleted by hand, and of keys that went, or theirs. */
  readonly destroyed = new Set<string>();
  /** When leaves for it were issued in the last day. */
  issuedAt: number[] = [];

  constructor(readonly account: Account, private readonly pool: Keys, readonly watch: HomeWatch) {}

  get name(): string {
    return this.account.name;
  }

  /** Puts something into the store that is not ours; returns its SHA-256. */
  plant(der: Uint8Array): string {
    const hash = sha256(der);
    if (!this.certificates.has(hash)) this.certificates.set(hash, { ...read(der), ours: false });
    return hash;
  }

  /** Somebody deletes one of our leaves, or a key of ours, by hand; false when there is none. */
  destroy(what: "leaf" | "key", random: Random): boolean {
    const held: [string, HeldCertificate | HeldKey][] = what === "leaf"
      ? [...this.certificates]
      : [...this.keys];
    const ours = held.filter(([, { ours }]) => ours);
    if (ours.length === 0) return false;
    const [hash, { spkiSha256 }] = random.pick(ours);
    this.certificates.delete(hash);
    this.keys.delete(hash);
    this.destroyed.add(hash).add(spkiSha256);
    return true;
  }

  /** Somebody deletes the whole store. */
  wipe(): void {
    for (const hash of [...this.keys.keys(), ...this.certificates.keys()]) this.destroyed.add(hash);
    this.keys.clear();
    this.certificates.clear();
  }

  /** The whole home is deleted. */
  vanish(): void {
    this.wipe();
    this.ledger?.close();
    this.ledger = undefined;
  }

  /** The ledger as a user-agent finds it. */
  ledgerPlace(now: () => number): LedgerPlace {
    return {
      exists: () => Promise.resolve(this.ledger !== undefined),
      open: () => {
        if (this.trouble === "ledger-full") throw new Error("database or disk is full");
        return Promise.resolve(closeLater(this.ledger ??= new Ledger(":memory:", now)));
      },
      remove: () => {
        this.ledger?.close();
        this.ledger = undefined;
        return Promise.resolve();
      },
    };
  }

  /** The store as a user-agent finds it. */
  openStore(): TrustStore {
    const { keys, certificates, watch } = this;
    return {
      kind: "memory",
      location: `the store of ${this.name}`,
      createKey: (algorithm, record) => {
        const key = this.pool.next(algorithm);
        record(key.spki, key.spkiSha256);
        this.#refuse("change");
        keys.set(key.spkiSha256, { ...key, ours: true });
        watch.changed(this);
        return Promise.resolve(key.spki);
      },
      sign: (spkiSha256, message) => {
        this.#refuse("read");
        const key = keys.get(spkiSha256)?.key;
        if (!key) throw new Problem("internal", "There is no such key.");
        return Promise.resolve(
          new Uint8Array(sign("sha256", message, { key, dsaEncoding: "ieee-p1363" })),
        );
      },
      install: (role, der) => {
        this.#refuse("change");
        this.#install(role, der);
        watch.changed(this);
        return Promise.resolve();
      },
      list: () => {
        this.#refuse("read");
        return Promise.resolve({
          certificates: [...certificates].map(([sha256, { der, spkiSha256 }]) => ({
            der,
            sha256,
            hasKey: keys.has(spkiSha256),
          })),
          keys: [...keys.keys()],
        });
      },
      removeCertificate: (hash) => {
        this.#refuse("change");
        const certificate = certificates.get(hash);
        if (certificate) watch.removing(this, certificate);
        certificates.delete(hash);
        watch.changed(this);
        return Promise.resolve();
      },
      removeKey: (spkiSha256) => {
        this.#refuse("change");
        if ([...certificates.values()].some((held) => held.spkiSha256 === spkiSha256)) {
          throw new Problem("internal", "A certificate needs this key.");
        }
        const key = keys.get(spkiSha256);
        if (key) watch.removingKey(this, key.ours);
        keys.delete(spkiSha256);
        watch.changed(this);
        return Promise.resolve();
      },
      close: () => {},
    };
  }

  #install(role: CertificateRole, der: Uint8Array): void {
    const hash = sha256(der);
    if (this.certificates.has(hash)) return;
    const certificate = { ...read(der), ours: true };
    if (role === "leaf" && !this.keys.has(certificate.spkiSha256)) {
      throw new Problem("internal", "The leaf's key is not in the store.");
    }
    this.certificates.set(hash, certificate);
  }

  #refuse(act: "read" | "change"): void {
    if (this.trouble === "store-locked") throw new Problem("store-locked", "It is locked.");
    if (this.trouble === "store-full" && act === "change") {
      throw new Problem("disk-full", "The quota is used up.");
    }
  }
}

/** SHA-256, lower-case hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function read(der: Uint8Array): Omit<HeldCertificate, "ours"> {
  const { spki, serial } = parseCertificate(der);
  return { der: der.slice(), spkiSha256: sha256(spki), serial };
}

/** A database in memory ends with its connection, so a user-agent's is left open. */
function closeLater(ledger: Ledger): Ledger {
  return new Proxy(ledger, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === "close") return () => {};
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
