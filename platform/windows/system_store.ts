/** One of Windows' certificate stores (crypt32.dll), through FFI: checked calls, no policy. */
import * as C from "./crypt32_symbols.ts";
import { LastError } from "./windows_errors.ts";
import {
  dataBlob,
  dword,
  type Handle,
  struct,
  textBehind,
  textIn,
  wide,
} from "./windows_memory.ts";

/** A store by name: of the user that this process runs as, or of the computer. */
export interface StoreName {
  of: "user" | "machine";
  /** `MY`, `CA`, `Root`, or any other. */
  name: string;
}

/** Where a certificate's private key is, for the programs that use it. */
export interface KeyLink {
  container: string;
  /** Provider, its type and the key in the container, as a `KeyProvider` says. */
  name: string;
  type: number;
  keySpec: number;
}

/** What goes with a certificate into a store, and comes out with it. */
export interface CertificateProperties {
  /** What people see beside its subject. */
  friendlyName?: string;
  /** Not set: the certificate has no private key. */
  keyLink?: KeyLink;
  /** DER ExtendedKeyUsage: what it may be used for at all, whatever it says itself. */
  usage?: Uint8Array;
}

/** A certificate as the store holds it. */
export interface SystemCertificate extends Omit<CertificateProperties, "keyLink"> {
  der: Uint8Array<ArrayBuffer>;
  /** The container alone: with a foreign provider there may be no more. */
  container?: string;
}

/** The name as Windows' own tools show it. */
export function displayName({ of, name }: StoreName): string {
  return `${of === "user" ? "CurrentUser" : "LocalMachine"}\\${name}`;
}

/** An open store. A change is there for others, and stays, once `commit` is done. */
export class SystemStore implements Disposable {
  readonly #crypt32: Crypt32;
  readonly #handle: Handle;

  /**
   * Opens it, making it when it is missing, with as many rights as the account has. Of all stores
   * but `MY`, the user's show the computer's too: seen here is what is in this one itself.
   *
   * @throws WindowsError
   */
  constructor({ of, name }: StoreName) {
    this.#crypt32 = Crypt32.load();
    const provider = name.toUpperCase() === "MY"
      ? C.CERT_STORE_PROV_SYSTEM_W
      : C.CERT_STORE_PROV_SYSTEM_REGISTRY_W;
    const flags = C.CERT_STORE_MAXIMUM_ALLOWED_FLAG |
      (of === "user" ? C.CERT_SYSTEM_STORE_CURRENT_USER : C.CERT_SYSTEM_STORE_LOCAL_MACHINE);
    const handle = this.#crypt32.symbols.CertOpenStore(provider, 0, 0n, flags, wide(name));
    this.#handle = this.#crypt32.check("CertOpenStore", handle);
  }

  /** Everything in it. */
  certificates(): SystemCertificate[] {
    const found: SystemCertificate[] = [];
    this.#each((context) => {
      found.push(this.#read(context));
      return "next";
    });
    return found;
  }

  /** Adds a certificate with its properties in one write; one that is there already is an error. */
  add(der: Uint8Array, properties: CertificateProperties): void {
    const { symbols } = this.#crypt32;
    const bytes = der.slice();
    const made = symbols.CertCreateCertificateContext(C.X509_ASN_ENCODING, bytes, bytes.length);
    const context = this.#crypt32.check("CertCreateCertificateContext", made);
    try {
      const { friendlyName, usage, keyLink } = properties;
      if (friendlyName !== undefined) {
        this.#set(context, C.CERT_FRIENDLY_NAME_PROP_ID, dataBlob(wide(friendlyName)));
      }
      if (usage) this.#set(context, C.CERT_ENHKEY_USAGE_PROP_ID, dataBlob(usage));
      if (keyLink) this.#set(context, C.CERT_KEY_PROV_INFO_PROP_ID, keyProvInfo(keyLink));
      const added = symbols.CertAddCertificateContextToStore(
        this.#handle,
        context,
        C.CERT_STORE_ADD_NEW,
        null,
      );
      this.#crypt32.check("CertAddCertificateContextToStore", added);
    } finally {
      symbols.CertFreeCertificateContext(context);
    }
  }

  /** Deletes the certificates that this says of; gives how many. */
  remove(isIt: (certificate: SystemCertificate) => boolean): number {
    for (let removed = 0;; removed++) {
      let deleted: number | undefined;
      this.#each((context) => {
        if (!isIt(this.#read(context))) return "next";
        // Frees the context, whatever it answers: the search begins anew.
        deleted = this.#crypt32.symbols.CertDeleteCertificateFromStore(context);
        return "taken";
      });
      if (deleted === undefined) return removed;
      this.#crypt32.check("CertDeleteCertificateFromStore", deleted);
    }
  }

  /** Writes what was changed. Without it a change may be lost although its call succeeded. */
  commit(): void {
    const { symbols } = this.#crypt32;
    const committed = symbols.CertControlStore(this.#handle, 0, C.CERT_STORE_CTRL_COMMIT, null);
    this.#crypt32.check("CertControlStore", committed);
  }

  [Symbol.dispose](): void {
    this.#crypt32.symbols.CertCloseStore(this.#handle, 0);
  }

  /** Visits certificates until the end, or until one's context is taken by the visitor. */
  #each(visit: (context: Deno.PointerObject) => "next" | "taken"): void {
    const { symbols } = this.#crypt32;
    let context: Deno.PointerValue = null;
    for (;;) {
      // Frees the context before.
      context = symbols.CertEnumCertificatesInStore(this.#handle, context);
      if (context === null) return;
      let isOurs = true;
      try {
        isOurs = visit(context) === "next";
      } catch (error) {
        symbols.CertFreeCertificateContext(context);
        throw error;
      }
      if (!isOurs) return;
    }
  }

  #read(context: Deno.PointerObject): SystemCertificate {
    const container = this.#container(context);
    const friendlyName = this.#property(context, C.CERT_FRIENDLY_NAME_PROP_ID);
    const usage = this.#property(context, C.CERT_ENHKEY_USAGE_PROP_ID);
    return {
      der: derOf(context),
      ...(container === undefined ? {} : { container }),
      ...(friendlyName && { friendlyName: textIn(friendlyName) }),
      ...(usage && { usage }),
    };
  }

  #container(context: Deno.PointerObject): string | undefined {
    const info = this.#property(context, C.CERT_KEY_PROV_INFO_PROP_ID);
    return info && textBehind(info, 0);
  }

  #set(context: Deno.PointerObject, property: number, value: Uint8Array<ArrayBuffer>): void {
    const set = this.#crypt32.symbols.CertSetCertificateContextProperty(
      context,
      property,
      0,
      value,
    );
    this.#crypt32.check("CertSetCertificateContextProperty", set);
  }

  #property(context: Deno.PointerObject, property: number): Uint8Array<ArrayBuffer> | undefined {
    const call = "CertGetCertificateContextProperty";
    const size = dword();
    // It fails for one reason only: there is no such property.
    if (this.#crypt32.symbols[call](context, property, null, size) === 0) return undefined;
    const value = new Uint8Array(size[0] ?? 0);
    this.#crypt32.check(call, this.#crypt32.symbols[call](context, property, value, size));
    return value;
  }
}

/** The library; it stays loaded for the life of the process. */
class Crypt32 extends LastError {
  readonly symbols = Deno.dlopen("crypt32.dll", C.CRYPT32_SYMBOLS).symbols;

  static #loaded: Crypt32 | undefined;

  static load(): Crypt32 {
    return Crypt32.#loaded ??= new Crypt32();
  }
}

/** A copy of what CERT_CONTEXT has: BYTE *pbCertEncoded at 8, DWORD cbCertEncoded at 16. */
function derOf(context: Deno.PointerObject): Uint8Array<ArrayBuffer> {
  const view = new Deno.UnsafePointerView(context);
  const encoded = view.getPointer(8);
  if (encoded === null) return new Uint8Array();
  const length = view.getUint32(16);
  return new Uint8Array(new Deno.UnsafePointerView(encoded).getArrayBuffer(length)).slice();
}

/** CRYPT_KEY_PROV_INFO: container, provider, type, flags, parameters (none), key. */
function keyProvInfo({ container, name, type, keySpec }: KeyLink): Uint8Array<ArrayBuffer> {
  return struct(48, [
    { at: 0, bytes: wide(container) },
    { at: 8, bytes: wide(name) },
    { at: 16, dword: type },
    { at: 40, dword: keySpec },
  ]);
}
