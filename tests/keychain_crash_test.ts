/** The keychain adapter killed at every call of `security`: what remains, and how it goes on. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { Problem } from "../platform/errors.ts";
import { removeCreatedKeychain } from "../platform/macos/keychain.ts";
import { passwordItemName } from "../platform/macos/keychain_password.ts";
import { macStory, path, removeContents, useKeychain } from "./macos_model/keychain_stories.ts";
import { Killed, type KillPoint, ScratchMac } from "./macos_model/scratch_mac.ts";
import { labelOf } from "./macos_model/security_items.ts";
import { testWith } from "./skip.ts";
import { makeThrowawayCa, type ThrowawayCa } from "./throwaway_ca.ts";

const ITEM = passwordItemName("JumpCloud");

/** What a user-agent does at an install or a renewal, from whatever is there. */
async function renew(mac: ScratchMac, ca: ThrowawayCa): Promise<void> {
  await useKeychain(mac, async (store) => {
    const before = await store.list();
    await store.install("root", ca.root);
    const pending = mac.ledger.publicKeys.find((spki) =>
      before.keys.includes(sha256(spki)) && !before.certificates.some(({ der }) => has(der, spki))
    );
    const spki = pending ?? await store.createKey("P-256", (spki) => {
      mac.ledger.publicKeys.push(spki);
    });
    const leaf = ca.issue(spki, { subject: "/CN=Leaf" });
    await store.install("leaf", leaf);
    for (const old of before.certificates) {
      if (old.hasKey) await store.removeCertificate(old.sha256);
    }
    for (const key of before.keys) if (key !== sha256(spki)) await store.removeKey(key);
  });
}

/** What a user-agent does when distribution is off. */
async function removeAll(mac: ScratchMac): Promise<void> {
  await removeContents(mac);
  await removeCreatedKeychain(mac.options());
}

/** Runs it, dying at that point. @returns whether it got that far */
async function killed(mac: ScratchMac, at: KillPoint, run: () => Promise<void>): Promise<boolean> {
  mac.revive();
  mac.killAt = at;
  try {
    await run();
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  } finally {
    mac.revive();
  }
}

/** Everything that must be so however it came to be. */
function checkWhole(mac: ScratchMac): void {
  const state = mac.state();
  const keychain = state.keychains[path(mac)];
  assert.ok(keychain, "the keychain is there");
  const items = state.keychains[mac.login]?.passwords.filter(({ account }) => account !== "ada");
  assert.deepEqual(
    items?.map(({ service, password }) => [service, password]),
    [[ITEM, keychain.password]],
    "one password item, and it is the keychain's",
  );
  for (const { label } of keychain.keys) {
    assert.ok(mac.ledger.publicKeys.some((spki) => labelOf(spki) === label), "the ledger knows it");
  }
  checkOthers(mac);
  assert.equal(state.searchList.filter((entry) => entry === path(mac)).length, 1);
  assert.deepEqual([keychain.lockOnSleep, keychain.lockAfter], [false, null]);
  assert.equal(keychain.locked, false);
  assert.deepEqual([keychain.keys.length, keychain.certificates.length], [1, 2]);
  assert.deepEqual(state.prompts, [], "the user was asked nothing");
  assert.equal(leftovers(mac), 0, "no file of an import is left");
}

/** The user's own things, which are in every scratch Mac, are as they were. */
function checkOthers(mac: ScratchMac): void {
  using untouched = new ScratchMac();
  const others = (from: ScratchMac) => {
    const { searchList, keychains } = from.state();
    const text = JSON.stringify([
      searchList.filter((entry) => entry !== path(from)),
      keychains[from.login]?.passwords.filter(({ account }) => account === "ada"),
      keychains[`${from.home}/Library/Keychains/work.keychain`],
    ]);
    return text.replaceAll(from.folder, "");
  };
  assert.equal(others(mac), others(untouched));
}

function leftovers(mac: ScratchMac): number {
  const folder = `${mac.options().stateDir}/import`;
  try {
    return [...Deno.readDirSync(folder)].length;
  } catch {
    return 0;
  }
}

macStory("killed anywhere in a first install, it goes on to the same end", async (_, ca) => {
  for (let call = 1, ended = false; !ended; call++) {
    using mac = new ScratchMac();
    ended = !await killed(mac, { call, when: "before" }, () => renew(mac, ca));
    await renew(mac, ca);
    checkWhole(mac);
    assert.ok(!ended || call > 30, `killed ${call} times`);
  }
});

macStory("killed anywhere in a renewal, it goes on to the same end", async (mac, ca) => {
  await renew(mac, ca);
  let call = 1;
  while (await killed(mac, { call, when: "before" }, () => renew(mac, ca))) {
    assert.ok(leavesOf(mac) > 0, `no leaf when killed before call ${call}`);
    await renew(mac, ca);
    checkWhole(mac);
    call++;
  }
  assert.ok(call > 30, `killed ${call} times`);
});

macStory("killed anywhere in a removal, it goes on until nothing is left", async (mac, ca) => {
  const before = mac.state();
  for (let call = 1, ended = false; !ended; call++) {
    await renew(mac, ca);
    ended = !await killed(mac, { call, when: "before" }, () => removeAll(mac));
    await removeAll(mac);
    assert.deepEqual(mac.state(), before);
    assert.deepEqual(filesOf(mac.home).sort(), [
      "Library/Keychains/login.keychain-db",
      "Library/Keychains/work.keychain-db",
    ]);
    mac.ledger.created.length = 0;
    assert.ok(!ended || call > 15, `killed ${call} times`);
  }
});

macStory("the file of an import that was killed goes at the next look", async (mac, ca) => {
  for (let call = 1; leftovers(mac) === 0; call++) {
    assert.ok(await killed(mac, { call, when: "after" }, () => renew(mac, ca)), "a file was left");
  }
  await useKeychain(mac, async (store) => void await store.list());
  assert.equal(leftovers(mac), 0);
});

testWith(
  ["openssl"],
  "keychain: kills, faults and reboots in any order end whole, and the rest is untouched",
  async () => {
    const step = fc.record({
      do: fc.constantFrom("kill", "fault", "reboot", "log-out", "renew"),
      call: fc.integer({ min: 1, max: 90 }),
      when: fc.constantFrom("before" as const, "after" as const),
      command: fc.constantFrom(...COMMANDS),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        using mac = new ScratchMac();
        const ca = makeThrowawayCa(mac.folder);
        for (const { do: what, call, when, command } of steps) {
          if (what === "kill") await killed(mac, { call, when }, () => renew(mac, ca));
          else if (what === "fault") {
            mac.change((state) => void state.faults.push({ command, code: 36 }));
            await waits(renew(mac, ca));
            mac.change((state) => void (state.faults = []));
          } else if (what === "reboot") lock(mac, path(mac), true);
          else if (what === "log-out") {
            lock(mac, mac.login, true);
            await waits(renew(mac, ca));
            lock(mac, mac.login, false);
          } else await renew(mac, ca);
        }
        await renew(mac, ca);
        checkWhole(mac);
      }),
      { numRuns: 12 },
    );
  },
);

/** Commands that macOS may refuse for a moment. */
const COMMANDS = [
  ...["login-keychain", "list-keychains", "create-keychain", "unlock-keychain", "lock-keychain"],
  ...["set-keychain-settings", "set-keychain-password", "dump-keychain", "find-certificate"],
  ...["import", "set-key-partition-list", "delete-certificate", "delete-identity"],
  ...["find-generic-password", "add-generic-password", "delete-generic-password"],
];

/** It either works, or says that it waits. */
async function waits(run: Promise<void>): Promise<void> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof Problem && error.waiting, String(error));
  }
}

function lock(mac: ScratchMac, keychain: string, locked: boolean): void {
  mac.change(({ keychains }) => {
    const found = keychains[keychain];
    if (found) found.locked = locked;
  });
}

function filesOf(folder: string, below = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${below}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesOf(folder, `${below}${name}/`) : [`${below}${name}`]
  );
}

/** Whether a certificate is for this key. */
function has(der: Uint8Array, spki: Uint8Array): boolean {
  return Buffer.from(der).includes(Buffer.from(spki));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function leavesOf(mac: ScratchMac): number {
  const { keychains } = mac.state();
  const keychain = keychains[path(mac)];
  return Math.min(keychain?.keys.length ?? 0, (keychain?.certificates.length ?? 0) - 1);
}
