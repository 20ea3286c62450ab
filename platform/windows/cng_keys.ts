/** Keys in the Microsoft Software Key Storage Provider of CNG, through FFI. */
import type { KeyAlgorithm } from "../trust_store.ts";
import * as C from "./cng_symbols.ts";
import { spkiOfCngBlob } from "./key_blobs.ts";
import type { KeyProvider, NewKey } from "./key_provider.ts";
import {
  checkStatus,
  NTE_BAD_KEYSET,
  NTE_NO_MORE_ITEMS,
  NTE_NOT_SUPPORTED,
  WindowsError,
} from "./windows_errors.ts";
import {
  cell,
  dword,
  type Handle,
  readPointer,
  readWide,
  struct,
  textIn,
  valueOf,
  wide,
} from "./windows_memory.ts";

/** How each kind of key is made, and carried from memory into a container. */
const KINDS = {
  "P-256": { algorithm: "ECDSA_P256", bits: 256, blobType: "ECCPRIVATEBLOB" },
  "RSA-2048": { algorithm: "RSA", bits: 2048, blobType: "RSAFULLPRIVATEBLOB" },
} as const satisfies Record<KeyAlgorithm, unknown>;

type Kind = typeof KINDS[KeyAlgorithm];

/** The provider, open for the life of the process. */
export class CngKeys implements KeyProvider {
  readonly name = "Microsoft Software Key Storage Provider";
  readonly type = 0;
  readonly keySpec = 0;
  readonly algorithms = ["P-256", "RSA-2048"] as const;

  readonly #ncrypt = Deno.dlopen("ncrypt.dll", C.NCRYPT_SYMBOLS).symbols;
  readonly #bcrypt = Deno.dlopen("bcrypt.dll", C.BCRYPT_SYMBOLS).symbols;
  readonly #provider: Handle;

  constructor() {
    const provider = cell();
    const status = this.#ncrypt.NCryptOpenStorageProvider(provider, wide(this.name), 0);
    checkStatus("NCryptOpenStorageProvider", status);
    this.#provider = valueOf(provider);
  }

  /** Whether keys outlive the process here: under Wine, a provider has no containers at all. */
  keepsKeys(): boolean {
    try {
      this.#eachContainer(() => false);
      return true;
    } catch (error) {
      if (error instanceof WindowsError && error.code === NTE_NOT_SUPPORTED) return false;
      throw error;
    }
  }

  generate(algorithm: KeyAlgorithm): NewKey {
    const kind = KINDS[algorithm];
    const privateKey = this.#generate(kind);
    const spki = spkiOfCngBlob(privateKey);
    if (!spki) throw new Error(`${kind.blobType} of an unknown kind`);
    return {
      spki,
      store: (container) => this.#store(container, kind, privateKey),
      [Symbol.dispose]: () => void privateKey.fill(0),
    };
  }

  containers(): string[] {
    const names: string[] = [];
    this.#eachContainer((name) => names.push(name) > 0);
    return names;
  }

  /** Never: key and container come in one write. */
  isEmpty(): boolean {
    return false;
  }

  publicKey(container: string): Uint8Array<ArrayBuffer> | undefined {
    using key = this.#open(container);
    if (!key) return undefined;
    const blob = this.#twice("NCryptExportKey", (buffer, size) =>
      this.#ncrypt.NCryptExportKey(
        key.handle,
        0n,
        wide(C.BCRYPT_PUBLIC_KEY_BLOB),
        null,
        buffer,
        buffer?.length ?? 0,
        size,
        C.NCRYPT_SILENT_FLAG,
      ));
    return spkiOfCngBlob(blob);
  }

  sign(container: string, digest: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    using key = this.#open(container);
    if (!key) return undefined;
    const isRsa = this.#algorithmGroup(key.handle) === "RSA";
    const padding = isRsa ? struct(8, [{ at: 0, bytes: wide("SHA256") }]) : null;
    const flags = C.NCRYPT_SILENT_FLAG | (isRsa ? C.BCRYPT_PAD_PKCS1 : 0);
    return this.#twice("NCryptSignHash", (buffer, size) =>
      this.#ncrypt.NCryptSignHash(
        key.handle,
        padding,
        digest.slice(),
        digest.length,
        buffer,
        buffer?.length ?? 0,
        size,
        flags,
      ));
  }

  remove(container: string): void {
    const key = this.#open(container);
    if (!key) return;
    const status = this.#ncrypt.NCryptDeleteKey(key.handle, C.NCRYPT_SILENT_FLAG);
    // Only when it succeeds is the handle gone too.
    if (status !== 0) key[Symbol.dispose]();
    checkStatus("NCryptDeleteKey", status);
  }

  /** A new pair, as the blob of its private half: it never was anywhere but here. */
  #generate({ algorithm, bits, blobType }: Kind): Uint8Array<ArrayBuffer> {
    const [provider, key] = [cell(), cell()];
    const opened = this.#bcrypt.BCryptOpenAlgorithmProvider(provider, wide(algorithm), null, 0);
    checkStatus("BCryptOpenAlgorithmProvider", opened);
    try {
      const made = this.#bcrypt.BCryptGenerateKeyPair(valueOf(provider), key, bits, 0);
      checkStatus("BCryptGenerateKeyPair", made);
      try {
        const finished = this.#bcrypt.BCryptFinalizeKeyPair(valueOf(key), 0);
        checkStatus("BCryptFinalizeKeyPair", finished);
        return this.#twice("BCryptExportKey", (buffer, size) =>
          this.#bcrypt.BCryptExportKey(
            valueOf(key),
            0n,
            wide(blobType),
            buffer,
            buffer?.length ?? 0,
            size,
            0,
          ));
      } finally {
        this.#bcrypt.BCryptDestroyKey(valueOf(key));
      }
    } finally {
      this.#bcrypt.BCryptCloseAlgorithmProvider(valueOf(provider), 0);
    }
  }

  /** One write, at the end: whoever is killed before it has stored nothing. */
  #store(container: string, { blobType }: Kind, privateKey: Uint8Array<ArrayBuffer>): void {
    const name = wide(container);
    // An NCryptBufferDesc, and behind it the one NCryptBuffer that it describes.
    const parameters = struct(32, [
      { at: 4, dword: 1 },
      { at: 8, inside: 16 },
      { at: 16, dword: name.length },
      { at: 20, dword: C.NCRYPTBUFFER_PKCS_KEY_NAME },
      { at: 24, bytes: name },
    ]);
    const key = cell();
    const imported = this.#ncrypt.NCryptImportKey(
      this.#provider,
      0n,
      wide(blobType),
      parameters,
      key,
      privateKey,
      privateKey.length,
      C.NCRYPT_DO_NOT_FINALIZE_FLAG | C.NCRYPT_SILENT_FLAG,
    );
    checkStatus("NCryptImportKey", imported);
    try {
      const forbidden = this.#ncrypt.NCryptSetProperty(
        valueOf(key),
        wide(C.NCRYPT_EXPORT_POLICY_PROPERTY),
        dword(0),
        4,
        C.NCRYPT_PERSIST_FLAG,
      );
      checkStatus("NCryptSetProperty", forbidden);
      const stored = this.#ncrypt.NCryptFinalizeKey(valueOf(key), C.NCRYPT_SILENT_FLAG);
      checkStatus("NCryptFinalizeKey", stored);
    } finally {
      this.#ncrypt.NCryptFreeObject(valueOf(key));
    }
  }

  #open(container: string): ({ handle: Handle } & Disposable) | undefined {
    const key = cell();
    const status = this.#ncrypt.NCryptOpenKey(
      this.#provider,
      key,
      wide(container),
      0,
      C.NCRYPT_SILENT_FLAG,
    );
    if (status >>> 0 === NTE_BAD_KEYSET) return undefined;
    checkStatus("NCryptOpenKey", status);
    const handle = valueOf(key);
    return { handle, [Symbol.dispose]: () => void this.#ncrypt.NCryptFreeObject(handle) };
  }

  #algorithmGroup(key: Handle): string {
    return textIn(this.#twice("NCryptGetProperty", (buffer, size) =>
      this.#ncrypt.NCryptGetProperty(
        key,
        wide(C.NCRYPT_ALGORITHM_GROUP_PROPERTY),
        buffer,
        buffer?.length ?? 0,
        size,
        C.NCRYPT_SILENT_FLAG,
      )));
  }

  /** Visits the names until told to stop. */
  #eachContainer(goesOn: (name: string) => boolean): void {
    const state = cell();
    try {
      for (;;) {
        const found = cell();
        const status = this.#ncrypt.NCryptEnumKeys(
          this.#provider,
          null,
          found,
          state,
          C.NCRYPT_SILENT_FLAG,
        );
        if (status >>> 0 === NTE_NO_MORE_ITEMS) return;
        checkStatus("NCryptEnumKeys", status);
        const name = readWide(readPointer(valueOf(found), 0));
        this.#ncrypt.NCryptFreeBuffer(valueOf(found));
        if (!goesOn(name)) return;
      }
    } finally {
      if (valueOf(state) !== 0n) this.#ncrypt.NCryptFreeBuffer(valueOf(state));
    }
  }

  /** A call that first says how much room it needs. */
  #twice(
    call: string,
    fill: (buffer: Uint8Array<ArrayBuffer> | null, size: Uint32Array<ArrayBuffer>) => number,
  ): Uint8Array<ArrayBuffer> {
    const size = dword();
    checkStatus(call, fill(null, size));
    const buffer = new Uint8Array(size[0] ?? 0);
    checkStatus(call, fill(buffer, size));
    return buffer.subarray(0, size[0]);
  }
}
