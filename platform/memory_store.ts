// deno-lint-ignore-file require-await -- the interface is asynchronous, memory is not
/**
 * A trust store in this process's memory, gone with it: for a platform whose own store cannot be
 * moved (`--root` and `demo` on macOS and Windows), and for tests.
 */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  X509Certificate,
} from "node:crypto";
import { Problem } from "./errors.ts";
import type { KeyAlgorithm, TrustStore } from "./trust_store.ts";

/** What a memory store holds, so that opening it again finds it and tests can plant things. */
export interface MemoryStoreState {
  /** Private keys by the SHA-256 of their SPKI, lower-case hexadecimal. */
  keys: Map<string, KeyObject>;
  /** DER certificates by their SHA-256. */
  certificates: Map<string, Uint8Array>;
}

/** A state that holds nothing. */
export function emptyMemoryStore(): MemoryStoreState {
  return { keys: new Map(), certificates: new Map() };
}

/** Opens a store over `state`, which outlives it. */
export function openMemoryStore(state: MemoryStoreState = emptyMemoryStore()): TrustStore {
  let closed = false;
  const opened = () => {
    if (closed) throw new Problem("internal", "The memory store is closed.");
    return state;
  };
  return {
    kind: "memory",
    location: "memory of this process",

    async createKey(algorithm, record) {
      const { keys } = opened();
      const { publicKey, privateKey } = generateKeyPair(algorithm);
      const spki = encodeSpki(publicKey);
      const spkiSha256 = sha256(spki);
      record(spki, spkiSha256);
      keys.set(spkiSha256, privateKey);
      return spki;
    },

    async sign(spkiSha256, message) {
      const key = opened().keys.get(spkiSha256);
      if (!key) throw new Problem("internal", `There is no key ${spkiSha256} in memory.`);
      return new Uint8Array(signBytes("sha256", message, { key, dsaEncoding: "ieee-p1363" }));
    },

    async install(role, der) {
      const { keys, certificates } = opened();
      if (role === "leaf" && !keys.has(certifiedKey(der))) {
        throw new Problem("internal", "The leaf is not installed: its key is not in the store.");
      }
      certifiedKey(der);
      certificates.set(sha256(der), der.slice());
    },

    async list() {
      const { keys, certificates } = opened();
      return {
        certificates: [...certificates].map(([hash, der]) => ({
          der: der.slice(),
          sha256: hash,
          hasKey: keys.has(certifiedKey(der)),
        })),
        keys: [...keys.keys()],
      };
    },

    async removeCertificate(hash) {
      opened().certificates.delete(hash);
    },

    async removeKey(spkiSha256) {
      const { keys, certificates } = opened();
      if ([...certificates.values()].some((der) => certifiedKey(der) === spkiSha256)) {
        throw new Problem(
          "internal",
          `The key ${spkiSha256} is not removed: a certificate needs it. Remove that first.`,
        );
      }
      keys.delete(spkiSha256);
    },

    close() {
      closed = true;
    },
  };
}

function generateKeyPair(algorithm: KeyAlgorithm) {
  return algorithm === "P-256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
}

/** SHA-256 of the SPKI that a certificate is for. */
function certifiedKey(der: Uint8Array): string {
  try {
    return sha256(encodeSpki(new X509Certificate(der).publicKey));
  } catch (cause) {
    throw new Problem("internal", "What was to be installed is not a DER certificate.", { cause });
  }
}

function encodeSpki(key: KeyObject): Uint8Array<ArrayBuffer> {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
