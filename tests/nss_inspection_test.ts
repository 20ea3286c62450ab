/** What `doctor` sees of databases that certutil made, and that looking changes nothing. */
import assert from "node:assert/strict";
import { inspectStores } from "../platform/linux/nss_inspection.ts";
import { leavesUntouched, makeDatabase, nssTest, plantOwnThings, run } from "./nss_witness.ts";

const uid = Deno.uid() ?? 0;

nssTest("certificates are seen with their keys and trust, in every database", async (world) => {
  const { home } = world;
  const own = `${home}/.pki/nssdb`;
  const snap = `${home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(own);
  plantOwnThings(own, world.ca);
  Deno.mkdirSync(`${home}/snap/chromium/current`, { recursive: true });
  await leavesUntouched(home, () => {
    const [first, second, ...others] = inspectStores({ home, uid }, 0);
    assert.deepEqual([first?.path, second?.path, others.length], [own, snap, 0]);
    assert.deepEqual([first?.exists, second?.exists], [true, false]);
    const seen = first?.certificates.map(({ hasKey, trusted }) => `${hasKey} ${trusted}`).sort();
    assert.deepEqual(seen, ["false true", "true false"]);
  });
});

nssTest("a database that browsers could not use is told, and stops no other", async (world) => {
  const { home } = world;
  const own = `${home}/.pki/nssdb`;
  makeDatabase(own);
  Deno.writeTextFileSync(`${home}/old`, "\n");
  Deno.writeTextFileSync(`${home}/new`, "secret\n");
  run("certutil", "-W", "-d", `sql:${own}`, "-f", `${home}/old`, "-@", `${home}/new`);
  const snap = `${home}/snap/chromium/current/.pki/nssdb`;
  makeDatabase(snap);
  Deno.writeTextFileSync(`${snap}/cert9.db`, "no database");
  const brave = `${home}/snap/brave/current/.pki`;
  Deno.mkdirSync(brave, { recursive: true });
  Deno.symlinkSync(own, `${brave}/nssdb`);
  await leavesUntouched(home, () => {
    const found = inspectStores({ home, uid }, 0).map((
      { usedBy, problem },
    ) => [usedBy, problem?.code]);
    assert.deepEqual(found, [
      ["the user's browsers", "store-password"],
      ["the snap chromium", "store-locked"],
      ["the snap brave", "internal"],
    ]);
  });
});

nssTest("a folder of somebody else's is refused before it is opened", (world) => {
  makeDatabase(`${world.home}/.pki/nssdb`);
  const [store] = inspectStores({ home: world.home, uid: uid + 1 }, 0);
  assert.match(store?.problem?.message ?? "", /belongs to uid/);
  assert.deepEqual(store?.certificates, []);
});
