/** What of libnss3 and libnspr4 nssdb calls, and the constants that go in, by their C names. */

/** CK_MECHANISM_TYPE (pkcs11t.h). */
export const CKM_RSA_PKCS_KEY_PAIR_GEN = 0n;
export const CKM_SHA256_RSA_PKCS = 0x40n;
export const CKM_EC_KEY_PAIR_GEN = 0x1040n;
export const CKM_ECDSA = 0x1041n;
export const CK_INVALID_HANDLE = 0n;

/** CK_OBJECT_CLASS (pkcs11t.h). */
export const CKO_CERTIFICATE = 1n;

/** CK_ATTRIBUTE_TYPE (pkcs11t.h, pkcs11n.h). */
export const CKA_VALUE = 0x11n;
export const CKA_MODULUS = 0x120n;
export const CKA_PUBLIC_EXPONENT = 0x122n;
export const CKA_EC_PARAMS = 0x180n;
/** Of NSS's own: the public value that a private key goes with, never DER-encoded. */
export const CKA_NSS_DB = 0xd5a0db00n;

/** PK11ObjectType (pk11pub.h). */
export const PK11_TypeGeneric = 0;
export const PK11_TypePrivKey = 1;

/** PK11AttrFlags (secmodt.h). */
export const PK11_ATTR_SESSION = 0x2;
export const PK11_ATTR_PRIVATE = 0x4;
export const PK11_ATTR_SENSITIVE = 0x40;
export const PK11_ATTR_UNEXTRACTABLE = 0x200;

/** NSS_InitContext flags (nss.h). */
export const NSS_INIT_NOCERTDB = 0x2;
export const NSS_INIT_NOMODDB = 0x4;
export const NSS_INIT_FORCEOPEN = 0x8;
export const NSS_INIT_NOROOTINIT = 0x10;

/** KeyType (keythi.h). */
export const rsaKey = 1;
export const ecKey = 6;

/** SECOidTag (secoidt.h). */
export const SEC_OID_AES_256_CBC = 188;
export const SEC_OID_SHA256 = 191;

export const KU_ALL = 255;
export const PR_TRUE = 1;
export const PR_FALSE = 0;

/** NSS error codes (secerr.h) that callers tell apart. */
export const SEC_ERROR_PKCS11_GENERAL_ERROR = -8025;
export const SEC_ERROR_REUSED_ISSUER_AND_SERIAL = -8054;
export const SEC_ERROR_ADDING_CERT = -8168;
export const PR_CALL_ONCE_ERROR = -5925;
/** For an attribute: there is none. */
export const SEC_ERROR_BAD_DATA = -8190;

/** DER of the object identifier prime256v1, as CKA_EC_PARAMS wants it. */
export const PRIME256V1 = new Uint8Array([
  0x06,
  0x08,
  0x2a,
  0x86,
  0x48,
  0xce,
  0x3d,
  0x03,
  0x01,
  0x07,
]);

/** Of libnss3. */
export const NSS_SYMBOLS = {
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

/** Of libnspr4. */
export const NSPR_SYMBOLS = {
  PR_GetError: { parameters: [], result: "i32" },
  PR_SetError: { parameters: ["i32", "i32"], result: "void" },
  PR_ErrorToName: { parameters: ["i32"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;
