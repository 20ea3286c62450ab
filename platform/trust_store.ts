/**
 * The one interface behind which every platform keeps bundles: nssdb on Linux, keychain on macOS,
 * certstore on Windows, memory where a platform's store cannot be moved (`--root`).
 *
 * An adapter runs in a process that already has the user's rights, makes keys and never takes
 * them, finds things by fingerprint and never by name, and calls a change done only after reading
 * it back. Every method throws `Problem` (platform/errors.ts): `store-locked` (somebody holds the
 * store; retry), `store-password` (a person must act), `disk-full`, or `internal`; a method that
 * throws has either changed nothing or may be repeated to finish what it began.
 */

/** Kinds of key that a store can make. */
export type KeyAlgorithm = "P-256" | "RSA-2048";

/** Which adapter a store is. */
export type StoreKind = "nssdb" | "keychain" | "certstore" | "memory";

/** A certificate's part in a bundle. */
export type CertificateRole = "root" | "intermediate" | "leaf";

/** A certificate as the store holds it. */
export interface StoredCertificate {
  /** DER. */
  der: Uint8Array;
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
  /** Whether the store holds the private key that belongs to it. */
  hasKey: boolean;
  /**
   * False when the store is several databases (browsers in sandboxes have their own) and one of
   * them lacks the certificate, or the key that another holds: `install` with this DER puts both
   * there, without a new request.
   */
  complete?: boolean;
}

/** What a store holds: ours and everybody else's, so that the caller can tell them apart. */
export interface StoreContents {
  certificates: StoredCertificate[];
  /** SHA-256 (lower-case hexadecimal) of the DER SubjectPublicKeyInfo of every private key. */
  keys: string[];
}

/** One user's certificate store. Not safe for concurrent calls on one instance. */
export interface TrustStore {
  readonly kind: StoreKind;
  /** Where it is, for people: a path, or a store's name. */
  readonly location: string;

  /**
   * Makes a key pair inside the store that no call of this interface can export.
   *
   * `record` is called with the public key (DER SubjectPublicKeyInfo) and its SHA-256 (lower-case
   * hexadecimal, the key's name everywhere here) after the pair exists in memory and before
   * anything is stored, so that the ledger knows of every key that could ever be found in the
   * store; when it throws, nothing is stored. After a crash the store holds the whole key or
   * nothing of it. Each call makes another key.
   *
   * @returns the public key, DER SubjectPublicKeyInfo.
   */
  createKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Promise<Uint8Array>;

  /**
   * Signs `message` (the message, not its digest) with SHA-256 inside the store: ECDSA gives r and
   * s concatenated (64 bytes), RSA gives PKCS#1 v1.5. Throws `internal` when there is no such key.
   *
   * @param spkiSha256 as in {@link StoreContents.keys}
   */
  sign(spkiSha256: string, message: Uint8Array): Promise<Uint8Array>;

  /**
   * Adds a certificate without giving it any trust beyond what its role needs. Already there is
   * success. A leaf without its key in the store is refused with `internal`. Another certificate
   * of the same name is neither touched nor in the way.
   */
  install(role: CertificateRole, der: Uint8Array): Promise<void>;

  /** Everything in the store, read afresh. */
  list(): Promise<StoreContents>;

  /**
   * Paths of the applications that a key is let be used by when it is made now; absent where a
   * store has no such lists.
   */
  applications?(): Promise<readonly string[]>;

  /** Removes exactly this certificate; absent is success. Its key stays. */
  removeCertificate(sha256: string): Promise<void>;

  /** Removes exactly this private key and its public twin; absent is success. */
  removeKey(spkiSha256: string): Promise<void>;

  /** Ends the use of the store and frees what is held. Further calls are errors. */
  close(): void;
}

/** Something that an adapter makes besides keys and certificates, in the order it is made. */
export interface CreatedPath {
  /** Absolute; a database's is its main file's. No two things have the same. */
  path: string;
  kind: "directory" | "database";
}

/** How to open a user's store. */
export interface OpenTrustStore {
  /** The user's home folder, absolute. */
  home: string;
  /** The user's `XDG_DATA_HOME` where set. */
  xdgDataHome?: string;
  /** Called before a folder or database is created; when it throws, it is not created. */
  recordPath: (created: CreatedPath) => void;
}
