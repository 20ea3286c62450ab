/** What every trust store promises (platform/trust_store.ts), as one suite for all adapters. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Problem } from "../platform/errors.ts";
import type { KeyAlgorithm, StoreContents, TrustStore } from "../platform/trust_store.ts";
import { type Requirement, testWith } from "./skip.ts";
import { makeThrowawayCa, type ThrowawayCa } from "./throwaway_ca.ts";

/** One place for stores: whatever is opened over it finds what was left there. */
export interface StorePlace {
  open(): TrustStore;
  /** Takes the place away after the test. */
  dispose(): void;
}

/** What of the suite follows the machine that a store is on. */
export interface ContractMeans {
  /** The kinds of key that it makes; the first is used where the kind does not matter. */
  algorithms: readonly [KeyAlgorithm, ...KeyAlgorithm[]];
  /** Makes an authority of the moment, in a folder that is removed after the test. */
  makeCa: (folder: string) => ThrowawayCa;
}

/** Registers the suite for one adapter; `make` gives a new empty place. */
export function trustStoreContract(
  name: string,
  make: () => StorePlace,
  needs: readonly Requirement[] = [],
  means: ContractMeans = { algorithms: ["P-256", "RSA-2048"], makeCa: makeThrowawayCa },
): void {
  const usual = means.algorithms[0];
  const programs: Requirement[] = means.makeCa === makeThrowawayCa ? ["openssl"] : [];
  const promises = (
    sentence: string,
    body: (world: ContractWorld) => Promise<void>,
    ...more: Requirement[]
  ) =>
    testWith([...programs, ...needs, ...more], `${name}: ${sentence}`, async () => {
      const folder = Deno.makeTempDirSync({ prefix: "trust-store-" });
      const place = make();
      const store = place.open();
      try {
        await body({ place, store, ca: means.makeCa(folder) });
      } finally {
        store.close();
        place.dispose();
        Deno.removeSync(folder, { recursive: true });
      }
    });

  promises("a new store holds nothing", async ({ store }) => {
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
    assert.notEqual(store.location, "");
  });

  for (const algorithm of ["P-256", "RSA-2048"] as const) {
    promises(`a ${algorithm} key is recorded, then stored, and signs`, async ({ store }) => {
      const recorded: [Uint8Array, string][] = [];
      const spki = await store.createKey(algorithm, (...record) => void recorded.push(record));
      const id = await sha256(spki);
      assert.deepEqual(recorded, [[spki, id]]);
      assert.deepEqual((await store.list()).keys, [id]);
      for (const length of [0, 1, 100_000]) {
        const message = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)));
        assert.ok(await verifies(algorithm, spki, await store.sign(id, message), message));
      }
    }, {
      met: means.algorithms.includes(algorithm),
      otherwise: `this machine makes no ${algorithm} keys in this store`,
    });
  }

  promises("each call makes another key", async ({ store }) => {
    const first = await store.createKey(usual, ignore);
    const second = await store.createKey(usual, ignore);
    assert.notDeepEqual(first, second);
    assert.equal((await store.list()).keys.length, 2);
  });

  promises("nothing is stored when the record throws", async ({ store }) => {
    const full = new Error("the ledger's disk is full");
    await assert.rejects(
      store.createKey(usual, () => {
        throw full;
      }),
      full,
    );
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
  });

  promises("no signature comes from a key that is not there", async ({ store }) => {
    await assert.rejects(store.sign("00".repeat(32), new Uint8Array()), isProblem("internal"));
  });

  promises("what was stored is there when opened again", async ({ place, store, ca }) => {
    const { id, spki, leaf } = await makeLeaf(usual, store, ca, "/CN=Leaf");
    const before = await store.list();
    store.close();
    const again = place.open();
    try {
      assert.deepEqual(await again.list(), before);
      assert.deepEqual(before.certificates.map(({ der, hasKey }) => ({ der, hasKey })), [
        { der: leaf, hasKey: true },
      ]);
      const message = new Uint8Array(3);
      assert.ok(await verifies(usual, spki, await again.sign(id, message), message));
    } finally {
      again.close();
    }
  });

  promises("a leaf without its key is refused", async ({ store, ca }) => {
    const spki = await goneKey(usual, store);
    const leaf = ca.issue(spki, { subject: "/CN=Leaf" });
    await assert.rejects(store.install("leaf", leaf), isProblem("internal"));
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
  });

  promises("bytes that are no certificate are refused", async ({ store }) => {
    for (const bytes of [new Uint8Array(), new Uint8Array(100), new Uint8Array([0x30, 0x00])]) {
      await assert.rejects(store.install("root", bytes), isProblem("internal"));
    }
    assert.deepEqual((await store.list()).certificates, []);
  });

  promises("installing what is there already is success", async ({ store, ca }) => {
    await store.install("root", ca.root);
    const before = await store.list();
    await store.install("root", ca.root);
    assert.deepEqual(await store.list(), before);
    assert.deepEqual(before.certificates.map(({ hasKey }) => hasKey), [false]);
  });

  promises("certificates of one name do not get in each other's way", async ({ store, ca }) => {
    const subjects = ["/CN=Same", "/CN=Same", "/O=Other/CN=Same", "/O=Third/CN=Same"];
    const leaves = [];
    for (const subject of subjects) leaves.push((await makeLeaf(usual, store, ca, subject)).leaf);
    await store.install("root", ca.selfSigned("/CN=Same"));
    assert.equal((await store.list()).certificates.length, 5);
    for (const leaf of leaves) {
      const before = await store.list();
      await store.removeCertificate(await sha256(leaf));
      assert.deepEqual(hashes(await store.list()), without(hashes(before), await sha256(leaf)));
    }
  });

  promises("a certificate goes alone, and its key stays", async ({ store, ca }) => {
    const { id, leaf } = await makeLeaf(usual, store, ca, "/CN=Leaf");
    await store.removeCertificate(await sha256(leaf));
    assert.deepEqual(await store.list(), { certificates: [], keys: [id] });
    await store.removeCertificate(await sha256(leaf));
  });

  promises("a key does not go before its certificate", async ({ store, ca }) => {
    const { id, leaf } = await makeLeaf(usual, store, ca, "/CN=Leaf");
    await assert.rejects(store.removeKey(id), isProblem("internal"));
    assert.equal((await store.list()).certificates[0]?.hasKey, true);
    await store.removeCertificate(await sha256(leaf));
    await store.removeKey(id);
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
    await store.removeKey(id);
  });

  promises("removing one key leaves the others", async ({ store }) => {
    const ids: string[] = [];
    for (const algorithm of [...means.algorithms, usual]) {
      await store.createKey(algorithm, (_spki, id) => void ids.push(id));
    }
    for (const id of [...ids]) {
      await store.removeKey(id);
      ids.shift();
      assert.deepEqual((await store.list()).keys.toSorted(), ids.toSorted());
    }
  });

  promises("a closed store refuses, and closing again does nothing", async ({ store }) => {
    store.close();
    store.close();
    await assert.rejects(store.list(), isProblem("internal"));
    await assert.rejects(store.createKey(usual, ignore), isProblem("internal"));
    await assert.rejects(store.removeKey("00".repeat(32)), isProblem("internal"));
  });

  promises("whatever the order of calls, it holds what a plain model holds", async ({ ca }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 14 }), async (calls) => {
        const place = make();
        const store = place.open();
        try {
          await matchesModel(usual, store, ca, calls);
        } finally {
          store.close();
          place.dispose();
        }
      }),
      { numRuns: 12 },
    );
  });
}

interface ContractWorld {
  place: StorePlace;
  store: TrustStore;
  ca: ThrowawayCa;
}

/** A call in a random sequence; `which` picks among what exists. */
const call = fc.record({
  do: fc.constantFrom("key", "key", "leaf", "leaf", "root", "drop-certificate", "drop-key"),
  which: fc.nat(3),
});

async function matchesModel(
  algorithm: KeyAlgorithm,
  store: TrustStore,
  ca: ThrowawayCa,
  calls: { do: string; which: number }[],
): Promise<void> {
  const keys = new Map<string, Uint8Array>();
  const certificates = new Map<string, string | undefined>();
  for (const { do: what, which } of calls) {
    const [id, spki] = [...keys][which] ?? [];
    const certificate = [...certificates.keys()][which];
    if (what === "key") {
      await store.createKey(algorithm, (made, name) => void keys.set(name, made));
    } else if (what === "root") {
      await store.install("root", ca.root);
      certificates.set(await sha256(ca.root), undefined);
    } else if (what === "leaf" && id && spki) {
      const leaf = ca.issue(spki, { subject: `/CN=Leaf ${which}` });
      await store.install("leaf", leaf);
      certificates.set(await sha256(leaf), id);
    } else if (what === "drop-certificate" && certificate) {
      await store.removeCertificate(certificate);
      certificates.delete(certificate);
    } else if (what === "drop-key" && id) {
      const isUsed = [...certificates.values()].includes(id);
      if (isUsed) await assert.rejects(store.removeKey(id), isProblem("internal"));
      else await store.removeKey(id);
      if (!isUsed) keys.delete(id);
    }
    const contents = await store.list();
    assert.deepEqual(contents.keys.toSorted(), [...keys.keys()].toSorted());
    assert.deepEqual(
      contents.certificates.map(({ sha256, hasKey }) => [sha256, hasKey]).toSorted(),
      [...certificates].map(([sha256, key]) => [sha256, key !== undefined]).toSorted(),
    );
  }
}

/** A key in the store and a leaf installed for it. */
async function makeLeaf(
  algorithm: KeyAlgorithm,
  store: TrustStore,
  ca: ThrowawayCa,
  subject: string,
) {
  const spki = await store.createKey(algorithm, ignore);
  const leaf = ca.issue(spki, { subject });
  await store.install("leaf", leaf);
  return { id: await sha256(spki), spki, leaf };
}

/** A public key whose private key was in the store and is not any more. */
async function goneKey(algorithm: KeyAlgorithm, store: TrustStore): Promise<Uint8Array> {
  const spki = await store.createKey(algorithm, ignore);
  await store.removeKey(await sha256(spki));
  return spki;
}

function verifies(
  algorithm: KeyAlgorithm,
  spki: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  const [key, how] = algorithm === "P-256"
    ? [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }]
    : [{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, { name: "RSASSA-PKCS1-v1_5" }];
  return crypto.subtle.importKey("spki", new Uint8Array(spki), key, true, ["verify"])
    .then((publicKey) =>
      crypto.subtle.verify(how, publicKey, new Uint8Array(signature), new Uint8Array(message))
    );
}

function isProblem(code: Problem["code"]): (error: unknown) => boolean {
  return (error) => error instanceof Problem && error.code === code;
}

async function sha256(bytes: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes))).toHex();
}

function hashes(contents: StoreContents): string[] {
  return contents.certificates.map((certificate) => certificate.sha256).toSorted();
}

function without(values: string[], value: string): string[] {
  return values.filter((other) => other !== value);
}

function ignore(): void {}
