/**
 * Network Security Services (libnss3) through Deno FFI: one checked call each, no policy.
 *
 * Every call blocks, on purpose: PR_GetError belongs to the calling thread. What is returned as
 * {@link Handle} is the caller's to give back with the call that its comment names; everything else
 * is copied out and freed here.
 */
import { NssError, NssMissing, NssResults } from "./nss_errors.ts";
import {
  copyItem,
  cString,
  type Handle,
  pk11RsaGenParams,
  pointerCell,
  readCell,
  readItem,
  secItem,
  walkList,
} from "./nss_memory.ts";
import * as C from "./nss_symbols.ts";

export { NssError, NssMissing } from "./nss_errors.ts";
export { SEC_ERROR_PKCS11_GENERAL_ERROR } from "./nss_symbols.ts";
export { copyItem, cString, type Handle, secItem, walkList } from "./nss_memory.ts";

/** The loaded library. It stays loaded for the life of the process: NSS cannot be unloaded. */
export class Nss {
  readonly #nss = Deno.dlopen("libnss3.so", C.NSS_SYMBOLS).symbols;
  readonly #results = new NssResults();

  static #loaded: Nss | undefined;

  /** @throws NssMissing */
  static load(): Nss {
    try {
      return Nss.#loaded ??= new Nss();
    } catch (cause) {
      throw new NssMissing("the library libnss3 cannot be loaded", { cause });
    }
  }

  /** Starts NSS with no database and none of the user's modules. Give back: shutdownContext. */
  initContext(): Handle {
    const none = cString("");
    const flags = C.NSS_INIT_NOCERTDB | C.NSS_INIT_NOMODDB | C.NSS_INIT_FORCEOPEN |
      C.NSS_INIT_NOROOTINIT;
    const context = this.#nss.NSS_InitContext(none, none, none, none, null, flags);
    return this.#results.need("NSS_InitContext", context);
  }

  /** Fails with SEC_ERROR_BUSY while a handle has not been given back. */
  shutdownContext(context: Handle): void {
    this.#results.check("NSS_ShutdownContext", this.#nss.NSS_ShutdownContext(context));
  }

  /**
   * Opens `cert9.db` and `key4.db` in a directory that must exist, making what is missing of them.
   * Give back: closeUserDatabase.
   */
  openUserDatabase(directory: string): Handle {
    const escaped = directory.replaceAll(/['\\]/g, (character) => `\\${character}`);
    const spec = `configdir='sql:${escaped}' tokenDescription='device-trust'`;
    return this.#results.need("SECMOD_OpenUserDB", this.#nss.SECMOD_OpenUserDB(cString(spec)));
  }

  closeUserDatabase(slot: Handle): void {
    const status = this.#nss.SECMOD_CloseUserDB(slot);
    const error = status === 0 ? undefined : this.#results.failure("SECMOD_CloseUserDB");
    this.#nss.PK11_FreeSlot(slot);
    if (error) throw error;
  }

  /** Whether the database was never given a password, not even an empty one. */
  needUserInit(slot: Handle): boolean {
    return this.#nss.PK11_NeedUserInit(slot) !== 0;
  }

  /** Gives a new database the empty password, as browsers do. */
  initEmptyPin(slot: Handle): void {
    this.#results.check("PK11_InitPin", this.#nss.PK11_InitPin(slot, null, null));
  }

  /** Whether keys are out of reach until somebody gives the password. */
  needLogin(slot: Handle): boolean {
    return this.#nss.PK11_NeedLogin(slot) !== 0;
  }

  /** Logs in with the empty password; false when that is not the password. */
  loginWithEmptyPassword(slot: Handle): boolean {
    return this.#nss.PK11_CheckUserPassword(slot, cString("")) === 0;
  }

  /**
   * Makes a pair in memory only: sensitive, private, not extractable. Give back: destroyPrivateKey
   * and destroyPublicKey.
   */
  generateSessionKeyPair(
    slot: Handle,
    algorithm: "P-256" | "RSA-2048",
  ): { privateKey: Handle; publicKey: Handle } {
    const [mechanism, parameters] = algorithm === "P-256"
      ? [C.CKM_EC_KEY_PAIR_GEN, secItem(C.PRIME256V1)]
      : [C.CKM_RSA_PKCS_KEY_PAIR_GEN, pk11RsaGenParams(2048, 65537n)];
    const publicOut = pointerCell();
    const privateKey = this.#results.need(
      "PK11_GenerateKeyPairWithOpFlags",
      this.#nss.PK11_GenerateKeyPairWithOpFlags(
        slot,
        mechanism,
        parameters,
        publicOut,
        C.PK11_ATTR_SESSION | C.PK11_ATTR_PRIVATE | C.PK11_ATTR_SENSITIVE |
          C.PK11_ATTR_UNEXTRACTABLE,
        0n,
        0n,
        null,
      ),
    );
    return { privateKey, publicKey: this.#results.need("publicKey", readCell(publicOut)) };
  }

  /** Stores a session key, with its CKA_ID, in one write. Give back: destroyPrivateKey. */
  convertToTokenKey(sessionKey: Handle): Handle {
    return this.#results.need(
      "PK11_ConvertSessionPrivKeyToTokenPrivKey",
      this.#nss.PK11_ConvertSessionPrivKeyToTokenPrivKey(sessionKey, null),
    );
  }

  /** Gives the handle back; a session key ceases to exist with it, a stored one stays. */
  destroyPrivateKey(key: Handle): void {
    this.#nss.SECKEY_DestroyPrivateKey(key);
  }

  destroyPublicKey(key: Handle): void {
    this.#nss.SECKEY_DestroyPublicKey(key);
  }

  /** DER SubjectPublicKeyInfo of a public key. */
  encodePublicKey(publicKey: Handle): Uint8Array<ArrayBuffer> {
    const name = "SECKEY_EncodeDERSubjectPublicKeyInfo";
    const item = this.#results.need(
      name,
      this.#nss.SECKEY_EncodeDERSubjectPublicKeyInfo(publicKey),
    );
    const der = copyItem(item, 0);
    this.#nss.SECITEM_ZfreeItem(item, C.PR_TRUE);
    return der;
  }

  /**
   * A private key, encrypted by NSS in NSS's memory: neither key nor cipher text enters ours. Give
   * back: destroyEncryptedKey.
   */
  encryptKey(slot: Handle, privateKey: Handle, password: Uint8Array): Handle {
    return this.#results.need(
      "PK11_ExportEncryptedPrivKeyInfo",
      this.#nss.PK11_ExportEncryptedPrivKeyInfo(
        slot,
        C.SEC_OID_AES_256_CBC,
        secItem(password),
        privateKey,
        1, // One iteration: the password is random, so stretching adds nothing.
        null,
      ),
    );
  }

  destroyEncryptedKey(info: Handle): void {
    this.#nss.SECKEY_DestroyEncryptedPrivateKeyInfo(info, C.PR_TRUE);
  }

  /**
   * A session key from what encryptKey made, in any slot. Give back: destroyPrivateKey.
   *
   * @param publicValue EC point or RSA modulus, of which CKA_ID becomes the SHA-1
   */
  decryptKey(
    slot: Handle,
    info: Handle,
    password: Uint8Array,
    keyType: number,
    publicValue: Uint8Array,
  ): Handle {
    const keyOut = pointerCell();
    const status = this.#nss.PK11_ImportEncryptedPrivateKeyInfoAndReturnKey(
      slot,
      info,
      secItem(password),
      null,
      secItem(publicValue),
      C.PR_FALSE,
      C.PR_TRUE,
      keyType,
      C.KU_ALL,
      keyOut,
      null,
    );
    this.#results.check("PK11_ImportEncryptedPrivateKeyInfoAndReturnKey", status);
    return this.#results.need("PK11_ImportEncryptedPrivateKeyInfoAndReturnKey", readCell(keyOut));
  }

  /** KeyType (keythi.h). */
  keyType(privateKey: Handle): number {
    return this.#nss.SECKEY_GetPrivateKeyType(privateKey);
  }

  /** An attribute of a private key; undefined when it has none of that kind. */
  keyAttribute(privateKey: Handle, attribute: bigint): Uint8Array<ArrayBuffer> | undefined {
    return this.#attribute(C.PK11_TypePrivKey, privateKey, attribute);
  }

  /** Visits the stored private keys of a slot; each handle lives for its visit only. */
  eachPrivateKey(slot: Handle, visit: (key: Handle) => void): void {
    const call = "PK11_ListPrivKeysInSlot";
    const list = this.#results.list(call, () => this.#nss[call](slot, null, null));
    if (!list) return;
    try {
      walkList(list).forEach(visit);
    } finally {
      this.#nss.SECKEY_DestroyPrivateKeyList(list);
    }
  }

  /** Visits the stored public keys of a slot; each handle lives for its visit only. */
  eachPublicKey(slot: Handle, visit: (key: Handle) => void): void {
    const call = "PK11_ListPublicKeysInSlot";
    const list = this.#results.list(call, () => this.#nss[call](slot, null));
    if (!list) return;
    try {
      walkList(list).forEach(visit);
    } finally {
      this.#nss.SECKEY_DestroyPublicKeyList(list);
    }
  }

  /** The stored certificates of a slot, DER, as they are there: past all caches of NSS. */
  certificates(slot: Handle): Uint8Array<ArrayBuffer>[] {
    const call = "PK11_FindGenericObjects";
    const first = this.#results.list(call, () => this.#nss[call](slot, C.CKO_CERTIFICATE));
    if (!first) return [];
    try {
      const found: Uint8Array<ArrayBuffer>[] = [];
      let object: Deno.PointerValue = first;
      while (object !== null) {
        const der = this.#attribute(C.PK11_TypeGeneric, object, C.CKA_VALUE);
        if (der) found.push(der);
        object = this.#nss.PK11_GetNextGenericObject(object);
      }
      return found;
    } finally {
      this.#nss.PK11_DestroyGenericObjects(first);
    }
  }

  /** Stores a certificate without trust. A nickname that another subject has is refused. */
  importCertificate(slot: Handle, der: Uint8Array, nickname: string): void {
    this.#results.check(
      "PK11_ImportDERCert",
      this.#nss.PK11_ImportDERCert(
        slot,
        secItem(der),
        C.CK_INVALID_HANDLE,
        cString(nickname),
        C.PR_FALSE,
      ),
    );
  }

  /**
   * Removes the certificate that is this DER, with the trust that was set for it. Its success is
   * not to be believed (full disk, and a lock looks like absence): read back.
   */
  deleteCertificate(slot: Handle, der: Uint8Array): void {
    const certificate = this.#nss.PK11_FindCertFromDERCertItem(slot, secItem(der), null);
    if (certificate === null) return;
    const status = this.#nss.SEC_DeletePermCertificate(certificate);
    const error = status === 0 ? undefined : this.#results.failure("SEC_DeletePermCertificate");
    this.#nss.CERT_DestroyCertificate(certificate);
    if (error) throw error;
  }

  /**
   * Its success is not to be believed (full disk): read back. Refuses while a certificate carries
   * the key. Does not consume the handle.
   */
  deletePrivateKey(privateKey: Handle): void {
    const copy = this.#nss.SECKEY_CopyPrivateKey(privateKey);
    const consumed = this.#results.need("SECKEY_CopyPrivateKey", copy);
    const status = this.#nss.PK11_DeleteTokenPrivateKey(consumed, C.PR_FALSE);
    this.#results.check("PK11_DeleteTokenPrivateKey", status);
  }

  /** Its success is not to be believed: read back. Does not consume the handle. */
  deletePublicKey(publicKey: Handle): void {
    const copy = this.#nss.SECKEY_CopyPublicKey(publicKey);
    const consumed = this.#results.need("SECKEY_CopyPublicKey", copy);
    const status = this.#nss.PK11_DeleteTokenPublicKey(consumed);
    this.#results.check("PK11_DeleteTokenPublicKey", status);
  }

  /** SHA-256 of the message, signed: ECDSA r and s concatenated, or RSA PKCS#1 v1.5. */
  sign(privateKey: Handle, message: Uint8Array): Uint8Array<ArrayBuffer> {
    const kind = this.keyType(privateKey);
    if (kind !== C.ecKey && kind !== C.rsaKey) {
      throw new NssError(`sign (key type ${kind})`, 0, undefined);
    }
    const [mechanism, input] = kind === C.ecKey
      ? [C.CKM_ECDSA, this.sha256(message)]
      : [C.CKM_SHA256_RSA_PKCS, message];
    const length = this.#nss.PK11_SignatureLen(privateKey);
    if (length <= 0) throw this.#results.failure("PK11_SignatureLen");
    const output = secItem(new Uint8Array(length));
    const status = this.#nss.PK11_SignWithMechanism(
      privateKey,
      mechanism,
      null,
      output,
      secItem(input),
    );
    this.#results.check("PK11_SignWithMechanism", status);
    return readItem(output);
  }

  /** SHA-256. */
  sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const digest = new Uint8Array(32);
    const input = bytes.slice();
    this.#results.check(
      "PK11_HashBuf",
      this.#nss.PK11_HashBuf(C.SEC_OID_SHA256, digest, input, input.length),
    );
    return digest;
  }

  #attribute(
    objectType: number,
    object: Handle,
    attribute: bigint,
  ): Uint8Array<ArrayBuffer> | undefined {
    const item = secItem(new Uint8Array());
    const status = this.#nss.PK11_ReadRawAttribute(objectType, object, attribute, item);
    if (status !== 0) {
      const failure = this.#results.failure("PK11_ReadRawAttribute");
      if (failure.code === C.SEC_ERROR_BAD_DATA) return undefined;
      throw failure;
    }
    const pointer = Deno.UnsafePointer.of(item);
    if (pointer === null) return undefined;
    const bytes = copyItem(pointer, 0);
    this.#nss.SECITEM_ZfreeItem(pointer, C.PR_FALSE);
    return bytes;
  }
}
