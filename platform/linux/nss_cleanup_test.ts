import assert from "node:assert/strict";
import {
  certutilTrust,
  installBundle,
  isProblem,
  leavesUntouched,
  makeDatabase,
  MOUNTING,
  nssTest,
  type NssWorld,
  onSmallDisk,
  plantOwnThings,
  removeBundle,
  run,
  treeState,
} from "../../tests/nss_witness.ts";
import { removeCreatedPaths } from "./nss_cleanup.ts";

/** A store that was made, used and emptied again. Returns its folder. */
async function madeAndEmptied(world: NssWorld): Promise<string> {
  const store = world.open();
  await removeBundle(store, world.ca, await installBundle(store, world.ca));
  store.close();
  return store.location;
}

nssTest("what was made goes, innermost first, and is told", async (world) => {
  const database = await madeAndEmptied(world);
  const pki = `${world.home}/.pki`;
  const paths = [`${database}/cert9.db`, database, pki];
  assert.deepEqual(await removeCreatedPaths(world.created), paths);
  assert.deepEqual(treeState(world.home), []);
  assert.deepEqual(await removeCreatedPaths(world.created), paths);
});

nssTest("the list of modules that NSS's own tools add does not keep a database", async (world) => {
  const database = await madeAndEmptied(world);
  makeDatabase(`${world.home}/other`);
  Deno.renameSync(`${world.home}/other/pkcs11.txt`, `${database}/pkcs11.txt`);
  Deno.removeSync(`${world.home}/other`, { recursive: true });
  await removeCreatedPaths(world.created);
  assert.deepEqual(treeState(world.home), []);
});

/** Things of the user's that keep a database where it is. */
const keepers: Record<string, (database: string, world: NssWorld) => void> = {
  "a certificate and key of the user's own": (database, world) =>
    plantOwnThings(database, world.ca),
  "a file that is none of NSS's": (database) => Deno.writeTextFileSync(`${database}/notes`, "mine"),
  "a legacy database": (database) => Deno.writeTextFileSync(`${database}/cert8.db`, "old"),
  "a PKCS #11 module in pkcs11.txt": (database) =>
    Deno.writeTextFileSync(
      `${database}/pkcs11.txt`,
      "library=\nname=NSS Internal PKCS #11 Module\n\nlibrary=/usr/lib/card.so\nname=Card\n",
    ),
};

for (const [name, plant] of Object.entries(keepers)) {
  nssTest(`a database stays for ${name}`, async (world) => {
    const database = await madeAndEmptied(world);
    plant(database, world);
    await leavesUntouched(world.home, async () => {
      assert.deepEqual(await removeCreatedPaths(world.created), []);
    });
  });
}

nssTest("a database stays while a running program has it open", async (world) => {
  const database = await madeAndEmptied(world);
  const holder = new Deno.Command("sh", {
    args: ["-c", `exec 3<"$0"; echo open; read line`, `${database}/key4.db`],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = holder.stdout.getReader();
  await reader.read();
  await leavesUntouched(world.home, async () => {
    assert.deepEqual(await removeCreatedPaths(world.created), []);
  });
  await holder.stdin.close();
  await reader.cancel();
  await holder.status;
  await removeCreatedPaths(world.created);
  assert.deepEqual(treeState(world.home), []);
});

nssTest("a folder stays for a file of the user's own beside the database", async (world) => {
  const database = await madeAndEmptied(world);
  Deno.writeTextFileSync(`${world.home}/.pki/notes`, "mine");
  assert.deepEqual(await removeCreatedPaths(world.created), [`${database}/cert9.db`, database]);
  assert.equal(Deno.readTextFileSync(`${world.home}/.pki/notes`), "mine");
});

nssTest("what somebody else made stays, empty as it may be", async (world) => {
  const database = `${world.home}/.pki/nssdb`;
  makeDatabase(database);
  const store = world.open();
  await removeBundle(store, world.ca, await installBundle(store, world.ca));
  store.close();
  await removeCreatedPaths(world.created);
  assert.deepEqual(certutilTrust(database), {});
});

nssTest("a link that took a folder's place is neither removed nor followed", async (world) => {
  const database = await madeAndEmptied(world);
  Deno.renameSync(`${world.home}/.pki`, `${world.home}/moved`);
  Deno.symlinkSync("moved", `${world.home}/.pki`);
  Deno.renameSync(`${world.home}/moved/nssdb`, `${world.home}/moved/other`);
  Deno.symlinkSync("other", database);
  await leavesUntouched(world.home, async () => {
    await removeCreatedPaths(world.created);
  });
});

nssTest("a removal that was cut short is finished by the next", async (world) => {
  const database = await madeAndEmptied(world);
  Deno.removeSync(`${database}/cert9.db`);
  Deno.writeTextFileSync(`${database}/pkcs11.txt`, "library=\nname=NSS Internal PKCS #11 Module\n");
  await removeCreatedPaths(world.created);
  assert.deepEqual(treeState(world.home), []);
});

nssTest("an empty database that cannot be removed is a Problem", async (world) => {
  await onSmallDisk(world.home, async () => {
    await madeAndEmptied(world);
    run("mount", "-o", "remount,ro", world.home);
    await assert.rejects(removeCreatedPaths(world.created), isProblem("internal", /EROFS/));
  });
}, MOUNTING);
