/** certstore's keys on Windows, or in Wine: what is there after a crash, and what each kind can. */
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Problem } from "../platform/errors.ts";
import { containerName, openCertstore } from "../platform/windows/certstore.ts";
import { CngKeys } from "../platform/windows/cng_keys.ts";
import { CspKeys } from "../platform/windows/csp_keys.ts";
import { CRYPT_NEWKEYSET, CRYPT_SILENT } from "../platform/windows/csp_symbols.ts";
import { keyProvider } from "../platform/windows/key_provider.ts";
import { WindowsError } from "../platform/windows/windows_errors.ts";
import { cell, valueOf, wide } from "../platform/windows/windows_memory.ts";
import { newPlace, REAL_STORES, sha256, verifies } from "./certstore_places.ts";
import { testWith } from "./skip.ts";

const provider = keyProvider();
const keepsP256 = provider.algorithms.some((algorithm) => algorithm === "P-256");

/** What a child of these tests does: makes keys until it is killed, telling of each record. */
const MAKER = "DEVICE_TRUST_TEST_KEY_MAKER";
if (Deno.env.get(MAKER) !== undefined) {
  const store = openCertstore(REAL_STORES);
  for (;;) {
    await store.createKey(provider.algorithms[0], (_spki, id) => {
      Deno.stdout.writeSync(new TextEncoder().encode(`${id}\n`));
    });
  }
}

Deno.test("whoever is killed while making a key leaves it whole and recorded, or nothing", async () => {
  const place = newPlace();
  try {
    let whole = 0;
    for (let delay = 0; delay < 8; delay++) {
      const recorded = await makeKeysUntilKilled(delay * 3);
      const store = place.open();
      const { keys } = await store.list();
      assert.deepEqual(keys.filter((key) => !recorded.includes(key)), []);
      // Nor is there an empty container.
      const containers = provider.containers().filter((name) => name.startsWith("DeviceTrust-"));
      assert.deepEqual(containers.toSorted(), keys.map(containerName).toSorted());
      for (const key of keys) {
        assert.ok((await store.sign(key, new Uint8Array(3))).length >= 64);
        await store.removeKey(key);
      }
      store.close();
      whole += keys.length;
    }
    assert.ok(whole > 0, "the maker made keys");
  } finally {
    place.dispose();
  }
});

testWith(
  [{ met: provider instanceof CspKeys, otherwise: "this machine makes key and container at once" }],
  "an empty container of ours goes when the store is opened, another's stays",
  () => {
    const place = newPlace();
    const ours = containerName("ab".repeat(32));
    const others = ["DeviceTrust-Enterprise", "Somebody", `x${ours}`];
    try {
      for (const name of [ours, ...others]) makeEmptyContainer(name);
      place.open().close();
      assert.deepEqual(provider.containers().toSorted(), others.toSorted());
    } finally {
      place.dispose();
    }
  },
);

Deno.test("a key in a container that does not bear its name is not ours", async () => {
  const place = newPlace();
  const stranger = containerName("cd".repeat(32));
  try {
    using key = provider.generate(provider.algorithms[0]);
    key.store(stranger);
    const store = place.open();
    assert.deepEqual((await store.list()).keys, []);
    await assert.rejects(store.sign("cd".repeat(32), new Uint8Array()), Problem);
    await store.removeKey(sha256(key.spki));
    store.close();
    assert.deepEqual(provider.publicKey(stranger), key.spki);
  } finally {
    place.dispose();
  }
});

Deno.test("a container is never overwritten", () => {
  const place = newPlace();
  try {
    const name = containerName("ef".repeat(32));
    using first = provider.generate(provider.algorithms[0]);
    using second = provider.generate(provider.algorithms[0]);
    first.store(name);
    assert.throws(() => second.store(name), WindowsError);
    assert.deepEqual(provider.publicKey(name), first.spki);
  } finally {
    place.dispose();
  }
});

testWith(
  [{ met: !keepsP256, otherwise: "this machine keeps P-256 keys" }],
  "where no P-256 key can be kept, one is refused in words, and nothing is recorded",
  async () => {
    const place = newPlace();
    const store = place.open();
    try {
      await assert.rejects(store.createKey("P-256", () => assert.fail("recorded")), (error) => {
        assert.ok(error instanceof Problem);
        assert.equal(error.code, "internal");
        assert.match(error.message, /makes no P-256 keys: .* RSA-2048/);
        return true;
      });
    } finally {
      store.close();
      place.dispose();
    }
  },
);

for (const algorithm of ["P-256", "RSA-2048"] as const) {
  Deno.test(`CNG makes ${algorithm} keys in memory, and keeps them or says that it cannot`, () => {
    const cng = new CngKeys();
    const container = "Test-kept-key";
    using key = cng.generate(algorithm);
    using other = cng.generate(algorithm);
    const spki = createPublicKey({ key: Buffer.from(key.spki), type: "spki", format: "der" });
    assert.deepEqual(
      spki.asymmetricKeyDetails,
      algorithm === "P-256"
        ? { namedCurve: "prime256v1" }
        : { modulusLength: 2048, publicExponent: 65537n },
    );
    assert.notDeepEqual(key.spki, other.spki);
    if (!cng.keepsKeys()) {
      assert.throws(() => key.store(container), WindowsError);
      return;
    }
    key.store(container);
    try {
      assert.ok(cng.containers().includes(container));
      assert.deepEqual(cng.publicKey(container), key.spki);
      const digest = Uint8Array.fromHex(sha256(new TextEncoder().encode("challenge")));
      assert.ok(verifies(key.spki, "challenge", cng.sign(container, digest) ?? new Uint8Array()));
    } finally {
      cng.remove(container);
    }
    assert.equal(cng.publicKey(container), undefined);
  });
}

/** Starts a maker and kills it some milliseconds after its first record; gives what it recorded. */
async function makeKeysUntilKilled(delay: number): Promise<string[]> {
  await using maker = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", fileURLToPath(import.meta.url)],
    env: { [MAKER]: "yes" },
    stdout: "piped",
  }).spawn();
  let text = "";
  for await (const chunk of maker.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    try {
      maker.kill("SIGKILL");
    } catch {
      // It is ended already: this is what it had still written.
    }
  }
  await maker.status;
  return text.split("\n").filter((line) => line.length === 64);
}

function makeEmptyContainer(name: string): void {
  const advapi32 = Deno.dlopen("advapi32.dll", {
    CryptAcquireContextW: {
      parameters: ["buffer", "buffer", "buffer", "u32", "u32"],
      result: "i32",
    },
    CryptReleaseContext: { parameters: ["usize", "u32"], result: "i32" },
  });
  const { CryptAcquireContextW, CryptReleaseContext } = advapi32.symbols;
  const context = cell();
  const flags = CRYPT_NEWKEYSET | CRYPT_SILENT;
  const made = CryptAcquireContextW(context, wide(name), wide(provider.name), provider.type, flags);
  assert.equal(made, 1);
  CryptReleaseContext(valueOf(context), 0);
  advapi32.close();
}
