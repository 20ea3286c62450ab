/**
 * One open NSS database in this project's words: everything by SHA-256, every change read back,
 * every failure a Problem.
 */
import { parseCertificate } from "../../ca/certificate.ts";
import { DerError } from "../../ca/der.ts";
import { Problem } from "../errors.ts";
import type { KeyAlgorithm } from "../trust_store.ts";
import { type Handle, type Nss, NssError } from "./nss_ffi.ts";
import { publicHalf, publicValue } from "./nss_public_half.ts";
import {
  PR_CALL_ONCE_ERROR,
  SEC_ERROR_ADDING_CERT,
  SEC_ERROR_REUSED_ISSUER_AND_SERIAL,
} from "./nss_symbols.ts";
import { explainNss, obstacle } from "./nss_trouble.ts";

/** How long to try a database that somebody holds. */
export interface LockPatience {
  /** In the time of `now`, milliseconds. */
  deadline: number;
  now: () => number;
  /** Blocks; milliseconds. */
  pause: (milliseconds: number) => void;
}

/** A certificate in a database. Hashes are lower-case hexadecimal. */
export interface DatabaseCertificate {
  der: Uint8Array;
  sha256: string;
  /** Undefined for a certificate that cannot be read; ours can. */
  spkiSha256: string | undefined;
}

/** An open database. {@link NssDatabase.close} gives it back. */
export class NssDatabase {
  readonly #nss: Nss;
  readonly #slot: Handle;
  readonly path: string;
  /** SPKI hashes by certificate: what is in a certificate never changes. */
  readonly #certifiedKeys = new Map<string, string>();

  private constructor(nss: Nss, slot: Handle, path: string) {
    this.#nss = nss;
    this.#slot = slot;
    this.path = path;
  }

  /**
   * Opens the database in an existing folder, makes its files when they are missing, and gives a
   * new one the empty password as browsers do.
   *
   * @throws Problem `store-locked` after the deadline, `store-password`, `disk-full`, `internal`
   */
  static open(nss: Nss, path: string, patience: LockPatience): NssDatabase {
    const database = new NssDatabase(nss, openSlot(nss, path, patience), path);
    try {
      database.#unlock();
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** SPKI SHA-256 of every private key whose public half can be told. */
  keys(): string[] {
    return this.#do("Cannot list the keys", () => {
      const hashes: string[] = [];
      this.#eachKey((_key, spkiSha256) => void hashes.push(spkiSha256));
      return hashes;
    });
  }

  certificates(): DatabaseCertificate[] {
    const all = this.#do("Cannot list the certificates", () => this.#nss.certificates(this.#slot));
    return all.map((der) => {
      const sha256 = this.sha256(der);
      return { der, sha256, spkiSha256: this.#certifiedKey(der, sha256) };
    });
  }

  /** As {@link TrustStore.createKey}; returns the SPKI. */
  createKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Uint8Array {
    const spki = this.#storeNewKey(algorithm, record);
    this.#readBack("Cannot store the key", this.keys().includes(this.sha256(spki)));
    return spki;
  }

  /** Undefined when the key is not here. */
  sign(spkiSha256: string, message: Uint8Array): Uint8Array | undefined {
    return this.#do("Cannot sign", () => {
      let signature: Uint8Array | undefined;
      this.#eachKey((key, hash) => {
        if (hash === spkiSha256) signature ??= this.#nss.sign(key, message);
      });
      return signature;
    });
  }

  /** Copies a key from another database, in NSS's memory and never in ours; there is success. */
  copyKeyFrom(source: NssDatabase, spkiSha256: string): void {
    const doing = "Cannot copy the key";
    if (this.keys().includes(spkiSha256)) return;
    this.#do(doing, () =>
      source.#eachKey((key, hash) => {
        if (hash === spkiSha256) this.#adopt(source.#slot, key);
      }));
    this.#readBack(doing, this.keys().includes(spkiSha256));
  }

  #adopt(sourceSlot: Handle, key: Handle): void {
    const nss = this.#nss;
    const value = publicValue(nss, key);
    if (!value) throw new Problem("internal", "Cannot copy the key: it tells no public half.");
    const password = crypto.getRandomValues(new Uint8Array(32));
    const encrypted = nss.encryptKey(sourceSlot, key, password);
    try {
      const sessionKey = nss.decryptKey(this.#slot, encrypted, password, nss.keyType(key), value);
      try {
        nss.destroyPrivateKey(nss.convertToTokenKey(sessionKey));
      } finally {
        nss.destroyPrivateKey(sessionKey);
      }
    } finally {
      nss.destroyEncryptedKey(encrypted);
    }
  }

  /** Stores a certificate; already there is success. */
  addCertificate(der: Uint8Array, nickname: string): void {
    const sha256 = this.sha256(der);
    const isThere = () => this.certificates().some((other) => other.sha256 === sha256);
    if (isThere()) return;
    const doing = "Cannot store the certificate";
    this.#do(doing, () => {
      try {
        this.#nss.importCertificate(this.#slot, der, nickname);
      } catch (error) {
        if (!(error instanceof NssError)) throw error;
        if (error.code === SEC_ERROR_REUSED_ISSUER_AND_SERIAL) {
          throw new Problem(
            "internal",
            `${doing}: ${this.path} has another of the same issuer and serial. Remove that one.`,
            { cause: error },
          );
        }
        // Another subject has that nickname already; nothing is ever looked up by it. A process
        // that has shut NSS down before is told no reason but that of a call within NSS.
        const isTaken = error.code === SEC_ERROR_ADDING_CERT || error.code === PR_CALL_ONCE_ERROR;
        if (!isTaken) throw error;
        this.#nss.importCertificate(this.#slot, der, `${nickname} (${sha256.slice(0, 16)})`);
      }
    });
    this.#readBack(doing, isThere());
  }

  /** Removes exactly this certificate; absent is success. */
  removeCertificate(sha256: string): void {
    const find = () => this.certificates().find((certificate) => certificate.sha256 === sha256);
    const found = find();
    if (!found) return;
    const doing = "Cannot remove the certificate";
    this.#do(doing, () => this.#nss.deleteCertificate(this.#slot, found.der));
    this.#readBack(doing, !find());
  }

  /** Removes the private key and public keys that go with it; absent is success. */
  removeKey(spkiSha256: string): void {
    const doing = "Cannot remove the key";
    this.#do(doing, () => {
      this.#eachKey((key, hash) => {
        if (hash === spkiSha256) this.#nss.deletePrivateKey(key);
      });
      this.#nss.eachPublicKey(this.#slot, (key) => {
        const isIt = this.sha256(this.#nss.encodePublicKey(key)) === spkiSha256;
        if (isIt) this.#nss.deletePublicKey(key);
      });
    });
    this.#readBack(doing, !this.keys().includes(spkiSha256));
  }

  /** SHA-256, lower-case hexadecimal. */
  sha256(bytes: Uint8Array): string {
    return this.#nss.sha256(bytes).toHex();
  }

  close(): void {
    this.#nss.closeUserDatabase(this.#slot);
  }

  #storeNewKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Uint8Array {
    const nss = this.#nss;
    const doing = "Cannot make a key";
    const pair = this.#do(doing, () => nss.generateSessionKeyPair(this.#slot, algorithm));
    try {
      const spki = this.#do(doing, () => nss.encodePublicKey(pair.publicKey));
      record(spki, this.sha256(spki));
      this.#do("Cannot store the key", () => {
        nss.destroyPrivateKey(nss.convertToTokenKey(pair.privateKey));
      });
      return spki;
    } finally {
      // At once: while the session key lives, look-ups find it instead of the stored one.
      nss.destroyPrivateKey(pair.privateKey);
      nss.destroyPublicKey(pair.publicKey);
    }
  }

  #unlock(): void {
    const nss = this.#nss;
    if (nss.needUserInit(this.#slot)) {
      this.#do("Cannot set the empty password", () => nss.initEmptyPin(this.#slot));
    } else if (nss.needLogin(this.#slot) && !nss.loginWithEmptyPassword(this.#slot)) {
      throw new Problem(
        "store-password",
        `${this.path} is protected by a password, which browsers would ask for. Nothing was ` +
          `changed. To take the password away: certutil -W -d 'sql:${this.path}' (new password empty).`,
      );
    }
  }

  #eachKey(visit: (key: Handle, spkiSha256: string) => void): void {
    this.#nss.eachPrivateKey(this.#slot, (key) => {
      const spki = publicHalf(this.#nss, key);
      if (spki) visit(key, this.sha256(spki));
    });
  }

  /** Whose key a certificate is for. */
  #certifiedKey(der: Uint8Array, sha256: string): string | undefined {
    const known = this.#certifiedKeys.get(sha256);
    if (known) return known;
    try {
      const spkiSha256 = this.sha256(parseCertificate(der).spki);
      this.#certifiedKeys.set(sha256, spkiSha256);
      return spkiSha256;
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
      return undefined;
    }
  }

  #do<T>(doing: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof NssError)) throw error;
      throw explainNss(this.path, doing, error);
    }
  }

  /** NSS reports success for changes that a full disk or a lock undid. */
  #readBack(doing: string, isSo: boolean): void {
    if (!isSo) throw explainNss(this.path, doing, new Error("NSS reported success, wrongly"));
  }
}

function openSlot(nss: Nss, path: string, patience: LockPatience): Handle {
  const doing = "Cannot open the certificate database";
  for (let wait = 100;; wait = Math.min(wait * 2, 1000)) {
    try {
      return nss.openUserDatabase(path);
    } catch (error) {
      if (!(error instanceof NssError)) throw error;
      const final = obstacle(path, doing, error);
      if (final) throw final;
      if (patience.now() + wait > patience.deadline) throw explainNss(path, doing, error);
      patience.pause(wait);
    }
  }
}
