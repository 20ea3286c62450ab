/** nssdb as certutil, pk12util and openssl see it, in every place where browsers keep theirs. */
import assert from "node:assert/strict";
import { Nss } from "../platform/linux/nss_ffi.ts";
import { openNssdb, removeCreatedPaths } from "../platform/linux/nssdb.ts";
import {
  certutilKeys,
  certutilState,
  certutilTrust,
  installBundle,
  makeDatabase,
  nssTest,
  objectCount,
  plantOwnThings,
  removeBundle,
  run,
  sha256,
  treeState,
} from "./nss_witness.ts";
import { trustStoreContract } from "./trust_store_contract.ts";

trustStoreContract("nssdb", () => {
  const home = Deno.makeTempDirSync();
  return {
    open: () => openNssdb({ home, recordPath() {} }),
    dispose: () => Deno.removeSync(home, { recursive: true }),
  };
}, ["libnss3"]);

trustStoreContract("nssdb with a snap and a flatpak", () => {
  const home = Deno.makeTempDirSync();
  Deno.mkdirSync(`${home}/snap/chromium/7`, { recursive: true });
  Deno.symlinkSync("7", `${home}/snap/chromium/current`);
  Deno.mkdirSync(`${home}/.var/app/org.chromium.Chromium/data/pki/nssdb`, { recursive: true });
  return {
    open: () => openNssdb({ home, recordPath() {} }),
    dispose: () => Deno.removeSync(home, { recursive: true }),
  };
}, ["libnss3"]);

nssTest("certutil sees the chain without trust and the leaf with its key", async (world) => {
  const store = world.open();
  const { spki } = await installBundle(store, world.ca, "Leaf - 0badcafe");
  store.close();
  assert.deepEqual(certutilTrust(store.location), {
    "Throw-away Root": ",,",
    "Leaf - 0badcafe": "u,u,u",
  });
  const [key, ...others] = certutilKeys(store.location);
  assert.match(key ?? "", /^ec [0-9a-f]{40} NSS Certificate DB:Leaf - 0badcafe$/);
  assert.deepEqual(others, []);

  // The key that pk12util takes out is the one that the certificate is for.
  const p12 = `${world.home}/out.p12`;
  run("pk12util", "-o", p12, "-n", "Leaf - 0badcafe", "-d", `sql:${store.location}`, "-W", "x");
  const pem = run("openssl", "pkcs12", "-in", p12, "-passin", "pass:x", "-nodes", "-nocerts");
  Deno.writeTextFileSync(`${world.home}/key.pem`, pem);
  const publicPem = run("openssl", "pkey", "-in", `${world.home}/key.pem`, "-pubout");
  assert.ok(publicPem.replaceAll("\n", "").includes(spki.toBase64()));
});

for (const mask of [0, 0o077]) {
  nssTest(`what is made is for the user alone under umask ${mask.toString(8)}`, async (world) => {
    const umask = Deno.umask(mask);
    try {
      await installBundle(world.open(), world.ca);
      assert.equal(Deno.umask(), mask);
    } finally {
      Deno.umask(umask);
    }
    const modes = (path: string) => (Deno.statSync(path).mode ?? 0) & 0o777;
    const own = `${world.home}/.pki`;
    assert.deepEqual([own, `${own}/nssdb`].map(modes), [0o700, 0o700]);
    const files = ["cert9.db", "key4.db"].map((name) => `${own}/nssdb/${name}`);
    assert.deepEqual(files.map(modes), [0o600, 0o600]);
    assert.equal(treeState(own).length, 3);
  });
}

nssTest("a key whose point looks like DER is known again, and copied", async (world) => {
  // NSS takes such a point, 04 3f and 63 octets more, for an OCTET STRING: one key in 256.
  makeDatabase(`${world.home}/snap/chromium/current/.pki/nssdb`);
  const generate = Nss.prototype.generateSessionKeyPair;
  Nss.prototype.generateSessionKeyPair = function (slot, algorithm) {
    for (;;) {
      const pair = generate.call(this, slot, algorithm);
      if (this.encodePublicKey(pair.publicKey)[27] === 0x3f) return pair;
      this.destroyPrivateKey(pair.privateKey);
      this.destroyPublicKey(pair.publicKey);
    }
  };
  try {
    const store = world.open();
    const bundle = await installBundle(store, world.ca);
    assert.deepEqual((await store.list()).keys, [bundle.key]);
    assert.equal((await store.sign(bundle.key, new Uint8Array(9))).length, 64);
    for (const directory of [".pki/nssdb", "snap/chromium/current/.pki/nssdb"]) {
      assert.equal(certutilTrust(`${world.home}/${directory}`)["Leaf"], "u,u,u", directory);
    }
    await removeBundle(store, world.ca, bundle);
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
  } finally {
    Nss.prototype.generateSessionKeyPair = generate;
  }
});

nssTest("looking makes nothing; a removal makes nothing", async (world) => {
  await world.open().list();
  const store = world.open({ create: false });
  assert.deepEqual(await store.list(), { certificates: [], keys: [] });
  await store.removeCertificate("00".repeat(32));
  await store.removeKey("00".repeat(32));
  await assert.rejects(store.install("root", world.ca.root));
  assert.deepEqual(treeState(world.home), []);
  assert.deepEqual(world.created, []);
});

nssTest("every path is recorded before it is made, and goes when empty", async (world) => {
  const seen: boolean[] = [];
  const store = world.open({
    recordPath(created) {
      seen.push(treeState(world.home).some((line) => line.startsWith(`${created.path} `)));
      world.created.push(created);
    },
  });
  const bundle = await installBundle(store, world.ca);
  assert.deepEqual(seen, [false, false, false]);
  assert.deepEqual(world.created.map(({ path, kind }) => [path.slice(world.home.length), kind]), [
    ["/.pki", "directory"],
    ["/.pki/nssdb", "directory"],
    ["/.pki/nssdb/cert9.db", "database"],
  ]);
  await removeBundle(store, world.ca, bundle);
  store.close();
  await removeCreatedPaths(world.created);
  assert.deepEqual(treeState(world.home), []);
});

nssTest("a path that cannot be recorded is not made", async (world) => {
  const refusal = new Error("the ledger's disk is full");
  const store = world.open({
    recordPath() {
      throw refusal;
    },
  });
  await assert.rejects(store.createKey("P-256", () => {}), refusal);
  assert.deepEqual(treeState(world.home), []);
});

/** Where a user's own database may be, and that the store is to use it. */
const layouts: { name: string; database: string; xdgDataHome?: string }[] = [
  { name: "~/.pki/nssdb", database: ".pki/nssdb" },
  { name: "the XDG folder", database: ".local/share/pki/nssdb" },
  { name: "XDG_DATA_HOME", database: "my data/pki/nssdb", xdgDataHome: "my data" },
];

for (const { name, database, xdgDataHome } of layouts) {
  nssTest(`a user's own things in ${name} are as before after a life of ours`, async (world) => {
    const directory = `${world.home}/${database}`;
    makeDatabase(directory);
    plantOwnThings(directory, world.ca);
    const before = certutilState(directory);
    const objects = objectCount(directory);
    const files = treeState(world.home).length;

    const options = xdgDataHome ? { xdgDataHome: `${world.home}/${xdgDataHome}` } : {};
    const store = world.open(options);
    assert.equal(store.location, directory);
    const bundle = await installBundle(store, world.ca);
    assert.deepEqual(world.created, []);
    assert.equal(
      (await store.list()).certificates.find((found) => found.sha256 === bundle.sha256)?.complete,
      true,
    );
    assert.ok("Leaf" in certutilTrust(directory));
    await removeBundle(store, world.ca, bundle);
    store.close();

    assert.deepEqual(certutilState(directory), before);
    assert.equal(objectCount(directory), objects);
    assert.equal(treeState(world.home).length, files);
  });
}

/** Databases of sandboxed browsers, beside the user's own. */
const sandboxes = [
  "snap/chromium/current/.pki/nssdb",
  "snap/chromium/current/.local/share/pki/nssdb",
  ".var/app/com.google.Chrome/.pki/nssdb",
  ".var/app/org.chromium.Chromium/data/pki/nssdb",
];

for (const sandbox of sandboxes) {
  nssTest(`the key and the chain reach ${sandbox} and leave it as it was`, async (world) => {
    const own = `${world.home}/.pki/nssdb`;
    const other = `${world.home}/${sandbox}`;
    makeDatabase(other);
    plantOwnThings(other, world.ca);
    const before = certutilState(other);
    const objects = objectCount(other);

    const store = world.open();
    const bundle = await installBundle(store, world.ca);
    for (const directory of [own, other]) {
      assert.equal(certutilTrust(directory)["Leaf"], "u,u,u", directory);
      assert.equal(certutilTrust(directory)["Throw-away Root"], ",,", directory);
    }
    const id = certutilKeys(own)[0]?.split(" ")[1];
    assert.ok(id && certutilKeys(other).some((key) => key.includes(id)));
    await removeBundle(store, world.ca, bundle);
    store.close();

    assert.deepEqual(certutilState(other), before);
    assert.equal(objectCount(other), objects);
    assert.equal(objectCount(own), 0);
  });
}

nssTest("an RSA key is copied into a sandbox's database and signs there", async (world) => {
  const other = `${world.home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(other);
  const store = world.open();
  const spki = await store.createKey("RSA-2048", () => {});
  await store.install("leaf", world.ca.issue(spki, { subject: "/CN=Leaf" }));
  store.close();

  // The other database alone, as the sandboxed browser has it.
  const alone = world.open({ home: `${world.home}/snap/chromium/current` });
  const message = new TextEncoder().encode("challenge");
  const signature = await alone.sign(await sha256(spki), message);
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("spki", new Uint8Array(spki), algorithm, true, [
    "verify",
  ]);
  assert.ok(await crypto.subtle.verify(algorithm, key, new Uint8Array(signature), message));
});

nssTest("a database that appears later is told as incomplete, then completed", async (world) => {
  const first = world.open();
  const bundle = await installBundle(first, world.ca);
  first.close();
  const other = `${world.home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(other);

  const store = world.open();
  const complete = async () =>
    (await store.list()).certificates.map(({ complete, hasKey }) => ({ complete, hasKey }));
  assert.deepEqual((await complete()).map(({ complete }) => complete), [false, false]);
  await store.install("root", world.ca.root);
  await store.install("leaf", bundle.leaf);
  assert.deepEqual((await complete()).map(({ complete }) => complete), [true, true]);
  assert.equal(certutilTrust(other)["Leaf"], "u,u,u");
});

nssTest("what is left in one database only is still told, and removed", async (world) => {
  const other = `${world.home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(other);
  const store = world.open();
  const bundle = await installBundle(store, world.ca);
  for (const name of ["Leaf", "Throw-away Root"]) {
    run("certutil", "-D", "-d", `sql:${store.location}`, "-n", name);
  }
  const left = (await store.list()).certificates;
  assert.deepEqual(left.map(({ hasKey }) => hasKey).toSorted(), [false, true]);
  assert.ok(left.every(({ complete }) => complete === false));
  await removeBundle(store, world.ca, bundle);
  store.close();
  assert.equal(objectCount(store.location) + objectCount(other), 0);
});

nssTest("what was put into the XDG database goes when ~/.pki/nssdb came later", async (world) => {
  const xdg = `${world.home}/.local/share/pki/nssdb`;
  makeDatabase(xdg);
  const first = world.open();
  const bundle = await installBundle(first, world.ca);
  first.close();
  makeDatabase(`${world.home}/.pki/nssdb`);

  const store = world.open();
  assert.equal(store.location, `${world.home}/.pki/nssdb`);
  assert.ok((await store.list()).certificates.every(({ complete }) => complete === false));
  await store.install("leaf", bundle.leaf);
  assert.equal(certutilTrust(store.location)["Leaf"], "u,u,u");
  await removeBundle(store, world.ca, bundle);
  store.close();
  assert.equal(objectCount(store.location) + objectCount(xdg), 0);
});

nssTest("a key pair that certutil made goes with its public half", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  makeDatabase(directory);
  Deno.writeFileSync(`${world.home}/noise`, new Uint8Array(64).fill(7));
  const noise = ["-z", `${world.home}/noise`];
  const request = ["-s", "CN=x", "-o", `${world.home}/request`];
  run(
    "certutil",
    "-R",
    "-d",
    `sql:${directory}`,
    "-k",
    "ec",
    "-q",
    "nistp256",
    ...noise,
    ...request,
  );
  const store = world.open();
  const [key, ...others] = (await store.list()).keys;
  assert.ok(key);
  assert.deepEqual(others, []);
  await store.removeKey(key);
  store.close();
  assert.equal(objectCount(directory), 0);
});

nssTest("changes of another program show in an open store at once", async (world) => {
  const store = world.open();
  await installBundle(store, world.ca);
  const database = ["-d", `sql:${store.location}`];
  run("certutil", "-D", ...database, "-n", "Leaf");
  assert.deepEqual((await store.list()).certificates.map(({ hasKey }) => hasKey), [false]);
  run("certutil", "-A", ...database, "-n", "x", "-t", ",,", "-i", `${world.ca.folder}/ca.pem`);
  assert.equal((await store.list()).certificates.length, 1);
});

nssTest("two users' stores open in one process keep apart", async (world) => {
  Deno.mkdirSync(`${world.home}/a`);
  Deno.mkdirSync(`${world.home}/b`);
  const a = world.open({ home: `${world.home}/a` });
  const b = world.open({ home: `${world.home}/b` });
  await installBundle(a, world.ca);
  assert.deepEqual(await b.list(), { certificates: [], keys: [] });
  await installBundle(b, world.ca);
  const keys = [...(await a.list()).keys, ...(await b.list()).keys];
  assert.equal(new Set(keys).size, 2);
  a.close();
  assert.equal((await b.list()).certificates.length, 2);
});

nssTest("odd characters in a home's name lead to the right folder", async (world) => {
  for (const name of ["it's", 'a "b"', "c\\d", "é ü 漢", "x=y configdir='z'", "a,b;#%41"]) {
    const home = `${world.home}/${name}`;
    Deno.mkdirSync(home);
    const store = world.open({ home });
    await store.createKey("P-256", () => {});
    store.close();
    assert.deepEqual([...Deno.readDirSync(`${home}/.pki/nssdb`)].map(({ name }) => name).sort(), [
      "cert9.db",
      "key4.db",
    ]);
    Deno.removeSync(home, { recursive: true });
  }
  assert.deepEqual(treeState(world.home), []);
});

nssTest("a user's own PKCS #11 modules are not loaded, nor their list changed", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  makeDatabase(directory);
  const list = `${directory}/pkcs11.txt`;
  const own = "library=/nowhere/card.so\nname=Card\n\n" + Deno.readTextFileSync(list);
  Deno.writeTextFileSync(list, own);
  await installBundle(world.open(), world.ca);
  assert.equal(Deno.readTextFileSync(list), own);
});

/** NSS's code for databases of before 2009, which newer builds leave out. */
function hasLegacyCode(): boolean {
  try {
    Deno.dlopen("libnssdbm3.so", {}).close();
    return true;
  } catch {
    return false;
  }
}

nssTest("a legacy database is taken over as browsers do, and not touched", async (world) => {
  const directory = `${world.home}/.pki/nssdb`;
  Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const database = ["-d", `dbm:${directory}`];
  run("certutil", "-N", ...database, "--empty-password");
  const own = Deno.readFileSync(`${world.ca.folder}/ca.pem`);
  Deno.writeFileSync(`${world.home}/own.pem`, own);
  run("certutil", "-A", ...database, "-n", "Mine", "-t", "C,,", "-i", `${world.home}/own.pem`);
  const legacy = ["cert8.db", "key3.db", "secmod.db"].map((name) => `${directory}/${name}`);
  const before = legacy.map((path) => Deno.readFileSync(path));

  const store = world.open();
  const spki = await store.createKey("P-256", () => {});
  await store.install("leaf", world.ca.issue(spki, { subject: "/CN=Leaf" }));
  assert.deepEqual(certutilTrust(directory), { "Mine": "C,,", "Leaf": "u,u,u" });
  const leaf = (await store.list()).certificates.find(({ hasKey }) => hasKey);
  await store.removeCertificate(leaf?.sha256 ?? "");
  await store.removeKey(await sha256(spki));
  store.close();
  await removeCreatedPaths(world.created);
  assert.deepEqual(certutilTrust(directory), { "Mine": "C,," });
  assert.deepEqual(legacy.map((path) => Deno.readFileSync(path)), before);
}, [{ met: hasLegacyCode(), otherwise: "this machine has an NSS that knows no legacy databases" }]);
