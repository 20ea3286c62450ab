/** What an application meets when it wants to sign with a key in a keychain. */
import { createPrivateKey, sign } from "node:crypto";
import { partitionOf, requirementOf } from "./codesign_program.ts";
import { keychainAt, type MacState, type ModelKey } from "./model_state.ts";
import { findKey } from "./security_items.ts";

/** `silent` is what users want; the others say what keeps it from being so. */
export type KeyUse =
  | "silent"
  | "no key in the search list"
  | "asks: keychain locked"
  | "asks: not in the access list"
  | "asks: not in the partition list";

/** What the application at `path` meets with the key of this label. */
export function useOfKey(state: MacState, path: string, label: string): KeyUse {
  const place = findKey(state, label);
  const keychain = place === undefined ? undefined : keychainAt(state, place);
  const key = keychain?.keys.find((key) => key.label === label.toUpperCase());
  if (!keychain || !key) return "no key in the search list";
  if (keychain.locked) return "asks: keychain locked";
  const code = state.code[path];
  if (!code || !key.applications.includes(requirementOf(code))) {
    return "asks: not in the access list";
  }
  const isIn = key.partitions.includes(partitionOf(code));
  return isIn ? "silent" : "asks: not in the partition list";
}

/** What SecKeyCreateSignature gives: ECDSA in DER, or RSA PKCS#1 v1.5, with SHA-256. */
export function signWith(key: ModelKey, message: Uint8Array): Uint8Array {
  const pkcs8 = Buffer.from(Uint8Array.fromBase64(key.pkcs8));
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return new Uint8Array(sign("sha256", message, { key: privateKey, dsaEncoding: "der" }));
}
