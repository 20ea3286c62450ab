// deno-lint-ignore-file require-await -- the interface is asynchronous, NSS is not
/**
 * nssdb: the NSS databases that a user's browsers open, as one trust store. The user's own comes
 * first and holds every key; each certificate, and with a leaf its key, is put into all of them.
 */
import { type Certificate, parseCertificate } from "../../ca/certificate.ts";
import { DerError } from "../../ca/der.ts";
import { Problem, toProblem } from "../errors.ts";
import type {
  CertificateRole,
  KeyAlgorithm,
  OpenTrustStore,
  StoreContents,
  StoredCertificate,
  TrustStore,
} from "../trust_store.ts";
import { NssDatabase } from "./nss_database.ts";
import { type FolderProbe, nssDirectories, type NssDirectory } from "./nss_directories.ts";
import { type Handle, Nss, NssError, NssMissing } from "./nss_ffi.ts";
import { CERTIFICATE_FILE, checkFolders, databaseExists, makeFolders } from "./nss_folders.ts";

export { removeCreatedPaths } from "./nss_cleanup.ts";

/** How to open the user's NSS databases. */
export interface OpenNssdb extends OpenTrustStore {
  /**
   * Whether the store is wanted (default). Then missing databases are made at the first write, and
   * a snap's or flatpak's database that cannot be opened is left out and named in `uncovered`.
   * When it is not, as for a removal, nothing is made and every database has to open.
   */
  create?: boolean;
  /** Whose the folders must be; this process's user by default. */
  uid?: number;
  /** How long, in milliseconds, to try a database that another program holds; 60 s by default. */
  lockTimeout?: number;
  /** Milliseconds from any start; for tests. */
  now?: () => number;
  /** Blocks for some milliseconds; for tests. */
  pause?: (milliseconds: number) => void;
}

/** A database that the store does not reach, and why. */
export interface UncoveredDatabase {
  path: string;
  usedBy: string;
  problem: Problem;
}

/** The NSS databases of one user. */
export interface NssdbStore extends TrustStore {
  readonly kind: "nssdb";
  /** Databases of snaps and flatpaks that were left out, for `doctor`. */
  readonly uncovered: readonly UncoveredDatabase[];
}

/**
 * Opens the databases that are there. Calls block, while a lock is waited for too, so this belongs
 * in the user's own short-lived process.
 *
 * @throws Problem `store-locked`, `store-password`, `disk-full`, or `internal` (libnss3 missing, a
 * folder that is a link or somebody else's, a damaged database); nothing has been changed then
 */
export function openNssdb(options: OpenNssdb): NssdbStore {
  const store = new Nssdb(options);
  try {
    store.openExisting();
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}

/** The real file system, for {@link nssDirectories}. */
export const fileSystemProbe: FolderProbe = {
  isDirectory(path) {
    try {
      return Deno.statSync(path).isDirectory;
    } catch {
      // What cannot be seen cannot be opened by the browser either.
      return false;
    }
  },
  entries(path) {
    try {
      return [...Deno.readDirSync(path)].map((entry) => entry.name);
    } catch {
      return [];
    }
  },
};

class Nssdb implements NssdbStore {
  readonly kind = "nssdb";
  readonly location: string;
  readonly uncovered: UncoveredDatabase[] = [];

  readonly #options: OpenNssdb;
  readonly #directories: [NssDirectory, ...NssDirectory[]];
  readonly #open = new Map<NssDirectory, NssDatabase>();
  #nss: { library: Nss; context: Handle } | undefined;
  #closed = false;

  constructor(options: OpenNssdb) {
    this.#options = options;
    this.#directories = nssDirectories(options.home, options.xdgDataHome, fileSystemProbe);
    this.location = this.#directories[0].path;
  }

  openExisting(): void {
    this.#openAll(databaseExists);
  }

  async createKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Promise<Uint8Array> {
    return this.#prepare().createKey(algorithm, record);
  }

  async sign(spkiSha256: string, message: Uint8Array): Promise<Uint8Array> {
    for (const database of this.#databases()) {
      const signature = database.sign(spkiSha256, message);
      if (signature) return signature;
    }
    throw new Problem(
      "internal",
      `There is no key ${spkiSha256} in ${this.location} to sign with.`,
    );
  }

  async install(role: CertificateRole, der: Uint8Array): Promise<void> {
    const { spki, commonName } = parse(der);
    const own = this.#prepare();
    const nickname = commonName ?? role;
    const targets = this.#databases((directory) => directory.inUse);
    if (role === "leaf") {
      const spkiSha256 = own.sha256(spki);
      const source = this.#databases().find((database) => database.keys().includes(spkiSha256));
      if (!source) {
        throw new Problem(
          "internal",
          `The leaf ${nickname} is not installed: its key is not in ${this.location}.`,
        );
      }
      for (const database of targets) {
        if (database !== source) database.copyKeyFrom(source, spkiSha256);
      }
    }
    for (const database of targets) database.addCertificate(der, nickname);
  }

  async list(): Promise<StoreContents> {
    const all = this.#databases().map(read);
    const used = this.#databases((directory) => directory.inUse).map(read);
    const union = new Map(all.flatMap(({ certificates }) => [...certificates]));
    const keys = new Set(all.flatMap((contents) => [...contents.keys]));
    const wanted = this.#covered().filter(({ inUse }) => inUse).length;
    const certificates: StoredCertificate[] = [...union.values()].map((found) => {
      const { der, sha256, spkiSha256 } = found;
      const hasKey = spkiSha256 !== undefined && keys.has(spkiSha256);
      const holders = used.filter((contents) =>
        contents.certificates.has(sha256) && (!hasKey || contents.keys.has(spkiSha256))
      );
      return { der, sha256, hasKey, complete: holders.length === wanted };
    });
    return { certificates, keys: [...keys] };
  }

  async removeCertificate(sha256: string): Promise<void> {
    for (const database of this.#databases()) database.removeCertificate(sha256);
  }

  async removeKey(spkiSha256: string): Promise<void> {
    const databases = this.#databases();
    for (const database of databases) {
      const user = database.certificates().find((found) => found.spkiSha256 === spkiSha256);
      if (!user) continue;
      throw new Problem(
        "internal",
        `The key ${spkiSha256} is not removed: the certificate ${user.sha256} in ${database.path} ` +
          "needs it. Remove the certificate first.",
      );
    }
    for (const database of databases) database.removeKey(spkiSha256);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const database of this.#open.values()) database.close();
    this.#open.clear();
    this.#nss?.library.shutdownContext(this.#nss.context);
    this.#nss = undefined;
  }

  /** The open databases, the user's own first when it exists. */
  #databases(filter: (directory: NssDirectory) => boolean = () => true): NssDatabase[] {
    if (this.#closed) throw new Problem("internal", `The store ${this.location} is closed.`);
    return this.#directories.filter(filter)
      .flatMap((directory) => this.#open.get(directory) ?? []);
  }

  /** Makes and opens what is missing; returns the user's own database. */
  #prepare(): NssDatabase {
    if (this.#closed) throw new Problem("internal", `The store ${this.location} is closed.`);
    if (this.#options.create !== false) this.#openAll(({ inUse }) => inUse);
    const database = this.#open.get(this.#directories[0]);
    if (database) return database;
    throw new Problem("internal", `${this.location} is not made: the store was opened to remove.`);
  }

  #covered(): NssDirectory[] {
    return this.#directories.filter(({ path }) =>
      !this.uncovered.some((uncovered) => uncovered.path === path)
    );
  }

  #openAll(isWanted: (directory: NssDirectory) => boolean): void {
    for (const directory of this.#covered()) {
      if (this.#open.has(directory)) continue;
      try {
        checkFolders(directory, this.#options.uid ?? Deno.uid());
        if (isWanted(directory)) this.#open.set(directory, this.#openOne(directory));
      } catch (error) {
        if (directory === this.#directories[0] || this.#options.create === false) throw error;
        const { path, usedBy } = directory;
        this.uncovered.push({ path, usedBy, problem: toProblem(error) });
      }
    }
  }

  #openOne(directory: NssDirectory): NssDatabase {
    const now = this.#options.now ?? (() => performance.now());
    const nss = this.#library();
    if (!databaseExists(directory)) {
      makeFolders(directory, this.#options.recordPath);
      this.#options.recordPath({ path: `${directory.path}/${CERTIFICATE_FILE}`, kind: "database" });
    }
    return NssDatabase.open(nss, directory.path, {
      deadline: now() + (this.#options.lockTimeout ?? 60_000),
      now,
      pause: this.#options.pause ?? pause,
    });
  }

  #library(): Nss {
    try {
      if (!this.#nss) {
        const library = Nss.load();
        this.#nss = { library, context: library.initContext() };
      }
      return this.#nss.library;
    } catch (cause) {
      if (cause instanceof NssError) throw new Problem("internal", cause.message, { cause });
      if (!(cause instanceof NssMissing)) throw cause;
      throw new Problem(
        "internal",
        "The library libnss3, which browsers keep certificates with, is missing. Install it: " +
          "apt-get install libnss3 (Debian, Ubuntu), dnf install nss (Fedora), " +
          "pacman -S nss (Arch).",
        { cause },
      );
    }
  }
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

/** What a database holds, by SHA-256. */
function read(database: NssDatabase) {
  return {
    certificates: new Map(database.certificates().map((found) => [found.sha256, found])),
    keys: new Set(database.keys()),
  };
}

/** Blocks this thread, as every call into NSS does. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
