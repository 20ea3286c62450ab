/** nssdb killed, and nssdb failing, at each call into NSS: nothing unrecorded, nothing leaked. */
import assert from "node:assert/strict";
import { Nss, NssError } from "../platform/linux/nss_ffi.ts";
import type { NssdbStore } from "../platform/linux/nssdb.ts";
import { certutilKeys, certutilTrust, nssTest, objectCount, sha256 } from "./nss_witness.ts";

const CHILD = new URL("./nssdb_crash_child.ts", import.meta.url).pathname;

/** What the child recorded before it stored anything: SPKI hashes. */
function recorded(ledger: string): string[] {
  try {
    return Deno.readTextFileSync(ledger).split("\n").filter((line) => line !== "");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Every key recorded, every leaf with its key; then all of it removed as the agent would. */
async function checkAndClean(store: NssdbStore, ledger: string): Promise<void> {
  const { keys, certificates } = await store.list();
  const known = new Set(recorded(ledger));
  for (const key of keys) assert.ok(known.has(key), `the key ${key} is in no ledger`);
  const root = await sha256(Deno.readFileSync(`${ledger}.root`));
  for (const { sha256, hasKey } of certificates) {
    assert.ok(hasKey || sha256 === root, "a leaf is there without its key");
    await store.removeCertificate(sha256);
  }
  for (const key of keys) await store.removeKey(key);
  assert.deepEqual(await store.list(), { certificates: [], keys: [] });
}

function child(args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CHILD, ...args],
    stdout: "piped",
    stderr: "inherit",
  });
}

nssTest("killed at each call, no key is without a record", async (world) => {
  const sandbox = `${world.home}/snap/chromium/current/.pki/nssdb`;
  Deno.mkdirSync(sandbox, { recursive: true });
  const ledger = `${world.home}/ledger`;
  Deno.writeFileSync(`${ledger}.root`, world.ca.root);
  let killed = 0;
  for (let at = 1;; at++) {
    const { signal, success } = await child([world.home, world.ca.folder, ledger, String(at)])
      .output();
    const store = world.open();
    await checkAndClean(store, ledger);
    store.close();
    if (success) break;
    assert.equal(signal, "SIGKILL");
    killed++;
  }
  assert.ok(killed > 60, `only ${killed} calls were reached`);
  for (const directory of [`${world.home}/.pki/nssdb`, sandbox]) {
    assert.deepEqual([certutilKeys(directory), certutilTrust(directory)], [[], {}]);
    assert.equal(objectCount(directory), 0);
  }
});

nssTest("killed anywhere, also inside a write, no key is without a record", async (world) => {
  const ledger = `${world.home}/ledger`;
  Deno.writeFileSync(`${ledger}.root`, world.ca.root);
  for (let round = 0; round < 15; round++) {
    const process = child([world.home, world.ca.folder, ledger, "0"]).spawn();
    const reader = process.stdout.getReader();
    // Each call writes a byte; after some of them the signal hits wherever the child is by then.
    for (let seen = 0, until = 5 + round * 7; seen < until;) {
      seen += (await reader.read()).value?.length ?? until;
    }
    process.kill("SIGKILL");
    await reader.cancel();
    await process.status;
    const store = world.open({ lockTimeout: 10_000 });
    await checkAndClean(store, ledger);
    store.close();
  }
});

nssTest("whichever call fails, nothing leaks and the next try finishes", async (world) => {
  Deno.mkdirSync(`${world.home}/snap/chromium/current/.pki/nssdb`, { recursive: true });
  const spki: Uint8Array[] = [];
  const life = async (store: NssdbStore) => {
    await store.createKey("P-256", (made) => void spki.push(made));
    const leaf = world.ca.issue(spki.at(-1) ?? new Uint8Array(), { subject: "/CN=Leaf" });
    await store.install("root", world.ca.root);
    await store.install("leaf", leaf);
    await store.list();
    await clean(store);
  };
  const clean = async (store: NssdbStore) => {
    const { certificates, keys } = await store.list();
    for (const { sha256 } of certificates) await store.removeCertificate(sha256);
    for (const key of keys) await store.removeKey(key);
  };
  let failures = 0;
  for (let at = 1;; at++) {
    const failure = failAt(at);
    try {
      const store = world.open({ create: true });
      try {
        await life(store);
      } finally {
        // Throws SEC_ERROR_BUSY when a handle was not given back.
        store.close();
      }
    } catch (error) {
      assert.ok(!String(error).includes("SEC_ERROR_BUSY"), `call ${at}: ${error}`);
      assert.ok(String(error).includes("Problem"), `call ${at}: ${error}`);
    } finally {
      failure.restore();
    }
    const store = world.open();
    await clean(store);
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
    store.close();
    if (!failure.reached()) break;
    failures++;
  }
  assert.ok(failures > 60, `only ${failures} calls were made to fail`);
});

/** Calls whose failure is no failure of theirs: they give back, or only look. */
const CANNOT_FAIL = [
  ...["constructor", "initContext", "needUserInit", "needLogin", "loginWithEmptyPassword"],
  ...["destroyPrivateKey", "destroyPublicKey", "destroyEncryptedKey", "keyType", "sha256"],
  ...["closeUserDatabase", "shutdownContext"],
];

/** Makes one call into NSS fail, the n-th of all, until restored. */
function failAt(n: number): { reached: () => boolean; restore: () => void } {
  const originals = Object.getOwnPropertyDescriptors(Nss.prototype);
  let calls = 0;
  for (const [name, descriptor] of Object.entries(originals)) {
    const original: unknown = descriptor.value;
    if (CANNOT_FAIL.includes(name) || typeof original !== "function") continue;
    Object.defineProperty(Nss.prototype, name, {
      ...descriptor,
      value(this: Nss, ...args: unknown[]) {
        if (++calls === n) throw new NssError(name, -8025, "SEC_ERROR_PKCS11_GENERAL_ERROR");
        return original.apply(this, args);
      },
    });
  }
  return {
    reached: () => calls >= n,
    restore: () => void Object.defineProperties(Nss.prototype, originals),
  };
}
