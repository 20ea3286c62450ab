/** What of ncrypt.dll and bcrypt.dll is called, and the constants that go in, by their C names. */

/** Properties and blob types (ncrypt.h, bcrypt.h). */
export const NCRYPT_EXPORT_POLICY_PROPERTY = "Export Policy";
export const NCRYPT_ALGORITHM_GROUP_PROPERTY = "Algorithm Group";
export const BCRYPT_PUBLIC_KEY_BLOB = "PUBLICBLOB";

/** BufferType of an NCryptBuffer (ncrypt.h). */
export const NCRYPTBUFFER_PKCS_KEY_NAME = 45;

/** Flags (ncrypt.h, bcrypt.h). */
export const BCRYPT_PAD_PKCS1 = 0x2;
export const NCRYPT_SILENT_FLAG = 0x40;
export const NCRYPT_DO_NOT_FINALIZE_FLAG = 0x400;
export const NCRYPT_PERSIST_FLAG = 0x80000000;

/** Of ncrypt.dll; all return a SECURITY_STATUS. */
export const NCRYPT_SYMBOLS = {
  NCryptOpenStorageProvider: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  NCryptEnumKeys: { parameters: ["usize", "pointer", "buffer", "buffer", "u32"], result: "i32" },
  NCryptFreeBuffer: { parameters: ["usize"], result: "i32" },
  NCryptFreeObject: { parameters: ["usize"], result: "i32" },
  NCryptOpenKey: { parameters: ["usize", "buffer", "buffer", "u32", "u32"], result: "i32" },
  NCryptDeleteKey: { parameters: ["usize", "u32"], result: "i32" },
  NCryptGetProperty: {
    parameters: ["usize", "buffer", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
  NCryptSetProperty: { parameters: ["usize", "buffer", "buffer", "u32", "u32"], result: "i32" },
  NCryptFinalizeKey: { parameters: ["usize", "u32"], result: "i32" },
  // provider, import key, blob type, parameters, key out, blob, its size, flags
  NCryptImportKey: {
    parameters: ["usize", "usize", "buffer", "buffer", "buffer", "buffer", "u32", "u32"],
    result: "i32",
  },
  // key, export key, blob type, parameters, out, its size, size out, flags
  NCryptExportKey: {
    parameters: ["usize", "usize", "buffer", "pointer", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
  // key, padding, hash, its size, signature, its size, size out, flags
  NCryptSignHash: {
    parameters: ["usize", "buffer", "buffer", "u32", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Of bcrypt.dll; all return an NTSTATUS. */
export const BCRYPT_SYMBOLS = {
  BCryptOpenAlgorithmProvider: { parameters: ["buffer", "buffer", "buffer", "u32"], result: "i32" },
  BCryptCloseAlgorithmProvider: { parameters: ["usize", "u32"], result: "i32" },
  BCryptGenerateKeyPair: { parameters: ["usize", "buffer", "u32", "u32"], result: "i32" },
  BCryptFinalizeKeyPair: { parameters: ["usize", "u32"], result: "i32" },
  BCryptDestroyKey: { parameters: ["usize"], result: "i32" },
  BCryptExportKey: {
    parameters: ["usize", "usize", "buffer", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;
