/** Keys for simulated stores: making them is slow, and a life needs only that they differ. */
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { KeyAlgorithm } from "../../platform/trust_store.ts";

/** A key pair as a store holds it. */
export interface PooledKey {
  key: KeyObject;
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array<ArrayBuffer>;
  /** Its SHA-256, lower-case hexadecimal. */
  spkiSha256: string;
}

/** Shared by all lives of this process; within one life no key is given twice. */
const POOL: Record<KeyAlgorithm, PooledKey[]> = { "P-256": [], "RSA-2048": [] };

/** One life's keys. */
export class Keys {
  readonly #given = { "P-256": 0, "RSA-2048": 0 };

  /** A key that this life has not had. */
  next(algorithm: KeyAlgorithm): PooledKey {
    const at = this.#given[algorithm]++;
    return POOL[algorithm][at] ??= makeKey(algorithm);
  }
}

function makeKey(algorithm: KeyAlgorithm): PooledKey {
  const { publicKey, privateKey: key } = algorithm === "P-256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
  return { key, spki, spkiSha256: createHash("sha256").update(spki).digest("hex") };
}
