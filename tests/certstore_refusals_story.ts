/** certstore where Windows says no, on Windows or in Wine: in words, and with nothing half done. */
import assert from "node:assert/strict";
import { Problem } from "../platform/errors.ts";
import type { TrustStore } from "../platform/trust_store.ts";
import { keyProvider } from "../platform/windows/key_provider.ts";
import { SystemStore } from "../platform/windows/system_store.ts";
import { WindowsError } from "../platform/windows/windows_errors.ts";
import { newPlace } from "./certstore_places.ts";
import { makeLibraryCa } from "./library_ca.ts";

const E_ACCESSDENIED = 0x80070005;
const NTE_DEVICE_NOT_READY = 0x80090030;
const NTE_TEMPORARY_PROFILE = 0x80090024;

const provider = keyProvider();
const [algorithm] = provider.algorithms;

/** Runs a test in stores of its own while a method of this object is another. */
async function instead<Name extends string, Part extends Record<Name, unknown>>(
  part: Part,
  name: Name,
  other: Part[Name],
  test: () => Promise<void>,
): Promise<void> {
  const own = Object.getOwnPropertyDescriptor(part, name);
  Object.defineProperty(part, name, { value: other, configurable: true, writable: true });
  try {
    await test();
  } finally {
    if (own) Object.defineProperty(part, name, own);
    else Reflect.deleteProperty(part, name);
  }
}

async function inNewStores(test: (store: TrustStore) => Promise<void>): Promise<void> {
  const place = newPlace();
  const store = place.open();
  try {
    await test(store);
  } finally {
    store.close();
    place.dispose();
  }
}

function refusal(words: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, "internal");
    assert.match(error.message, words);
    return true;
  };
}

Deno.test("a key storage that makes no key is told, and nothing is recorded", () =>
  inNewStores(async (store) => {
    const before = provider.containers();
    const failing = () => {
      throw new WindowsError("NCryptCreatePersistedKey", NTE_DEVICE_NOT_READY);
    };
    await instead(provider, "generate", failing, async () => {
      const making = store.createKey(algorithm, () => assert.fail("recorded"));
      await assert.rejects(making, refusal(/NTE_DEVICE_NOT_READY/));
    });
    assert.deepEqual(provider.containers(), before);
    // As soon as it works again, so do we.
    const spki = await store.createKey(algorithm, () => {});
    assert.deepEqual((await store.list()).keys.length, 1);
    assert.ok(spki.length > 80);
  }));

Deno.test("a key that cannot be kept was recorded, and is not there", () =>
  inNewStores(async (store) => {
    const { generate } = provider;
    const unkept: typeof generate = (wanted) => {
      const key = generate.call(provider, wanted);
      return {
        spki: key.spki,
        store() {
          throw new WindowsError("NCryptFinalizeKey", NTE_TEMPORARY_PROFILE);
        },
        [Symbol.dispose]: () => key[Symbol.dispose](),
      };
    };
    const recorded: string[] = [];
    await instead(provider, "generate", unkept, async () => {
      const making = store.createKey(algorithm, (_spki, id) => void recorded.push(id));
      await assert.rejects(making, refusal(/temporary profile.*repair the user's profile/));
    });
    assert.equal(recorded.length, 1);
    assert.deepEqual((await store.list()).keys, []);
    // The ledger has it removed: that it is not there is success.
    await store.removeKey(recorded[0] ?? "");
  }));

Deno.test("a Personal store that a policy locks is told; the key stays for the next try", () =>
  inNewStores(async (store) => {
    const ca = makeLibraryCa("");
    const spki = await store.createKey(algorithm, () => {});
    const leaf = ca.issue(spki, { subject: "/CN=Locked out" });
    const locked = () => {
      throw new WindowsError("CertAddCertificateContextToStore", E_ACCESSDENIED);
    };
    await instead(SystemStore.prototype, "add", locked, () =>
      assert.rejects(
        store.install("leaf", leaf),
        refusal(/E_ACCESSDENIED.*a policy or an access list forbids it\. An administrator/),
      ));
    const { certificates, keys } = await store.list();
    assert.deepEqual([certificates.length, keys.length], [0, 1]);
    await store.install("leaf", leaf);
    assert.equal((await store.list()).certificates.length, 1);
  }));
