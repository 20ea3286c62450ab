/**
 * Keys in the legacy RSA provider (advapi32.dll), through FFI: for where CNG keeps none, which is
 * Wine. It makes no P-256 keys, and its RSA keys sign PKCS#1 v1.5 only.
 */
import { Problem } from "../errors.ts";
import type { KeyAlgorithm } from "../trust_store.ts";
import * as C from "./csp_symbols.ts";
import { spkiOfCspBlob } from "./key_blobs.ts";
import type { KeyProvider, NewKey } from "./key_provider.ts";
import {
  ERROR_NO_MORE_ITEMS,
  LastError,
  NTE_BAD_KEYSET,
  NTE_NO_KEY,
  WindowsError,
} from "./windows_errors.ts";
import { cell, dword, type Handle, valueOf, wide } from "./windows_memory.ts";

/** A handle that is given back at the end of its block. */
type Held = { handle: Handle } & Disposable;

/** The provider; contexts are held no longer than a call. */
export class CspKeys implements KeyProvider {
  readonly name = "Microsoft Enhanced RSA and AES Cryptographic Provider";
  readonly type = C.PROV_RSA_AES;
  readonly keySpec = C.AT_KEYEXCHANGE;
  readonly algorithms = ["RSA-2048"] as const;

  readonly #advapi32 = Deno.dlopen("advapi32.dll", C.ADVAPI32_SYMBOLS).symbols;
  readonly #last = new LastError();

  generate(algorithm: KeyAlgorithm): NewKey {
    if (algorithm !== "RSA-2048") {
      throw new Problem(
        "internal",
        `The key storage of this Windows (${this.name}) makes no ${algorithm} keys: have the agent ` +
          "server ask for RSA-2048, or use a Windows whose CNG keeps keys.",
      );
    }
    using context = this.#acquire(undefined, C.CRYPT_VERIFYCONTEXT);
    using key = this.#key("CryptGenKey", (out) =>
      this.#advapi32.CryptGenKey(
        context.handle,
        C.AT_KEYEXCHANGE,
        C.RSA2048BIT_KEY | C.CRYPT_EXPORTABLE,
        out,
      ));
    const spki = this.#spki(key);
    const privateKey = this.#export(key, C.PRIVATEKEYBLOB);
    return {
      spki,
      store: (container) => this.#store(container, privateKey),
      [Symbol.dispose]: () => void privateKey.fill(0),
    };
  }

  containers(): string[] {
    using context = this.#acquire(undefined, C.CRYPT_VERIFYCONTEXT);
    const names: string[] = [];
    const name = new Uint8Array(MAX_NAME_BYTES);
    for (let flags = C.CRYPT_FIRST;; flags = C.CRYPT_NEXT) {
      const size = dword(name.length);
      const { handle } = context;
      const ok = this.#advapi32.CryptGetProvParam(handle, C.PP_ENUMCONTAINERS, name, size, flags);
      if (ok === 0) {
        const failure = this.#last.failure("CryptGetProvParam");
        if (failure.code === ERROR_NO_MORE_ITEMS) return names;
        throw failure;
      }
      names.push(new TextDecoder("windows-1252").decode(name.subarray(0, name.indexOf(0))));
    }
  }

  isEmpty(container: string): boolean {
    using context = this.#open(container);
    if (!context) return false;
    return [C.AT_KEYEXCHANGE, C.AT_SIGNATURE].every((keySpec) => {
      using key = this.#userKey(context, keySpec);
      return key === undefined;
    });
  }

  publicKey(container: string): Uint8Array<ArrayBuffer> | undefined {
    using context = this.#open(container);
    using key = context && this.#userKey(context, C.AT_KEYEXCHANGE);
    return key && this.#spki(key);
  }

  sign(container: string, digest: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    using context = this.#open(container);
    if (!context) return undefined;
    const out = cell();
    const made = this.#advapi32.CryptCreateHash(context.handle, C.CALG_SHA_256, 0n, 0, out);
    this.#last.check("CryptCreateHash", made);
    using hash = this.#held(valueOf(out), "CryptDestroyHash");
    const set = this.#advapi32.CryptSetHashParam(hash.handle, C.HP_HASHVAL, digest.slice(), 0);
    this.#last.check("CryptSetHashParam", set);
    const signature = this.#twice(
      "CryptSignHashW",
      (buffer, size) =>
        this.#advapi32.CryptSignHashW(hash.handle, C.AT_KEYEXCHANGE, null, 0, buffer, size),
    );
    // A legacy provider puts the least significant octet first.
    return signature.reverse();
  }

  remove(container: string): void {
    const nothing = cell();
    const ok = this.#advapi32.CryptAcquireContextW(
      nothing,
      wide(container),
      wide(this.name),
      this.type,
      C.CRYPT_DELETEKEYSET | C.CRYPT_SILENT,
    );
    if (ok !== 0) return;
    const failure = this.#last.failure("CryptAcquireContextW");
    if (failure.code !== NTE_BAD_KEYSET) throw failure;
  }

  /** Not one write: whoever is killed within leaves a container without a key. */
  #store(container: string, privateKey: Uint8Array<ArrayBuffer>): void {
    using context = this.#acquire(container, C.CRYPT_NEWKEYSET);
    // Without CRYPT_EXPORTABLE nobody gets it out again.
    using _key = this.#key(
      "CryptImportKey",
      (out) =>
        this.#advapi32.CryptImportKey(context.handle, privateKey, privateKey.length, 0n, 0, out),
    );
  }

  #open(container: string): Held | undefined {
    try {
      return this.#acquire(container, 0);
    } catch (error) {
      if (error instanceof WindowsError && error.code === NTE_BAD_KEYSET) return undefined;
      throw error;
    }
  }

  #acquire(container: string | undefined, flags: number): Held {
    const out = cell();
    const ok = this.#advapi32.CryptAcquireContextW(
      out,
      container === undefined ? null : wide(container),
      wide(this.name),
      this.type,
      (flags | C.CRYPT_SILENT) >>> 0,
    );
    this.#last.check("CryptAcquireContextW", ok);
    const handle = valueOf(out);
    return {
      handle,
      [Symbol.dispose]: () => void this.#advapi32.CryptReleaseContext(handle, 0),
    };
  }

  #userKey(context: Held, keySpec: number): Held | undefined {
    const out = cell();
    if (this.#advapi32.CryptGetUserKey(context.handle, keySpec, out) === 0) {
      const failure = this.#last.failure("CryptGetUserKey");
      if (failure.code === NTE_NO_KEY) return undefined;
      throw failure;
    }
    return this.#held(valueOf(out), "CryptDestroyKey");
  }

  #key(call: string, make: (out: BigUint64Array<ArrayBuffer>) => number): Held {
    const out = cell();
    this.#last.check(call, make(out));
    return this.#held(valueOf(out), "CryptDestroyKey");
  }

  #held(handle: Handle, giveBack: "CryptDestroyKey" | "CryptDestroyHash"): Held {
    return { handle, [Symbol.dispose]: () => void this.#advapi32[giveBack](handle) };
  }

  #spki(key: Held): Uint8Array<ArrayBuffer> {
    return spkiOfCspBlob(this.#export(key, C.PUBLICKEYBLOB));
  }

  #export(key: Held, blobType: number): Uint8Array<ArrayBuffer> {
    return this.#twice(
      "CryptExportKey",
      (buffer, size) => this.#advapi32.CryptExportKey(key.handle, 0n, blobType, 0, buffer, size),
    );
  }

  /** A call that first says how much room it needs. */
  #twice(
    call: string,
    fill: (buffer: Uint8Array<ArrayBuffer> | null, size: Uint32Array<ArrayBuffer>) => number,
  ): Uint8Array<ArrayBuffer> {
    const size = dword();
    this.#last.check(call, fill(null, size));
    const buffer = new Uint8Array(size[0] ?? 0);
    this.#last.check(call, fill(buffer, size));
    return buffer.subarray(0, size[0]);
  }
}

/** A name has at most MAX_PATH characters. */
const MAX_NAME_BYTES = 1024;
