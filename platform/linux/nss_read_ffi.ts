/**
 * An NSS database through Deno FFI, read as a browser reads it and never written: one checked call
 * each, no policy. As in nss_ffi.ts every call blocks, layouts are LP64, and a returned
 * {@link Handle} is the caller's to give back with the call that its comment names.
 */
import { NssMissing, NssResults } from "./nss_errors.ts";
import { copyItem, cString, type Handle, secItem, walkList } from "./nss_memory.ts";

/** NSS_InitContext flags (nss.h). */
const NSS_INIT_READONLY = 0x1;
const NSS_INIT_NOMODDB = 0x4;
const NSS_INIT_NOROOTINIT = 0x10;

/** SECCertUsage (certt.h). */
const certUsageSSLClient = 0;

/** CERTDB_TRUSTED_CA (certdb.h): may issue certificates of TLS servers. */
const CERTDB_TRUSTED_CA = 0x10;
/** TRUSTED, TRUSTED_CA, NS_TRUSTED_CA, TRUSTED_CLIENT_CA; not USER, which says that a key is there. */
const CERTDB_ANY_TRUST = 0xb2;

const PR_FALSE = 0;
const SECSuccess = 0;

/** offsetof in struct CERTCertificateStr (certt.h): derCert, derIssuer, derSubject, issuer. */
const CERT_DER = 120;
const CERT_DER_ISSUER = 144;
const CERT_DER_SUBJECT = 168;
const CERT_ISSUER = 336;

const NSS_SYMBOLS = {
  NSS_InitContext: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "pointer", "u32"],
    result: "pointer",
  },
  NSS_ShutdownContext: { parameters: ["pointer"], result: "i32" },
  PK11_GetInternalKeySlot: { parameters: [], result: "pointer" },
  PK11_FreeSlot: { parameters: ["pointer"], result: "void" },
  PK11_NeedLogin: { parameters: ["pointer"], result: "i32" },
  PK11_CheckUserPassword: { parameters: ["pointer", "buffer"], result: "i32" },
  PK11_ListCertsInSlot: { parameters: ["pointer"], result: "pointer" },
  PK11_FindKeyByAnyCert: { parameters: ["pointer", "pointer"], result: "pointer" },
  SECKEY_DestroyPrivateKey: { parameters: ["pointer"], result: "void" },
  CERT_GetDefaultCertDB: { parameters: [], result: "pointer" },
  CERT_FindUserCertsByUsage: {
    parameters: ["pointer", "i32", "i32", "i32", "pointer"],
    result: "pointer",
  },
  CERT_FindCertByName: { parameters: ["pointer", "buffer"], result: "pointer" },
  CERT_GetCertTrust: { parameters: ["pointer", "buffer"], result: "i32" },
  CERT_GetCertTimes: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  CERT_GetCommonName: { parameters: ["pointer"], result: "pointer" },
  CERT_DerNameToAscii: { parameters: ["buffer"], result: "pointer" },
  CERT_DupCertificate: { parameters: ["pointer"], result: "pointer" },
  CERT_DestroyCertificate: { parameters: ["pointer"], result: "void" },
  CERT_DestroyCertList: { parameters: ["pointer"], result: "void" },
  PORT_Free: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** A certificate of the database, with what choosing it takes. Names are DER. */
export interface DatabaseEntry {
  /** Give back: destroyCertificate. */
  handle: Handle;
  der: Uint8Array<ArrayBuffer>;
  issuer: Uint8Array<ArrayBuffer>;
  subject: Uint8Array<ArrayBuffer>;
}

/** The loaded library; it stays loaded for the life of the process. */
export class NssReader {
  readonly #nss = Deno.dlopen("libnss3.so", NSS_SYMBOLS).symbols;
  readonly #results = new NssResults();

  static #loaded: NssReader | undefined;

  /** @throws NssMissing */
  static load(): NssReader {
    try {
      return NssReader.#loaded ??= new NssReader();
    } catch (cause) {
      throw new NssMissing("the library libnss3 cannot be loaded", { cause });
    }
  }

  /** Starts NSS with this database, read-only, and none of its modules. Give back: close. */
  openReadOnly(directory: string): Handle {
    const none = cString("");
    const flags = NSS_INIT_READONLY | NSS_INIT_NOMODDB | NSS_INIT_NOROOTINIT;
    const path = cString(`sql:${directory}`);
    const context = this.#nss.NSS_InitContext(path, none, none, cString("secmod.db"), null, flags);
    return this.#results.need("NSS_InitContext", context);
  }

  /** Fails with SEC_ERROR_BUSY while a handle has not been given back. */
  close(context: Handle): void {
    this.#results.check("NSS_ShutdownContext", this.#nss.NSS_ShutdownContext(context));
  }

  /** Whether the keys are out of reach without a password. */
  isLocked(): boolean {
    return this.#withSlot((slot) =>
      this.#nss.PK11_NeedLogin(slot) !== 0 &&
      this.#nss.PK11_CheckUserPassword(slot, cString("")) !== SECSuccess
    );
  }

  /** Every certificate of the database. Give back: destroyCertificate, each handle. */
  certificates(): DatabaseEntry[] {
    return this.#withSlot((slot) =>
      this.#entries(
        this.#results.need("PK11_ListCertsInSlot", this.#nss.PK11_ListCertsInSlot(slot)),
      )
    );
  }

  /**
   * Certificates with a private key, for TLS clients by their usages: where Chromium begins. Give
   * back: destroyCertificate, each handle.
   */
  clientCertificates(): DatabaseEntry[] {
    const database = this.#nss.CERT_GetDefaultCertDB();
    const list = this.#nss.CERT_FindUserCertsByUsage(
      database,
      certUsageSSLClient,
      PR_FALSE,
      PR_FALSE,
      null,
    );
    return list === null ? [] : this.#entries(list);
  }

  /** The certificate of that subject (DER) that NSS prefers. Give back: destroyCertificate. */
  findByName(subject: Uint8Array): DatabaseEntry | undefined {
    const database = this.#nss.CERT_GetDefaultCertDB();
    const handle = this.#nss.CERT_FindCertByName(database, secItem(subject));
    return handle === null ? undefined : entry(handle);
  }

  destroyCertificate(certificate: Handle): void {
    this.#nss.CERT_DestroyCertificate(certificate);
  }

  /** Whether the database holds the private key of a certificate. */
  hasPrivateKey(certificate: Handle): boolean {
    const key = this.#nss.PK11_FindKeyByAnyCert(certificate, null);
    if (key !== null) this.#nss.SECKEY_DestroyPrivateKey(key);
    return key !== null;
  }

  /** Whether the database trusts a certificate to issue those of TLS servers. */
  mayIssueServers(certificate: Handle): boolean {
    return ((this.#trust(certificate)[0] ?? 0) & CERTDB_TRUSTED_CA) !== 0;
  }

  /** Whether the database trusts a certificate for anything: TLS, e-mail or code. */
  isTrusted(certificate: Handle): boolean {
    return this.#trust(certificate).some((flags) => (flags & CERTDB_ANY_TRUST) !== 0);
  }

  /** The issuer's common name; "" where it has none. */
  issuerCommonName(certificate: Handle): string {
    const issuer = Deno.UnsafePointer.offset(certificate, CERT_ISSUER);
    return this.#text(this.#nss.CERT_GetCommonName(issuer)) ?? "";
  }

  /** First and last instant of its validity, milliseconds since 1970. */
  validity(certificate: Handle): { notBefore: number; notAfter: number } {
    // PRTime: microseconds.
    const [from, to] = [new BigInt64Array(1), new BigInt64Array(1)];
    const [fromCell, toCell] = [new Uint8Array(from.buffer), new Uint8Array(to.buffer)];
    const status = this.#nss.CERT_GetCertTimes(certificate, fromCell, toCell);
    this.#results.check("CERT_GetCertTimes", status);
    return { notBefore: Number(from[0] ?? 0n) / 1000, notAfter: Number(to[0] ?? 0n) / 1000 };
  }

  /** A DER name for people, as in RFC 4514. */
  nameText(name: Uint8Array): string {
    return this.#text(this.#nss.CERT_DerNameToAscii(secItem(name))) ?? "(no name)";
  }

  /** CERTCertTrust (certt.h): flags for TLS, e-mail and code. */
  #trust(certificate: Handle): number[] {
    const trust = new Uint32Array(3);
    // Fails for a certificate without a record of trust.
    const status = this.#nss.CERT_GetCertTrust(certificate, new Uint8Array(trust.buffer));
    return status === SECSuccess ? [...trust] : [];
  }

  /** Takes the list. */
  #entries(list: Handle): DatabaseEntry[] {
    const entries = walkList(list).map((certificate) => entry(this.#dup(certificate)));
    this.#nss.CERT_DestroyCertList(list);
    return entries;
  }

  #dup(certificate: Handle): Handle {
    return this.#results.need("CERT_DupCertificate", this.#nss.CERT_DupCertificate(certificate));
  }

  #withSlot<T>(work: (slot: Handle) => T): T {
    const slot = this.#results.need("PK11_GetInternalKeySlot", this.#nss.PK11_GetInternalKeySlot());
    try {
      return work(slot);
    } finally {
      this.#nss.PK11_FreeSlot(slot);
    }
  }

  /** Takes the string. */
  #text(pointer: Deno.PointerValue): string | undefined {
    if (pointer === null) return undefined;
    const text = Deno.UnsafePointerView.getCString(pointer);
    this.#nss.PORT_Free(pointer);
    return text;
  }
}

function entry(handle: Handle): DatabaseEntry {
  return {
    handle,
    der: copyItem(handle, CERT_DER),
    issuer: copyItem(handle, CERT_DER_ISSUER),
    subject: copyItem(handle, CERT_DER_SUBJECT),
  };
}
