/**
 * Where Windows keeps private keys: in named containers of a provider, each of this user alone.
 * CNG's provider where it keeps keys, as on every supported Windows; the legacy one otherwise.
 */
import type { KeyAlgorithm } from "../trust_store.ts";
import { CngKeys } from "./cng_keys.ts";
import { CspKeys } from "./csp_keys.ts";

/** A key pair that exists in memory only, until it is stored. */
export interface NewKey extends Disposable {
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array<ArrayBuffer>;
  /** Stores it in a new container; no call exports it from there. @throws WindowsError */
  store(container: string): void;
  /** Overwrites what memory holds of it. */
  [Symbol.dispose](): void;
}

/** A provider of keys. Its calls never show a dialog; they throw WindowsError. */
export interface KeyProvider {
  /** As CRYPT_KEY_PROV_INFO has it (wincrypt.h), so that programs find a certificate's key. */
  readonly name: string;
  readonly type: number;
  readonly keySpec: number;
  /** What keys it can make, the preferred first. */
  readonly algorithms: readonly [KeyAlgorithm, ...KeyAlgorithm[]];
  generate(algorithm: KeyAlgorithm): NewKey;
  /** The names of all containers of this user, whoever made them. */
  containers(): string[];
  /** Whether there is a container without any key in it, as a maker leaves it who is killed. */
  isEmpty(container: string): boolean;
  /** DER SubjectPublicKeyInfo of the key in a container; undefined when there is none of our kinds. */
  publicKey(container: string): Uint8Array<ArrayBuffer> | undefined;
  /**
   * Signs a SHA-256 digest: r and s concatenated, or PKCS#1 v1.5. Undefined when there is no such
   * container.
   */
  sign(container: string, digest: Uint8Array): Uint8Array<ArrayBuffer> | undefined;
  /** Removes a container with its key; absent is success. */
  remove(container: string): void;
}

/** The provider for this machine: asked once, by what it can do and not by Windows' version. */
export function keyProvider(): KeyProvider {
  return chosen ??= choose();
}

function choose(): KeyProvider {
  const cng = new CngKeys();
  return cng.keepsKeys() ? cng : new CspKeys();
}

let chosen: KeyProvider | undefined;
