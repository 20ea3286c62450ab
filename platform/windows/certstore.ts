/**
 * certstore: Windows' certificate stores and the key provider beside them, as one trust store. Each
 * role has a store of its own; private keys are in containers whose names follow from the keys.
 */
import { createHash } from "node:crypto";
import { type Certificate, CLIENT_AUTH, parseCertificate } from "../../ca/certificate.ts";
import { der as encode, DerError, derOid, sameBytes, TAG } from "../../ca/der.ts";
import { Problem } from "../errors.ts";
import type {
  CertificateRole,
  KeyAlgorithm,
  StoreContents,
  StoredCertificate,
  TrustStore,
} from "../trust_store.ts";
import { type KeyProvider, keyProvider } from "./key_provider.ts";
import {
  type CertificateProperties,
  displayName,
  type StoreName,
  type SystemCertificate,
  SystemStore,
} from "./system_store.ts";
import { toStoreProblem } from "./windows_errors.ts";

/** Which store each role's certificates are in; a role without one cannot be installed. */
export type CertstoreStores = Readonly<Partial<Record<CertificateRole, StoreName>>>;

/**
 * What a user-agent opens. The root is the agent's to install and remove: an account without
 * administrator's rights sees whether it is there.
 */
export const USER_STORES: CertstoreStores = {
  root: { of: "machine", name: "Root" },
  intermediate: { of: "user", name: "CA" },
  leaf: { of: "user", name: "MY" },
};

/** What the agent opens. */
export const MACHINE_STORES: CertstoreStores = { root: { of: "machine", name: "Root" } };

/**
 * Opens the stores of the user that this process runs as; that user's profile has to be loaded.
 * `list` gives our keys alone: to look at another product's could ask the user for a PIN. Containers
 * that somebody who was killed left without a key are removed first.
 *
 * @throws Problem `internal` where the key storage does not work
 */
export function openCertstore(stores: CertstoreStores): TrustStore {
  const location = Object.values(stores).map(displayName).join(", ");
  try {
    return new Certstore(stores, location, keyProvider());
  } catch (error) {
    throw toStoreProblem(error, location);
  }
}

/**
 * The container of a key: its SHA-256 cut so that a name has 64 characters, which every provider
 * can make and delete.
 */
export function containerName(spkiSha256: string): string {
  return `${CONTAINER_PREFIX}${spkiSha256.slice(0, 64 - CONTAINER_PREFIX.length)}`;
}

const CONTAINER_PREFIX = "DeviceTrust-";
const CONTAINER_NAME = /^DeviceTrust-[0-9a-f]{52}$/;

/** DER ExtendedKeyUsage of a root that may vouch for clients and for nothing else. */
export const CLIENTS_ONLY = encode(TAG.sequence, derOid(CLIENT_AUTH));

class Certstore implements TrustStore {
  readonly kind = "certstore";
  readonly location: string;

  readonly #stores: CertstoreStores;
  readonly #keys: KeyProvider;
  #closed = false;

  constructor(stores: CertstoreStores, where: string, keys: KeyProvider) {
    this.#stores = stores;
    this.#keys = keys;
    this.location = `${where}; keys in ${keys.name}`;
    this.#removeUnfinished();
  }

  createKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Promise<Uint8Array> {
    return this.#do(() => {
      using key = this.#keys.generate(algorithm);
      const spkiSha256 = sha256(key.spki);
      record(key.spki, spkiSha256);
      key.store(containerName(spkiSha256));
      if (!this.#hasKey(spkiSha256)) {
        throw new Problem("internal", `The key ${spkiSha256} was stored and is not there.`);
      }
      return key.spki;
    });
  }

  sign(spkiSha256: string, message: Uint8Array): Promise<Uint8Array> {
    return this.#do(() => {
      const digest = createHash("sha256").update(message).digest();
      const signature = this.#hasKey(spkiSha256) &&
        this.#keys.sign(containerName(spkiSha256), new Uint8Array(digest));
      if (signature) return signature;
      throw new Problem(
        "internal",
        `There is no key ${spkiSha256} in ${this.#keys.name} to sign with.`,
      );
    });
  }

  install(role: CertificateRole, der: Uint8Array): Promise<void> {
    return this.#do(() => {
      const properties = this.#properties(role, parse(der));
      const name = this.#stores[role];
      if (!name) throw new Problem("internal", `No ${role} goes into ${this.location}.`);
      const isIt = (found: SystemCertificate) => sameBytes(found.der, der);
      const there = read(name).find(isIt);
      if (there && (!properties.keyLink || there.container === properties.keyLink.container)) {
        return;
      }
      {
        using store = new SystemStore(name);
        if (there) {
          // A leaf that cannot find its key is of no use, and cannot be told in place.
          store.remove(isIt);
          store.commit();
        }
        store.add(der, properties);
        store.commit();
      }
      if (isAsPut(read(name).find(isIt), properties)) return;
      throw new Problem(
        "internal",
        `The ${role} ${properties.friendlyName} was put into ${
          displayName(name)
        } and is not there.`,
      );
    });
  }

  list(): Promise<StoreContents> {
    return this.#do(() => {
      const keys = this.#ownKeys();
      const containers = new Set(keys.map(containerName));
      const found = Object.values(this.#stores).flatMap((name) => read(name));
      const certificates = found.map(({ der, container }): StoredCertificate => ({
        der,
        sha256: sha256(der),
        // Another product's key is believed to be there: to look could ask the user for a PIN.
        hasKey: container !== undefined && (containers.has(container) || !couldBeOurs(container)),
      }));
      const bySha256 = new Map(certificates.map((stored) => [stored.sha256, stored]));
      return { certificates: [...bySha256.values()], keys };
    });
  }

  removeCertificate(hash: string): Promise<void> {
    return this.#do(() => {
      const isIt = ({ der }: SystemCertificate) => sha256(der) === hash;
      for (const name of Object.values(this.#stores)) {
        if (!read(name).some(isIt)) continue;
        {
          using store = new SystemStore(name);
          store.remove(isIt);
          store.commit();
        }
        if (!read(name).some(isIt)) continue;
        throw new Problem(
          "internal",
          `The certificate ${hash} was removed from ${displayName(name)} and is still there.`,
        );
      }
    });
  }

  removeKey(spkiSha256: string): Promise<void> {
    return this.#do(() => {
      const container = containerName(spkiSha256);
      for (const name of Object.values(this.#stores)) {
        const user = read(name).find((found) => found.container === container);
        if (!user) continue;
        throw new Problem(
          "internal",
          `The key ${spkiSha256} is not removed: the certificate ${sha256(user.der)} in ` +
            `${displayName(name)} needs it. Remove the certificate first.`,
        );
      }
      this.#keys.remove(container);
      if (!this.#keys.containers().includes(container)) return;
      throw new Problem("internal", `The key ${spkiSha256} was removed and is still there.`);
    });
  }

  close(): void {
    this.#closed = true;
  }

  /** Runs one method: nothing is held from one to the next. */
  // deno-lint-ignore require-await -- the interface is asynchronous, Windows is not
  async #do<Result>(work: () => Result): Promise<Result> {
    if (this.#closed) throw new Problem("internal", `The store ${this.location} is closed.`);
    try {
      return work();
    } catch (error) {
      throw toStoreProblem(error, this.location);
    }
  }

  /** What goes with a certificate. A leaf's key has to be there. */
  #properties(role: CertificateRole, { spki, commonName }: Certificate): CertificateProperties {
    const friendlyName = commonName ?? role;
    if (role === "root") return { friendlyName, usage: CLIENTS_ONLY };
    if (role === "intermediate") return { friendlyName };
    const spkiSha256 = sha256(spki);
    if (!this.#hasKey(spkiSha256)) {
      throw new Problem(
        "internal",
        `The leaf ${friendlyName} is not installed: its key is not in ${this.#keys.name}.`,
      );
    }
    const { name, type, keySpec } = this.#keys;
    return { friendlyName, keyLink: { container: containerName(spkiSha256), name, type, keySpec } };
  }

  #hasKey(spkiSha256: string): boolean {
    const spki = this.#keys.publicKey(containerName(spkiSha256));
    return spki !== undefined && sha256(spki) === spkiSha256;
  }

  /** SHA-256 of our keys: those whose container's name follows from them. */
  #ownKeys(): string[] {
    return this.#keys.containers().filter(couldBeOurs).flatMap((container) => {
      const spki = this.#keys.publicKey(container);
      const hash = spki && sha256(spki);
      return hash && containerName(hash) === container ? [hash] : [];
    });
  }

  /**
   * Removes containers of ours that are empty. Nothing else tells of them: what killed their maker
   * came between the record of the key and the key, and the record goes when there is no key.
   */
  #removeUnfinished(): void {
    for (const container of this.#keys.containers().filter(couldBeOurs)) {
      if (this.#keys.isEmpty(container)) this.#keys.remove(container);
    }
  }
}

function isAsPut(
  found: SystemCertificate | undefined,
  { keyLink, usage }: CertificateProperties,
): boolean {
  return found !== undefined && found.container === keyLink?.container &&
    (!usage || (found.usage !== undefined && sameBytes(found.usage, usage)));
}

function couldBeOurs(container: string): boolean {
  return CONTAINER_NAME.test(container);
}

function read(name: StoreName): SystemCertificate[] {
  using store = new SystemStore(name);
  return store.certificates();
}

function parse(der: Uint8Array): Certificate {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new Problem("internal", `What was to be installed cannot be read: ${cause.message}.`, {
      cause,
    });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
