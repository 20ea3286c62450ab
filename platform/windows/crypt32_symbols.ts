/** What of crypt32.dll is called, and the constants that go in, by their C names (wincrypt.h). */

export const X509_ASN_ENCODING = 0x1;

/** CertOpenStore providers: a store with its siblings, and what the registry holds of it alone. */
export const CERT_STORE_PROV_SYSTEM_W = 10n;
export const CERT_STORE_PROV_SYSTEM_REGISTRY_W = 13n;

/** CertOpenStore flags. */
export const CERT_STORE_MAXIMUM_ALLOWED_FLAG = 0x1000;
export const CERT_SYSTEM_STORE_CURRENT_USER = 0x10000;
export const CERT_SYSTEM_STORE_LOCAL_MACHINE = 0x20000;

export const CERT_STORE_CTRL_COMMIT = 3;

/** CertAddCertificateContextToStore disposition: fails when it is there. */
export const CERT_STORE_ADD_NEW = 1;

/** Properties of a certificate. */
export const CERT_KEY_PROV_INFO_PROP_ID = 2;
export const CERT_ENHKEY_USAGE_PROP_ID = 9;
export const CERT_FRIENDLY_NAME_PROP_ID = 11;

export const CRYPT32_SYMBOLS = {
  CertOpenStore: { parameters: ["usize", "u32", "usize", "u32", "buffer"], result: "usize" },
  CertCloseStore: { parameters: ["usize", "u32"], result: "i32" },
  CertControlStore: { parameters: ["usize", "u32", "u32", "pointer"], result: "i32" },
  CertEnumCertificatesInStore: { parameters: ["usize", "pointer"], result: "pointer" },
  CertCreateCertificateContext: { parameters: ["u32", "buffer", "u32"], result: "pointer" },
  CertFreeCertificateContext: { parameters: ["pointer"], result: "i32" },
  CertGetCertificateContextProperty: {
    parameters: ["pointer", "u32", "buffer", "buffer"],
    result: "i32",
  },
  CertSetCertificateContextProperty: {
    parameters: ["pointer", "u32", "u32", "buffer"],
    result: "i32",
  },
  CertAddCertificateContextToStore: {
    parameters: ["usize", "pointer", "u32", "pointer"],
    result: "i32",
  },
  CertDeleteCertificateFromStore: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
