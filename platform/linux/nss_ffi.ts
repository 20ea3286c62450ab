/**
 * Network Security Services (libnss3) through Deno FFI: one checked call each, no policy.
 *
 * Layouts are LP64 (x86-64, aarch64), as in NSS's public headers. Every call blocks, on purpose:
 * PR_GetError belongs to the calling thread. What is returned as {@link Handle} is the caller's to
 * give back with the call that its comment names; everything else is copied out and freed here.
 */

import { der, derBitString, derOid, derUnsigned, TAG } from "../../ca/der.ts";

/** A pointer to something that NSS owns; never null. */
export type Handle = Deno.PointerObject;

/** CK_MECHANISM_TYPE (pkcs11t.h). */
const CKM_RSA_PKCS_KEY_PAIR_GEN = 0n;
const CKM_SHA256_RSA_PKCS = 0x40n;
const CKM_EC_KEY_PAIR_GEN = 0x1040n;
const CKM_ECDSA = 0x1041n;
const CK_INVALID_HANDLE = 0n;

/** CK_OBJECT_CLASS (pkcs11t.h). */
const CKO_CERTIFICATE = 1n;

/** CK_ATTRIBUTE_TYPE (pkcs11t.h, pkcs11n.h). */
const CKA_VALUE = 0x11n;
const CKA_MODULUS = 0x120n;
const CKA_PUBLIC_EXPONENT = 0x122n;
const CKA_EC_PARAMS = 0x180n;
/** Of NSS's own: the public value that a private key goes with, never DER-encoded. */
const CKA_NSS_DB = 0xd5a0db00n;

/** PK11ObjectType (pk11pub.h). */
const PK11_TypeGeneric = 0;
const PK11_TypePrivKey = 1;

/** PK11AttrFlags (secmodt.h). */
const PK11_ATTR_SESSION = 0x2;
const PK11_ATTR_PRIVATE = 0x4;
const PK11_ATTR_SENSITIVE = 0x40;
const PK11_ATTR_UNEXTRACTABLE = 0x200;

/** NSS_InitContext flags (nss.h). */
const NSS_INIT_NOCERTDB = 0x2;
const NSS_INIT_NOMODDB = 0x4;
const NSS_INIT_FORCEOPEN = 0x8;
const NSS_INIT_NOROOTINIT = 0x10;

/** KeyType (keythi.h). */
const rsaKey = 1;
const ecKey = 6;

/** SECOidTag (secoidt.h). */
const SEC_OID_AES_256_CBC = 188;
const SEC_OID_SHA256 = 191;

const KU_ALL = 255;
const PR_TRUE = 1;
const PR_FALSE = 0;

/** NSS error codes (secerr.h) that callers tell apart. */
export const SEC_ERROR_PKCS11_GENERAL_ERROR = -8025;
export const SEC_ERROR_TOKEN_NOT_LOGGED_IN = -8037;
export const SEC_ERROR_BUSY = -8053;
export const SEC_ERROR_REUSED_ISSUER_AND_SERIAL = -8054;
export const SEC_ERROR_ADDING_CERT = -8168;
/** For an attribute: there is none. */
const SEC_ERROR_BAD_DATA = -8190;

/** DER of the object identifier prime256v1, as CKA_EC_PARAMS wants it. */
const PRIME256V1 = new Uint8Array([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);

/** A call into NSS that did not do what it was asked. */
export class NssError extends Error {
  override readonly name = "NssError";
  /** @param code PR_GetError() after the call; 0 when NSS gave no reason */
  constructor(readonly call: string, readonly code: number, codeName: string | undefined) {
    super(`${call} failed: ${codeName ?? "no reason given"} (${code})`);
  }
}

/** libnss3 or libnspr4 is not on this machine, or not usable. */
export class NssMissing extends Error {
  override readonly name = "NssMissing";
}

const NSS_SYMBOLS = {
  NSS_InitContext: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "pointer", "u32"],
    result: "pointer",
  },
  NSS_ShutdownContext: { parameters: ["pointer"], result: "i32" },
  SECMOD_OpenUserDB: { parameters: ["buffer"], result: "pointer" },
  SECMOD_CloseUserDB: { parameters: ["pointer"], result: "i32" },
  PK11_FreeSlot: { parameters: ["pointer"], result: "void" },
  PK11_NeedUserInit: { parameters: ["pointer"], result: "i32" },
  PK11_InitPin: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  PK11_NeedLogin: { parameters: ["pointer"], result: "i32" },
  PK11_CheckUserPassword: { parameters: ["pointer", "buffer"], result: "i32" },
  PK11_IsReadOnly: { parameters: ["pointer"], result: "i32" },
  PK11_GenerateKeyPairWithOpFlags: {
    parameters: ["pointer", "u64", "buffer", "buffer", "u32", "u64", "u64", "pointer"],
    result: "pointer",
  },
  PK11_ConvertSessionPrivKeyToTokenPrivKey: {
    parameters: ["pointer", "pointer"],
    result: "pointer",
  },
  PK11_ListPrivKeysInSlot: { parameters: ["pointer", "pointer", "pointer"], result: "pointer" },
  PK11_ListPublicKeysInSlot: { parameters: ["pointer", "pointer"], result: "pointer" },
  PK11_DeleteTokenPrivateKey: { parameters: ["pointer", "i32"], result: "i32" },
  PK11_DeleteTokenPublicKey: { parameters: ["pointer"], result: "i32" },
  PK11_ImportDERCert: {
    parameters: ["pointer", "buffer", "u64", "buffer", "i32"],
    result: "i32",
  },
  PK11_SignatureLen: { parameters: ["pointer"], result: "i32" },
  PK11_SignWithMechanism: {
    parameters: ["pointer", "u64", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  PK11_HashBuf: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  PK11_ExportEncryptedPrivKeyInfo: {
    parameters: ["pointer", "i32", "buffer", "pointer", "i32", "pointer"],
    result: "pointer",
  },
  // slot, info, password, nickname, publicValue, isPerm, isPrivate, keyType, usage, key out, pwArg
  PK11_ImportEncryptedPrivateKeyInfoAndReturnKey: {
    parameters: [
      ...["pointer", "pointer", "buffer", "pointer", "buffer"] as const,
      ...["i32", "i32", "i32", "u32", "buffer", "pointer"] as const,
    ],
    result: "i32",
  },
  SECKEY_DestroyEncryptedPrivateKeyInfo: { parameters: ["pointer", "i32"], result: "void" },
  SECKEY_EncodeDERSubjectPublicKeyInfo: { parameters: ["pointer"], result: "pointer" },
  PK11_ReadRawAttribute: { parameters: ["i32", "pointer", "u64", "buffer"], result: "i32" },
  SECKEY_GetPrivateKeyType: { parameters: ["pointer"], result: "i32" },
  SECKEY_CopyPrivateKey: { parameters: ["pointer"], result: "pointer" },
  SECKEY_CopyPublicKey: { parameters: ["pointer"], result: "pointer" },
  SECKEY_DestroyPrivateKey: { parameters: ["pointer"], result: "void" },
  SECKEY_DestroyPublicKey: { parameters: ["pointer"], result: "void" },
  SECKEY_DestroyPrivateKeyList: { parameters: ["pointer"], result: "void" },
  SECKEY_DestroyPublicKeyList: { parameters: ["pointer"], result: "void" },
  CERT_DestroyCertificate: { parameters: ["pointer"], result: "void" },
  PK11_FindGenericObjects: { parameters: ["pointer", "u64"], result: "pointer" },
  PK11_GetNextGenericObject: { parameters: ["pointer"], result: "pointer" },
  PK11_DestroyGenericObjects: { parameters: ["pointer"], result: "i32" },
  PK11_FindCertFromDERCertItem: { parameters: ["pointer", "buffer", "pointer"], result: "pointer" },
  SEC_DeletePermCertificate: { parameters: ["pointer"], result: "i32" },
  SECITEM_ZfreeItem: { parameters: ["pointer", "i32"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const NSPR_SYMBOLS = {
  PR_GetError: { parameters: [], result: "i32" },
  PR_SetError: { parameters: ["i32", "i32"], result: "void" },
  PR_ErrorToName: { parameters: ["i32"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The loaded library. It stays loaded for the life of the process: NSS cannot be unloaded. */
export class Nss {
  readonly #nss = Deno.dlopen("libnss3.so", NSS_SYMBOLS).symbols;
  readonly #nspr = Deno.dlopen("libnspr4.so", NSPR_SYMBOLS).symbols;

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
    const flags = NSS_INIT_NOCERTDB | NSS_INIT_NOMODDB | NSS_INIT_FORCEOPEN | NSS_INIT_NOROOTINIT;
    const context = this.#nss.NSS_InitContext(none, none, none, none, null, flags);
    return this.#need("NSS_InitContext", context);
  }

  /** Fails with SEC_ERROR_BUSY while a handle has not been given back. */
  shutdownContext(context: Handle): void {
    this.#check("NSS_ShutdownContext", this.#nss.NSS_ShutdownContext(context));
  }

  /**
   * Opens `cert9.db` and `key4.db` in a directory that must exist, making what is missing of them.
   * Give back: closeUserDatabase.
   */
  openUserDatabase(directory: string): Handle {
    const escaped = directory.replaceAll(/['\\]/g, (character) => `\\${character}`);
    const spec = `configdir='sql:${escaped}' tokenDescription='device-trust'`;
    return this.#need("SECMOD_OpenUserDB", this.#nss.SECMOD_OpenUserDB(cString(spec)));
  }

  closeUserDatabase(slot: Handle): void {
    const status = this.#nss.SECMOD_CloseUserDB(slot);
    const error = status === 0 ? undefined : this.#error("SECMOD_CloseUserDB");
    this.#nss.PK11_FreeSlot(slot);
    if (error) throw error;
  }

  /** Whether the database was never given a password, not even an empty one. */
  needUserInit(slot: Handle): boolean {
    return this.#nss.PK11_NeedUserInit(slot) !== 0;
  }

  /** Gives a new database the empty password, as browsers do. */
  initEmptyPin(slot: Handle): void {
    this.#check("PK11_InitPin", this.#nss.PK11_InitPin(slot, null, null));
  }

  /** Whether keys are out of reach until somebody gives the password. */
  needLogin(slot: Handle): boolean {
    return this.#nss.PK11_NeedLogin(slot) !== 0;
  }

  /** Logs in with the empty password; false when that is not the password. */
  loginWithEmptyPassword(slot: Handle): boolean {
    return this.#nss.PK11_CheckUserPassword(slot, cString("")) === 0;
  }

  isReadOnly(slot: Handle): boolean {
    return this.#nss.PK11_IsReadOnly(slot) !== 0;
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
      ? [CKM_EC_KEY_PAIR_GEN, secItem(PRIME256V1)]
      : [CKM_RSA_PKCS_KEY_PAIR_GEN, pk11RsaGenParams(2048, 65537n)];
    const publicOut = pointerCell();
    const privateKey = this.#need(
      "PK11_GenerateKeyPairWithOpFlags",
      this.#nss.PK11_GenerateKeyPairWithOpFlags(
        slot,
        mechanism,
        parameters,
        publicOut,
        PK11_ATTR_SESSION | PK11_ATTR_PRIVATE | PK11_ATTR_SENSITIVE | PK11_ATTR_UNEXTRACTABLE,
        0n,
        0n,
        null,
      ),
    );
    return { privateKey, publicKey: this.#need("publicKey", readCell(publicOut)) };
  }

  /** Stores a session key, with its CKA_ID, in one write. Give back: destroyPrivateKey. */
  convertToTokenKey(sessionKey: Handle): Handle {
    return this.#need(
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
    const item = this.#need(name, this.#nss.SECKEY_EncodeDERSubjectPublicKeyInfo(publicKey));
    const der = copyItem(item, 0);
    this.#nss.SECITEM_ZfreeItem(item, PR_TRUE);
    return der;
  }

  /**
   * A private key, encrypted by NSS in NSS's memory: neither key nor cipher text enters ours. Give
   * back: destroyEncryptedKey.
   */
  encryptKey(slot: Handle, privateKey: Handle, password: Uint8Array): Handle {
    return this.#need(
      "PK11_ExportEncryptedPrivKeyInfo",
      this.#nss.PK11_ExportEncryptedPrivKeyInfo(
        slot,
        SEC_OID_AES_256_CBC,
        secItem(password),
        privateKey,
        1, // One iteration: the password is random, so stretching adds nothing.
        null,
      ),
    );
  }

  destroyEncryptedKey(info: Handle): void {
    this.#nss.SECKEY_DestroyEncryptedPrivateKeyInfo(info, PR_TRUE);
  }

  /**
   * A session key from what encryptKey made of `original`, in any slot. Give back:
   * destroyPrivateKey.
   */
  decryptKey(slot: Handle, info: Handle, original: Handle, password: Uint8Array): Handle {
    const keyOut = pointerCell();
    const kind = this.#nss.SECKEY_GetPrivateKeyType(original);
    const status = this.#nss.PK11_ImportEncryptedPrivateKeyInfoAndReturnKey(
      slot,
      info,
      secItem(password),
      null,
      secItem(this.#publicValue(original) ?? new Uint8Array()),
      PR_FALSE,
      PR_TRUE,
      kind,
      KU_ALL,
      keyOut,
      null,
    );
    this.#check("PK11_ImportEncryptedPrivateKeyInfoAndReturnKey", status);
    return this.#need("PK11_ImportEncryptedPrivateKeyInfoAndReturnKey", readCell(keyOut));
  }

  /**
   * DER SubjectPublicKeyInfo of a private key; undefined for kinds that do not tell. Not by
   * SECKEY_ConvertToPublicKey, which takes one EC point in 256 (04 3f ...) for a DER octet string
   * and then tells another key, and looks through the certificates first.
   */
  publicHalf(privateKey: Handle): Uint8Array<ArrayBuffer> | undefined {
    const value = this.#publicValue(privateKey);
    if (!value) return undefined;
    if (this.#nss.SECKEY_GetPrivateKeyType(privateKey) === ecKey) {
      const curve = this.#attribute(PK11_TypePrivKey, privateKey, CKA_EC_PARAMS);
      return curve && spki(derOid("1.2.840.10045.2.1"), curve, value);
    }
    const exponent = this.#attribute(PK11_TypePrivKey, privateKey, CKA_PUBLIC_EXPONENT);
    const numbers = exponent && der(TAG.sequence, derUnsigned(value), derUnsigned(exponent));
    return numbers && spki(derOid("1.2.840.113549.1.1.1"), der(TAG.null), numbers);
  }

  /** EC point or RSA modulus: what CKA_ID is the SHA-1 of. */
  #publicValue(privateKey: Handle): Uint8Array<ArrayBuffer> | undefined {
    switch (this.#nss.SECKEY_GetPrivateKeyType(privateKey)) {
      case ecKey:
        return this.#attribute(PK11_TypePrivKey, privateKey, CKA_NSS_DB);
      case rsaKey:
        return this.#attribute(PK11_TypePrivKey, privateKey, CKA_MODULUS);
      default:
        return undefined;
    }
  }

  /** An attribute of an object; undefined when it has none of that kind. */
  #attribute(
    objectType: number,
    object: Handle,
    attribute: bigint,
  ): Uint8Array<ArrayBuffer> | undefined {
    const item = secItem(new Uint8Array());
    const status = this.#nss.PK11_ReadRawAttribute(objectType, object, attribute, item);
    if (status !== 0) {
      const error = this.#error("PK11_ReadRawAttribute");
      if (error.code === SEC_ERROR_BAD_DATA) return undefined;
      throw error;
    }
    return this.#takeItem(item);
  }

  /** The stored private keys of a slot. Give back: destroyPrivateKey, each. */
  privateKeys(slot: Handle): Handle[] {
    this.#nspr.PR_SetError(0, 0);
    const list = this.#nss.PK11_ListPrivKeysInSlot(slot, null, null);
    if (list === null) return this.#emptyUnlessError("PK11_ListPrivKeysInSlot");
    const keys = walkList(list).map((key) => this.#copyPrivateKey(key));
    this.#nss.SECKEY_DestroyPrivateKeyList(list);
    return keys;
  }

  /** The stored public keys of a slot. Give back: destroyPublicKey, each. */
  publicKeys(slot: Handle): Handle[] {
    this.#nspr.PR_SetError(0, 0);
    const list = this.#nss.PK11_ListPublicKeysInSlot(slot, null);
    if (list === null) return this.#emptyUnlessError("PK11_ListPublicKeysInSlot");
    const keys = walkList(list).map((key) => this.#copyPublicKey(key));
    this.#nss.SECKEY_DestroyPublicKeyList(list);
    return keys;
  }

  /** The stored certificates of a slot, DER, as they are there: past all caches of NSS. */
  certificates(slot: Handle): Uint8Array<ArrayBuffer>[] {
    this.#nspr.PR_SetError(0, 0);
    const first = this.#nss.PK11_FindGenericObjects(slot, CKO_CERTIFICATE);
    if (first === null) return this.#emptyUnlessError("PK11_FindGenericObjects");
    try {
      const found: Uint8Array<ArrayBuffer>[] = [];
      for (
        let object: Deno.PointerValue = first;
        object !== null;
        object = this.#nss.PK11_GetNextGenericObject(object)
      ) {
        const der = this.#attribute(PK11_TypeGeneric, object, CKA_VALUE);
        if (der) found.push(der);
      }
      return found;
    } finally {
      this.#nss.PK11_DestroyGenericObjects(first);
    }
  }

  /** Stores a certificate without trust. A nickname that another subject has is refused. */
  importCertificate(slot: Handle, der: Uint8Array, nickname: string): void {
    this.#check(
      "PK11_ImportDERCert",
      this.#nss.PK11_ImportDERCert(
        slot,
        secItem(der),
        CK_INVALID_HANDLE,
        cString(nickname),
        PR_FALSE,
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
    const error = status === 0 ? undefined : this.#error("SEC_DeletePermCertificate");
    this.#nss.CERT_DestroyCertificate(certificate);
    if (error) throw error;
  }

  /**
   * Its success is not to be believed (full disk): read back. Refuses while a certificate carries
   * the key. Does not consume the handle.
   */
  deletePrivateKey(privateKey: Handle): void {
    const consumed = this.#copyPrivateKey(privateKey);
    const status = this.#nss.PK11_DeleteTokenPrivateKey(consumed, PR_FALSE);
    this.#check("PK11_DeleteTokenPrivateKey", status);
  }

  /** Its success is not to be believed: read back. Does not consume the handle. */
  deletePublicKey(publicKey: Handle): void {
    const consumed = this.#copyPublicKey(publicKey);
    const status = this.#nss.PK11_DeleteTokenPublicKey(consumed);
    this.#check("PK11_DeleteTokenPublicKey", status);
  }

  #copyPrivateKey(key: Handle): Handle {
    return this.#need("SECKEY_CopyPrivateKey", this.#nss.SECKEY_CopyPrivateKey(key));
  }

  #copyPublicKey(key: Handle): Handle {
    return this.#need("SECKEY_CopyPublicKey", this.#nss.SECKEY_CopyPublicKey(key));
  }

  /** SHA-256 of the message, signed: ECDSA r and s concatenated, or RSA PKCS#1 v1.5. */
  sign(privateKey: Handle, message: Uint8Array): Uint8Array<ArrayBuffer> {
    const kind = this.#nss.SECKEY_GetPrivateKeyType(privateKey);
    if (kind !== ecKey && kind !== rsaKey) {
      throw new NssError(`sign (key type ${kind})`, 0, undefined);
    }
    const [mechanism, input] = kind === ecKey
      ? [CKM_ECDSA, this.sha256(message)]
      : [CKM_SHA256_RSA_PKCS, message];
    const length = this.#nss.PK11_SignatureLen(privateKey);
    if (length <= 0) throw this.#error("PK11_SignatureLen");
    const output = secItem(new Uint8Array(length));
    const status = this.#nss.PK11_SignWithMechanism(
      privateKey,
      mechanism,
      null,
      output,
      secItem(input),
    );
    this.#check("PK11_SignWithMechanism", status);
    return readItem(output);
  }

  /** SHA-256. */
  sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const digest = new Uint8Array(32);
    const input = bytes.slice();
    this.#check(
      "PK11_HashBuf",
      this.#nss.PK11_HashBuf(SEC_OID_SHA256, digest, input, input.length),
    );
    return digest;
  }

  /** What NSS made an item point at; freed. */
  #takeItem(item: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const pointer = Deno.UnsafePointer.of(item);
    if (pointer === null) return new Uint8Array();
    const bytes = copyItem(pointer, 0);
    this.#nss.SECITEM_ZfreeItem(pointer, PR_FALSE);
    return bytes;
  }

  #check(call: string, status: number): void {
    if (status !== 0) throw this.#error(call);
  }

  #need(call: string, pointer: Deno.PointerValue): Handle {
    if (pointer === null) throw this.#error(call);
    return pointer;
  }

  /** NSS answers null for an empty list; only an error code tells that from a failure. */
  #emptyUnlessError(call: string): [] {
    if (this.#nspr.PR_GetError() !== 0) throw this.#error(call);
    return [];
  }

  #error(call: string): NssError {
    const code = this.#nspr.PR_GetError();
    const name = code === 0 ? null : this.#nspr.PR_ErrorToName(code);
    return new NssError(
      call,
      code,
      name === null ? undefined : Deno.UnsafePointerView.getCString(name),
    );
  }
}

/** struct SECItemStr (seccomont.h): SECItemType type; unsigned char *data; unsigned int len. */
const SEC_ITEM_SIZE = 24;

/** A C string; the buffer keeps it alive for the call. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** A SECItem followed by its own data, so that passing the one keeps the other alive. */
export function secItem(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const buffer = new ArrayBuffer(SEC_ITEM_SIZE + data.length);
  const bytes = new Uint8Array(buffer);
  bytes.set(data, SEC_ITEM_SIZE);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
  const view = new DataView(buffer);
  view.setBigUint64(8, BigInt(address) + BigInt(SEC_ITEM_SIZE), true);
  view.setUint32(16, data.length, true);
  return bytes;
}

/** What NSS wrote into an item made by {@link secItem}. */
function readItem(item: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const length = new DataView(item.buffer).getUint32(16, true);
  return item.slice(SEC_ITEM_SIZE, SEC_ITEM_SIZE + length);
}

/** DER SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). */
function spki(
  algorithm: Uint8Array,
  parameters: Uint8Array,
  key: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return der(TAG.sequence, der(TAG.sequence, algorithm, parameters), derBitString(key));
}

/** A copy of the data of a SECItem that lies at an offset in NSS's memory. */
export function copyItem(base: Handle, offset: number): Uint8Array<ArrayBuffer> {
  const view = new Deno.UnsafePointerView(base);
  const data = view.getPointer(offset + 8);
  const length = view.getUint32(offset + 16);
  if (data === null || length === 0) return new Uint8Array();
  return new Uint8Array(new Deno.UnsafePointerView(data).getArrayBuffer(length)).slice();
}

/** struct PK11RSAGenParamsStr (secmodt.h): int keySizeInBits; unsigned long pe. */
function pk11RsaGenParams(bits: number, exponent: bigint): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(16));
  view.setInt32(0, bits, true);
  view.setBigUint64(8, exponent, true);
  return new Uint8Array(view.buffer);
}

/** Room for a pointer that NSS writes. */
function pointerCell(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(8));
}

function readCell(cell: Uint8Array<ArrayBuffer>): Deno.PointerValue {
  return Deno.UnsafePointer.create(new DataView(cell.buffer).getBigUint64(0, true));
}

/**
 * The payload pointers of a list whose head is a PRCList (prclist.h) at offset 0: key lists and
 * certificate lists alike have links of 16 bytes, then the pointer; the list ends at its own head.
 */
export function walkList(list: Handle): Handle[] {
  const payloads: Handle[] = [];
  let node = new Deno.UnsafePointerView(list).getPointer(0);
  while (node !== null && !Deno.UnsafePointer.equals(node, list)) {
    const view = new Deno.UnsafePointerView(node);
    const payload = view.getPointer(16);
    if (payload !== null) payloads.push(payload);
    node = view.getPointer(0);
  }
  return payloads;
}
