/** What of advapi32.dll is called, and the constants that go in, by their C names (wincrypt.h). */

/** Provider, and the keys that a container has room for. */
export const PROV_RSA_AES = 24;
export const AT_KEYEXCHANGE = 1;
export const AT_SIGNATURE = 2;

/** CryptAcquireContext flags. */
export const CRYPT_VERIFYCONTEXT = 0xf0000000;
export const CRYPT_NEWKEYSET = 0x8;
export const CRYPT_DELETEKEYSET = 0x10;
export const CRYPT_SILENT = 0x40;

/** CryptGenKey: exportable, of 2048 bits. */
export const CRYPT_EXPORTABLE = 0x1;
export const RSA2048BIT_KEY = 0x8000000;

/** CryptExportKey blob types. */
export const PUBLICKEYBLOB = 0x6;
export const PRIVATEKEYBLOB = 0x7;

/** CryptGetProvParam. */
export const PP_ENUMCONTAINERS = 2;
export const CRYPT_FIRST = 1;
export const CRYPT_NEXT = 2;

/** Hashes. */
export const CALG_SHA_256 = 0x800c;
export const HP_HASHVAL = 2;

/** All return a BOOL. */
export const ADVAPI32_SYMBOLS = {
  CryptAcquireContextW: { parameters: ["buffer", "buffer", "buffer", "u32", "u32"], result: "i32" },
  CryptReleaseContext: { parameters: ["usize", "u32"], result: "i32" },
  CryptGetProvParam: { parameters: ["usize", "u32", "buffer", "buffer", "u32"], result: "i32" },
  CryptGenKey: { parameters: ["usize", "u32", "u32", "buffer"], result: "i32" },
  CryptGetUserKey: { parameters: ["usize", "u32", "buffer"], result: "i32" },
  CryptImportKey: {
    parameters: ["usize", "buffer", "u32", "usize", "u32", "buffer"],
    result: "i32",
  },
  CryptExportKey: {
    parameters: ["usize", "usize", "u32", "u32", "buffer", "buffer"],
    result: "i32",
  },
  CryptDestroyKey: { parameters: ["usize"], result: "i32" },
  CryptCreateHash: { parameters: ["usize", "u32", "usize", "u32", "buffer"], result: "i32" },
  CryptSetHashParam: { parameters: ["usize", "u32", "buffer", "u32"], result: "i32" },
  CryptSignHashW: {
    parameters: ["usize", "u32", "pointer", "u32", "buffer", "buffer"],
    result: "i32",
  },
  CryptDestroyHash: { parameters: ["usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
