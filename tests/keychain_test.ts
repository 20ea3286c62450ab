/** The keychain adapter on the modelled Mac: the keychain, its password, and what is not ours. */
import assert from "node:assert/strict";
import { Problem } from "../platform/errors.ts";
import {
  openKeychain,
  readKeychainPassword,
  removeCreatedKeychain,
} from "../platform/macos/keychain.ts";
import { keychainPath } from "../platform/macos/keychain_file.ts";
import { passwordItemName } from "../platform/macos/keychain_password.ts";
import {
  install,
  isFailure,
  isWaiting,
  keychainIn,
  keychainOf,
  macStory,
  path,
  removeContents,
  useKeychain,
  useOf,
} from "./macos_model/keychain_stories.ts";
import { ScratchMac } from "./macos_model/scratch_mac.ts";
import { trustStoreContract } from "./trust_store_contract.ts";

trustStoreContract("keychain", () => {
  const mac = new ScratchMac();
  return { open: () => openKeychain(mac.options()), dispose: () => mac[Symbol.dispose]() };
});

const CHROME = "/Applications/Google Chrome.app";

macStory("the password changes with every leaf, and the user can read it", async (mac, ca) => {
  const seen = new Set<string>();
  for (let n = 1; n <= 3; n++) {
    await install(mac, ca);
    const password = await readKeychainPassword(mac.options());
    assert.match(password ?? "", /^[A-Za-z0-9]{32}$/);
    assert.equal(keychainOf(mac).password, password);
    seen.add(password ?? "");
    assert.equal(seen.size, n);
  }
  const items = mac.state().keychains[mac.login]?.passwords ?? [];
  assert.deepEqual(items.map(({ label }) => label), ["Wi-Fi", passwordItemName("JumpCloud")]);
});

macStory("after a reboot the keychain is opened before a browser can ask", async (mac, ca) => {
  await install(mac, ca);
  mac.change((state) => void (keychainIn(mac, state.keychains).locked = true));
  assert.equal(useOf(mac, CHROME), "asks: keychain locked");
  await useKeychain(mac, async (store) => void await store.list());
  assert.equal(useOf(mac, CHROME), "silent");
});

macStory("the search list keeps everybody's entries in their order", async (mac, ca) => {
  const theirs = mac.state().searchList;
  await install(mac, ca);
  assert.deepEqual(mac.state().searchList, [...theirs, path(mac)]);
  // Another program writes its own idea of the list, without ours.
  const changed = ["/Volumes/Team/team.keychain", mac.login];
  mac.change((state) => void (state.searchList = changed.slice()));
  await useKeychain(mac, async (store) => void await store.list());
  assert.deepEqual(mac.state().searchList, [...changed, path(mac)]);
});

macStory("a list that was never set keeps the login keychain in use", async (mac, ca) => {
  mac.change((state) => void (state.searchList = []));
  await install(mac, ca);
  assert.deepEqual(mac.state().searchList, [mac.login, path(mac)]);
  mac.change((state) => void (state.searchList = []));
  await useKeychain(mac, async (store) => void await store.list());
  assert.deepEqual(mac.state().searchList, [mac.login, path(mac)]);
});

macStory(
  "without an open login keychain it waits, asks nobody and removes nothing",
  async (mac, ca) => {
    await install(mac, ca);
    const before = keychainOf(mac);
    const gone = `${mac.home}/Library/Keychains/login.keychain-db`;
    for (
      const [code, hide, show] of [
        ["store-locked", () => lockLogin(mac, true), () => lockLogin(mac, false)],
        [
          "not-logged-on",
          () => mac.change((state) => void (state.login = null)),
          () => mac.change((state) => void (state.login = mac.login)),
        ],
        [
          "not-logged-on",
          () => Deno.renameSync(gone, `${gone}.aside`),
          () => Deno.renameSync(`${gone}.aside`, gone),
        ],
      ] as const
    ) {
      hide();
      for (const create of [true, false]) {
        await assert.rejects(useKeychain(mac, (store) => store.list(), create), isWaiting(code));
      }
      show();
      assert.deepEqual(keychainOf(mac), before);
    }
  },
);

macStory("what macOS refuses for a moment after wake is tried again", async (mac, ca) => {
  await install(mac, ca);
  const before = keychainOf(mac).keys;
  for (const command of ["find-generic-password", "unlock-keychain", "dump-keychain"]) {
    mac.change((state) => void state.faults.push({ command, code: 36 }));
    await assert.rejects(useKeychain(mac, (store) => store.list()), isWaiting("store-locked"));
    await useKeychain(mac, (store) => store.list());
    assert.deepEqual(keychainOf(mac).keys, before);
  }
});

macStory("a keychain that is locked in the middle of the work waits too", async (mac, ca) => {
  await install(mac, ca);
  const options = mac.options();
  const store = openKeychain({
    ...options,
    run(command) {
      if (command.argv.includes("import")) {
        mac.change((state) => {
          keychainIn(mac, state.keychains).locked = true;
          state.faults.push({ command: "import", code: 1 });
        });
      }
      return options.run(command);
    },
  });
  await assert.rejects(store.install("root", ca.root), isWaiting("store-locked"));
  store.close();
  await useKeychain(mac, (store) => store.install("root", ca.root));
  assert.equal(keychainOf(mac).certificates.length, 2);
});

macStory("ours that no stored password opens is made anew", async (mac, ca) => {
  await install(mac, ca);
  // The user's login keychain was reset, as after a forgotten password; then the Mac restarted.
  mac.change(({ keychains }) => {
    (keychains[mac.login] ?? keychainIn(mac, keychains)).passwords = [];
    keychainIn(mac, keychains).locked = true;
  });
  await useKeychain(mac, async (store) => {
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
  });
  await install(mac, ca);
  assert.equal(useOf(mac, CHROME), "silent");
});

macStory("ours whose password somebody changed is made anew", async (mac, ca) => {
  await install(mac, ca);
  mac.change(({ keychains }) => void (keychainIn(mac, keychains).password = "by hand"));
  await assert.rejects(useKeychain(mac, (store) => store.list()), isWaiting("store-locked"));
  await install(mac, ca);
  assert.equal(keychainOf(mac).password, await readKeychainPassword(mac.options()));
});

macStory("a ledger that was lost does not make ours foreign", async (mac, ca) => {
  await install(mac, ca);
  mac.ledger.created.length = 0;
  await useKeychain(mac, async (store) => assert.equal((await store.list()).keys.length, 1));
  assert.deepEqual(mac.ledger.created.map((created) => created.path), [path(mac)]);
});

macStory("a keychain of our name that is not ours is left alone", async (mac, ca) => {
  await install(mac, ca);
  // As another product of that brand would have it: the same names, an account of its own.
  mac.ledger.created.length = 0;
  mac.change(({ keychains }) => {
    for (const item of keychains[mac.login]?.passwords ?? []) item.account = "ada";
  });
  const before = mac.state();
  for (const create of [true, false]) {
    const opening = useKeychain(mac, (store) => store.list(), create);
    await assert.rejects(opening, isFailure(/did not make/));
  }
  assert.deepEqual(await removeCreatedKeychain(mac.options()), []);
  assert.deepEqual(mac.state(), before);
});

macStory(
  "removal takes exactly ours, and leaves a keychain that somebody uses",
  async (mac, ca) => {
    const before = mac.state();
    await install(mac, ca);
    const theirs = { account: "ada", service: "Wiki", label: "Wiki", password: "x" };
    mac.change(({ keychains }) => void keychainIn(mac, keychains).passwords.push(theirs));
    await removeContents(mac);
    assert.deepEqual(await removeCreatedKeychain(mac.options()), []);
    assert.equal(await readKeychainPassword(mac.options()), keychainOf(mac).password);
    assert.deepEqual(keychainOf(mac).passwords, [theirs]);
    mac.change(({ keychains }) => void (keychainIn(mac, keychains).passwords = []));
    assert.deepEqual(await removeCreatedKeychain(mac.options()), [path(mac)]);
    assert.deepEqual(mac.state(), before);
    assert.deepEqual(await removeCreatedKeychain(mac.options()), [path(mac)]);
  },
);

macStory("a key that Apple's importer was cut off in is in nobody's way", async (mac, ca) => {
  const before = mac.state();
  await install(mac, ca);
  mac.change(({ keychains }) => {
    const { keys } = keychainIn(mac, keychains);
    const [key] = keys;
    // The label of sixteen random digits that it has until it is given its hash.
    if (key) keys.push({ ...key, label: new TextEncoder().encode("0123456789ABCDEF").toHex() });
  });
  assert.equal((await useKeychain(mac, (store) => store.list())).keys.length, 1);
  await removeContents(mac);
  await removeCreatedKeychain(mac.options());
  assert.deepEqual(mac.state(), before);
});

macStory("a password item of our name that is not ours stays as it is", async (mac, ca) => {
  const service = "JumpCloud Device Trust Keychain Password";
  const theirs = { account: "ada", service, label: service, password: "theirs" };
  mac.change(({ keychains }) => void keychains[mac.login]?.passwords.push(theirs));
  await install(mac, ca);
  assert.equal(await readKeychainPassword(mac.options()), keychainOf(mac).password);
  await removeContents(mac);
  await removeCreatedKeychain(mac.options());
  assert.deepEqual(mac.state().keychains[mac.login]?.passwords.slice(1), [theirs]);
});

macStory("opened to remove, it makes nothing", async (mac) => {
  const before = mac.state();
  await useKeychain(mac, async (store) => {
    assert.deepEqual(await store.list(), { certificates: [], keys: [] });
    await assert.rejects(store.createKey("P-256", () => {}), isFailure(/opened to remove/));
  }, false);
  assert.deepEqual(mac.state(), before);
});

Deno.test("keychain: its names follow the brand", () => {
  assert.equal(
    keychainPath("/U", "JumpCloud"),
    "/U/Library/Keychains/jumpcloud-device-trust-keychain",
  );
  assert.equal(keychainPath("/U", "Acme"), "/U/Library/Keychains/acme-device-trust-keychain");
  assert.equal(passwordItemName("Acme"), "Acme Device Trust Keychain Password");
  assert.throws(() => keychainPath("/U", "../x"), Problem);
});

function lockLogin(mac: ScratchMac, locked: boolean): void {
  mac.change(({ keychains }) => {
    const login = keychains[mac.login];
    if (login) login.locked = locked;
  });
}
