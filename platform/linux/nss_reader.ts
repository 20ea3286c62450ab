/** An NSS database, opened to look at and never to change. */
import { createHash } from "node:crypto";
import { Problem } from "../errors.ts";
import type { InspectedCertificate } from "../findings.ts";
import { NssError, NssMissing } from "./nss_errors.ts";
import { DATABASE_FILES } from "./nss_folders.ts";
import { type DatabaseEntry, NssReader } from "./nss_read_ffi.ts";
import type { Handle } from "./nss_memory.ts";

export type { DatabaseEntry } from "./nss_read_ffi.ts";

/** How long to wait before a database that somebody holds is tried again, milliseconds. */
const RETRY_MS = 200;

/**
 * Opens the database in a folder, without its modules, changing nothing, and waits for a lock until
 * the time is over. One database at a time in a process. Calls block.
 *
 * @throws Problem `store-locked`, `store-password`, `internal` (no database there, no libnss3)
 */
export function openReadOnly(directory: string, timeoutMs: number): ReadOnlyDatabase {
  const nss = load();
  for (const deadline = performance.now() + timeoutMs;;) {
    try {
      return unlocked(new ReadOnlyDatabase(directory, nss, nss.openReadOnly(directory)));
    } catch (error) {
      if (!(error instanceof NssError)) throw error;
      // NSS gives one reason for a database that is not there, is held, or is damaged.
      const isThere = DATABASE_FILES.every((name) => isFile(`${directory}/${name}`));
      if (isThere && performance.now() + RETRY_MS < deadline) pause(RETRY_MS);
      else throw unopened(directory, isThere, error);
    }
  }
}

/** An open database. Disposing of it gives back everything that came from it. */
export class ReadOnlyDatabase implements Disposable {
  readonly #nss: NssReader;
  readonly #context: Handle;
  readonly #handles: Handle[] = [];

  constructor(readonly path: string, nss: NssReader, context: Handle) {
    this.#nss = nss;
    this.#context = context;
  }

  /** Whether a password that we do not have guards the keys. */
  get locked(): boolean {
    return this.#nss.isLocked();
  }

  /** Every certificate. */
  certificates(): InspectedCertificate[] {
    return this.#keep(this.#nss.certificates()).map(({ der, handle }) => ({
      der,
      sha256: createHash("sha256").update(der).digest("hex"),
      hasKey: this.#nss.hasPrivateKey(handle),
      trusted: this.#nss.isTrusted(handle),
    }));
  }

  /** Where Chromium begins: certificates with a key, for TLS clients by their usages. */
  clientCertificates(): DatabaseEntry[] {
    return this.#keep(this.#nss.clientCertificates());
  }

  /** DER of the authorities that this database trusts to issue certificates of TLS servers. */
  serverAuthorities(): Uint8Array[] {
    return this.#keep(this.#nss.certificates())
      .filter(({ handle }) => this.#nss.mayIssueServers(handle)).map(({ der }) => der);
  }

  /** The certificate of that subject (DER) that NSS prefers. */
  findByName(subject: Uint8Array): DatabaseEntry | undefined {
    const entry = this.#nss.findByName(subject);
    return entry && this.#keep([entry])[0];
  }

  /** The issuer's common name; "" where it has none. */
  issuerCommonName({ handle }: DatabaseEntry): string {
    return this.#nss.issuerCommonName(handle);
  }

  /** First and last instant of its validity, milliseconds since 1970. */
  validity({ handle }: DatabaseEntry): { notBefore: number; notAfter: number } {
    return this.#nss.validity(handle);
  }

  /** A DER name for people. */
  nameText(name: Uint8Array): string {
    return this.#nss.nameText(name);
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.splice(0)) this.#nss.destroyCertificate(handle);
    this.#nss.close(this.#context);
  }

  #keep(entries: DatabaseEntry[]): DatabaseEntry[] {
    this.#handles.push(...entries.map(({ handle }) => handle));
    return entries;
  }
}

function unlocked(database: ReadOnlyDatabase): ReadOnlyDatabase {
  if (!database.locked) return database;
  database[Symbol.dispose]();
  throw new Problem(
    "store-password",
    `${database.path} is protected by a password, which browsers would ask for.`,
  );
}

function load(): NssReader {
  try {
    return NssReader.load();
  } catch (cause) {
    if (!(cause instanceof NssMissing)) throw cause;
    throw new Problem("internal", LIBRARY_MISSING, { cause });
  }
}

const LIBRARY_MISSING =
  "The library libnss3, which browsers keep certificates with, is missing. Install it: " +
  "apt-get install libnss3 (Debian, Ubuntu), dnf install nss (Fedora), pacman -S nss (Arch).";

function unopened(directory: string, isThere: boolean, cause: NssError): Problem {
  return isThere
    ? new Problem(
      "store-locked",
      `Cannot read ${directory}: another program holds it, or it is damaged (${cause.message}).`,
      { cause },
    )
    : new Problem(
      "internal",
      `There is no certificate database that can be read in ${directory} (${cause.message}).`,
      { cause },
    );
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    // What cannot be looked at cannot be opened.
    return false;
  }
}

/** Blocks this thread, as every call into NSS does. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
