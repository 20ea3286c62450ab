/** Stories on a modelled Mac, and what they ask of it. */
import assert from "node:assert/strict";
import { Problem } from "../../platform/errors.ts";
import { type KeychainStore, openKeychain } from "../../platform/macos/keychain.ts";
import { keychainPath } from "../../platform/macos/keychain_file.ts";
import { testWith } from "../skip.ts";
import { makeThrowawayCa, type ThrowawayCa } from "../throwaway_ca.ts";
import { useOfKey } from "./browser.ts";
import { fileOf, type ModelKeychain } from "./model_state.ts";
import { ScratchMac } from "./scratch_mac.ts";

/** Registers a story on a modelled Mac; in none of them is the user ever asked anything. */
export function macStory(
  sentence: string,
  body: (mac: ScratchMac, ca: ThrowawayCa) => Promise<void>,
): void {
  testWith(["openssl"], `keychain: ${sentence}`, async () => {
    using mac = new ScratchMac();
    await body(mac, makeThrowawayCa(mac.folder));
    assert.deepEqual(mac.state().prompts, []);
  });
}

export async function useKeychain<T>(
  mac: ScratchMac,
  run: (store: KeychainStore) => Promise<T>,
  create = true,
): Promise<T> {
  const store = openKeychain({ ...mac.options(), create });
  try {
    return await run(store);
  } finally {
    store.close();
  }
}

/** A new key and its leaf. */
export async function install(
  mac: ScratchMac,
  ca: ThrowawayCa,
  look: (store: KeychainStore) => void = () => {},
): Promise<void> {
  await useKeychain(mac, async (store) => {
    const spki = await makeKey(mac, store);
    await store.install("leaf", ca.issue(spki, { subject: "/CN=Leaf" }));
    look(store);
  });
}

export async function removeContents(mac: ScratchMac): Promise<void> {
  await useKeychain(mac, async (store) => {
    const { certificates, keys } = await store.list();
    for (const { sha256 } of certificates) await store.removeCertificate(sha256);
    for (const key of keys) await store.removeKey(key);
  }, false);
}

export async function makeKey(mac: ScratchMac, store: KeychainStore): Promise<Uint8Array> {
  return await store.createKey("P-256", (spki) => void mac.ledger.publicKeys.push(spki));
}

export function path(mac: ScratchMac): string {
  return keychainPath(mac.home, "JumpCloud");
}

export function keychainIn(
  mac: ScratchMac,
  keychains: Readonly<Record<string, ModelKeychain>>,
): ModelKeychain {
  const keychain = keychains[path(mac)];
  assert.ok(keychain, "our keychain is there");
  return keychain;
}

export function keychainOf(mac: ScratchMac): ModelKeychain {
  const state = mac.state();
  assert.ok(Deno.statSync(fileOf(state, path(mac))).isFile);
  return keychainIn(mac, state.keychains);
}

/** What an application meets with the n-th key. */
export function useOf(mac: ScratchMac, application: string, n = 0): string {
  const label = keychainOf(mac).keys[n]?.label ?? "";
  return useOfKey(mac.state(), mac.folder + application, label);
}

export function isWaiting(code: Problem["code"]): (error: unknown) => boolean {
  return (error) => error instanceof Problem && error.code === code && error.waiting;
}

export function isFailure(message: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof Problem && error.code === "internal" && message.test(error.message);
}
