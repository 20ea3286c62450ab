/** Who may use the keys in the keychain without asking the user, on the modelled Mac. */
import assert from "node:assert/strict";
import { KeyAccessLost } from "../platform/errors.ts";
import {
  install,
  keychainOf,
  macStory,
  makeKey,
  useKeychain,
  useOf,
} from "./macos_model/keychain_stories.ts";

const CHROME = "/Applications/Google Chrome.app";
const SAFARI = "/Applications/Safari.app";
const SAFARI_NETWORKING =
  "/System/Library/Frameworks/WebKit.framework/Versions/A/XPCServices/com.apple.WebKit.Networking.xpc";
const CHROME_CODE = {
  identifier: "com.google.Chrome",
  authority: "Developer ID Application: Google LLC (EQHXZ8M8AV)",
  team: "EQHXZ8M8AV",
};
const PROGRAM = "/usr/local/bin/device-trust";
const EDGE = "/Applications/Microsoft Edge.app";
const EDGE_CODE = {
  identifier: "com.microsoft.edgemac",
  authority: "Developer ID Application: Microsoft Corporation (UBF8T346G9)",
  team: "UBF8T346G9",
};
const VPN = "/Applications/VPN.app";
const VPN_CODE = {
  identifier: "com.example.vpn",
  authority: "Developer ID Application: Example (ABCDE12345)",
  team: "ABCDE12345",
};

macStory(
  "browsers and the server's applications use the key silently, others ask",
  async (mac, ca) => {
    mac.macosApplications = [mac.addApplication(VPN, VPN_CODE)];
    mac.addApplication("/Applications/Game.app", { ...VPN_CODE, identifier: "com.example.game" });
    mac.addApplication("/Applications/Unsigned.app", { identifier: "unsigned" });
    await install(mac, ca);
    for (const path of [CHROME, SAFARI, SAFARI_NETWORKING, VPN]) {
      assert.equal(useOf(mac, path), "silent", path);
    }
    assert.equal(useOf(mac, "/Applications/Game.app"), "asks: not in the access list");
    assert.equal(useOf(mac, "/Applications/Unsigned.app"), "asks: not in the access list");
  },
);

macStory("a browser that comes later is let in with the next key", async (mac, ca) => {
  await install(mac, ca);
  mac.addApplication(EDGE, EDGE_CODE);
  await useKeychain(mac, async (store) => void await store.list());
  assert.deepEqual(keychainOf(mac).keys[0]?.partitions.includes("teamid:UBF8T346G9"), true);
  await install(mac, ca);
  assert.equal(useOf(mac, EDGE, 1), "silent");
});

macStory("applications that cannot be let in are named with the reason", async (mac, ca) => {
  const unsigned = mac.addApplication("/Applications/Unsigned.app", { identifier: "unsigned" });
  mac.macosApplications = ["Mail.app", "/Applications/Gone.app", unsigned];
  const many = Array.from({ length: 30 }, (_, n) => `/Applications/Tool ${n}.app`)
    .map((path) => mac.addApplication(path, VPN_CODE));
  mac.macosApplications.push(...many);
  await install(mac, ca, (store) => {
    assert.deepEqual(store.refused.slice(0, 3).map(({ reason }) => reason), [
      "it is not named by an absolute path",
      "it is not installed",
      "it is not signed",
    ]);
    assert.equal(store.refused.length, 3 + 30 - 21);
  });
  assert.equal(keychainOf(mac).keys[0]?.applications.length, 25);
});

macStory("a key cannot be exported, and its keychain never locks by itself", async (mac, ca) => {
  await install(mac, ca);
  const { keys, lockAfter, lockOnSleep } = keychainOf(mac);
  assert.deepEqual(keys.map(({ extractable }) => extractable), [false]);
  assert.deepEqual([lockAfter, lockOnSleep], [null, false]);
});

macStory("a key without a leaf is found again by what the ledger knows", async (mac) => {
  const spki = await useKeychain(mac, (store) => makeKey(mac, store));
  await useKeychain(mac, async (store) => {
    const [id = ""] = (await store.list()).keys;
    const signature = await store.sign(id, new Uint8Array(5));
    assert.ok(await isEcdsa(spki, signature, new Uint8Array(5)));
  });
});

macStory(
  "a browser that was updated keeps its access, and this program when signed",
  async (mac, ca) => {
    const team = {
      identifier: "device-trust",
      authority: "Developer ID Application",
      team: "X1234567YZ",
    };
    mac.addApplication(PROGRAM, team);
    await install(mac, ca);
    mac.addApplication(CHROME, CHROME_CODE);
    mac.addApplication(PROGRAM, team);
    assert.equal(useOf(mac, CHROME), "silent");
    await useKeychain(mac, async (store) => {
      const [id = ""] = (await store.list()).keys;
      assert.equal((await store.sign(id, new Uint8Array(5))).length, 64);
    });
  },
);

macStory("this program unsigned loses its access by an update, and is told so", async (mac, ca) => {
  await install(mac, ca);
  mac.addApplication(PROGRAM, { identifier: "device-trust", authority: "" });
  await useKeychain(mac, async (store) => {
    const [id = ""] = (await store.list()).keys;
    await assert.rejects(store.sign(id, new Uint8Array(5)), KeyAccessLost);
  });
});

async function isEcdsa(spki: Uint8Array, signature: Uint8Array, message: Uint8Array) {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const bytes = (octets: Uint8Array) => new Uint8Array(octets);
  const key = await crypto.subtle.importKey("spki", bytes(spki), algorithm, true, ["verify"]);
  const how = { name: "ECDSA", hash: "SHA-256" };
  return await crypto.subtle.verify(how, key, bytes(signature), bytes(message));
}
