/**
 * certstore on Windows, or in Wine (tests/certstore_test.ts): what it promises, what it leaves, and
 * what others see of it. Touches no certificate and no key but those it made.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { openCertstore } from "../platform/windows/certstore.ts";
import { keyProvider } from "../platform/windows/key_provider.ts";
import { type StoreName, SystemStore } from "../platform/windows/system_store.ts";
import {
  askWitness,
  everything,
  hasWitness,
  install,
  newPlace,
  plant,
  processHandles,
  REAL_STORES,
  remove,
  sha256,
  verifies,
  whatIsLeft,
} from "./certstore_places.ts";
import { makeLibraryCa } from "./library_ca.ts";
import { testWith } from "./skip.ts";
import { trustStoreContract } from "./trust_store_contract.ts";
import { countWindowsCalls } from "./windows_calls.ts";

// Before any library is loaded.
const calls = countWindowsCalls();
const provider = keyProvider();
const usual = provider.algorithms[0];
const ca = makeLibraryCa("");

trustStoreContract("certstore", newPlace, [], {
  algorithms: provider.algorithms,
  makeCa: makeLibraryCa,
});

Deno.test("people can read where keys are", () => {
  const store = openCertstore(REAL_STORES);
  assert.equal(store.kind, "certstore");
  assert.equal(
    store.location,
    `LocalMachine\\DeviceTrustTest, CurrentUser\\CA, CurrentUser\\MY; keys in ${provider.name}`,
  );
  store.close();
});

testWith(
  [{ met: hasWitness(), otherwise: "this machine has no certstore_witness.exe beside the tests" }],
  "another program finds the certificates, and the leaf's key signs for it and stays inside",
  async () => {
    const store = openCertstore(REAL_STORES);
    const bundle = await install(store, ca);
    try {
      const digest = createHash("sha256").update("challenge").digest("hex");
      const leaf = await askWitness(REAL_STORES.leaf, "Witnessed leaf", digest);
      assert.equal(leaf.der, bundle.leaf.toHex());
      assert.equal(leaf["friendly-name"], "Witnessed leaf");
      assert.equal(leaf.exportable, "0");
      const signature = Uint8Array.fromHex(leaf.signature ?? "");
      assert.ok(verifies(bundle.spki, "challenge", signature));

      const intermediate = await askWitness(REAL_STORES.intermediate, "Witnessed intermediate");
      assert.equal(intermediate.der, bundle.intermediate.toHex());
      assert.equal(intermediate["friendly-name"], "Witnessed intermediate");
      assert.equal(intermediate.usage, undefined);
      // It may vouch for clients, and so never for a web site.
      const root = await askWitness(REAL_STORES.root, "Witnessed root");
      assert.equal(root.der, bundle.root.toHex());
      assert.equal(root.usage, "1.3.6.1.5.5.7.3.2");
    } finally {
      await remove(store, bundle);
      store.close();
    }
    assert.equal((await askWitness(REAL_STORES.leaf, "Witnessed leaf")).der, undefined);
    assert.equal(
      (await askWitness(REAL_STORES.intermediate, "Witnessed intermediate")).der,
      undefined,
    );
    assert.equal((await askWitness(REAL_STORES.root, "Witnessed root")).der, undefined);
  },
);

Deno.test("fifty times in and out leave nothing: no key, no entry, no handle, no memory", async () => {
  const cycle = async () => {
    const store = openCertstore(REAL_STORES);
    const bundle = await install(store, ca);
    const signature = await store.sign(sha256(bundle.spki), new TextEncoder().encode("renewal"));
    assert.ok(verifies(bundle.spki, "renewal", signature));
    await remove(store, bundle);
    store.close();
  };
  for (let warm = 0; warm < 3; warm++) await cycle();
  const [before, left, memory] = [calls(), await whatIsLeft(), Deno.memoryUsage().rss];
  const handles = processHandles();
  for (let count = 0; count < 50; count++) await cycle();
  const after = calls();
  assert.deepEqual(after.held, before.held);
  assert.ok(Object.values(after.held).every((held) => held === 0), JSON.stringify(after.held));
  assert.ok(after.taken > before.taken + 50 * 10, "the calls were counted");
  assert.equal(await whatIsLeft(), left);
  assert.ok(Deno.memoryUsage().rss < memory + 32 * 1024 * 1024);
  // Wine counts none.
  assert.ok(processHandles() <= handles + 25, `${handles} handles became ${processHandles()}`);
});

Deno.test("certificates and keys of others, of whatever name, stay as they are", async () => {
  const plan = fc.record({
    leaves: fc.array(fc.constantFrom("with its key", "without a key"), { maxLength: 3 }),
    authorities: fc.array(fc.constantFrom("root", "intermediate"), { maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ leaves, authorities }) => {
      const place = newPlace();
      try {
        const others = makeLibraryCa("");
        leaves.forEach((kind, index) => {
          using key = provider.generate(usual);
          const container = `Somebody-${index}`;
          const keyLink = kind === "with its key" && {
            ...{ container, name: provider.name, type: provider.type, keySpec: provider.keySpec },
          };
          if (keyLink) key.store(container);
          const der = others.issue(key.spki, { subject: "/CN=Witnessed leaf" });
          plant(place.stores.leaf, der, {
            friendlyName: "Witnessed leaf",
            ...(keyLink && { keyLink }),
          });
        });
        for (const role of authorities) {
          plant(place.stores[role], others.selfSigned(`/CN=Witnessed ${role}`), {});
        }
        const before = everything(place.stores);
        const store = place.open();
        const bundle = await install(store, ca);
        assert.notDeepEqual(everything(place.stores), before);
        await remove(store, bundle);
        store.close();
        assert.deepEqual(everything(place.stores), before);
      } finally {
        place.dispose();
      }
    }),
    { numRuns: 8 },
  );
});

Deno.test("what the computer's own store holds is neither seen as the user's nor removed", async () => {
  const place = newPlace();
  const machine: StoreName = { of: "machine", name: place.stores.intermediate.name };
  const intermediate = ca.selfSigned("/CN=Witnessed intermediate");
  plant(machine, intermediate, {});
  const store = place.open();
  try {
    assert.deepEqual((await store.list()).certificates, []);
    await store.install("intermediate", intermediate);
    assert.equal((await store.list()).certificates.length, 1);
    await store.removeCertificate(sha256(intermediate));
    assert.deepEqual((await store.list()).certificates, []);
    using theirs = new SystemStore(machine);
    assert.deepEqual(theirs.certificates().map(({ der }) => der), [intermediate]);
  } finally {
    using theirs = new SystemStore(machine);
    theirs.remove(() => true);
    theirs.commit();
    store.close();
    place.dispose();
  }
});

Deno.test("a root that was there before keeps its own uses and its own name", async () => {
  const place = newPlace();
  const store = place.open();
  try {
    plant(place.stores.root, ca.root, { friendlyName: "Ours by hand" });
    const before = everything(place.stores);
    await store.install("root", ca.root);
    assert.deepEqual(everything(place.stores), before);
  } finally {
    store.close();
    place.dispose();
  }
});

Deno.test("a leaf that was there without its key is given it", async () => {
  const place = newPlace();
  const store = place.open();
  try {
    const spki = await store.createKey(usual, () => {});
    const leaf = ca.issue(spki, { subject: "/CN=Leaf" });
    plant(place.stores.leaf, leaf, {});
    assert.deepEqual((await store.list()).certificates.map(({ hasKey }) => hasKey), [false]);
    await store.install("leaf", leaf);
    assert.deepEqual((await store.list()).certificates.map(({ hasKey }) => hasKey), [true]);
  } finally {
    store.close();
    place.dispose();
  }
});

Deno.test("a name of any letters is what people see", async () => {
  const place = newPlace();
  const store = place.open();
  try {
    await store.install("root", ca.selfSigned("/CN=Zoë 鍵 🔑"));
    using root = new SystemStore(place.stores.root);
    assert.deepEqual(root.certificates().map(({ friendlyName }) => friendlyName), ["Zoë 鍵 🔑"]);
  } finally {
    store.close();
    place.dispose();
  }
});

Deno.test("a role that has no store is refused", async () => {
  const { stores: { root }, dispose } = newPlace();
  const store = openCertstore({ root });
  try {
    await assert.rejects(store.install("intermediate", ca.root), {
      name: "Problem",
      message: /^No intermediate goes into CurrentUser\\Test-Root-/,
    });
    assert.deepEqual((await store.list()).certificates, []);
  } finally {
    store.close();
    dispose();
  }
});
