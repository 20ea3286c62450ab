/** The modelled `security` refuses what Apple's refuses; each case is a line of Apple's source. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { encryptPrivateKey } from "../../platform/macos/encrypted_key.ts";
import { LINE_BYTES, securityLine } from "../../platform/macos/security_command.ts";
import { linesOf, splitLine } from "./command_words.ts";
import { emptyKeychain } from "./model_state.ts";
import { ScratchMac } from "./scratch_mac.ts";
import { Forbidden } from "./security_grammar.ts";
import { runSecurity } from "./security_program.ts";

Deno.test("an unknown command, option, order or operand is refused", () => {
  using mac = new ScratchMac();
  const cases: [string[], number][] = [
    [["make-keychain", "/k"], 1],
    [["list-keychain", "-d", "user"], 1],
    [["unlock-keychain", "-x", mac.login], 2],
    [["unlock-keychain", mac.login, "-p", "x"], 2],
    [["set-keychain-settings", mac.login, "/other"], 2],
    [["import", "-k", mac.login, "/file"], 2],
    [["find-generic-password", "-a"], 2],
    [["add-generic-password", "-a", "ada", "-w", "x", mac.login], 2],
    [["login-keychain", "-d", "user"], 1],
    [["delete-keychain", "/nowhere"], -25294],
  ];
  for (const [words, code] of cases) {
    assert.equal(run(mac, words).code, code & 0xff, words.join(" "));
  }
});

Deno.test("what could harm a Mac, or is not modelled, is no answer but an error", () => {
  using mac = new ScratchMac();
  for (
    const words of [
      ["delete-keychain"],
      ["unlock-keychain", "-p", "x"],
      ["set-key-partition-list", "-S", "apple:", "-k", "x", "-t", "private"],
      ["delete-certificate", "-t", "-Z", "00", mac.login],
      ["delete-certificate", "-c", "Leaf", mac.login],
      ["add-trusted-cert", "/file"],
      ["remove-trusted-cert", "/file"],
      ["list-keychains", "-s", mac.login],
      ["lock-keychain", "-a"],
      ["dump-keychain", "-d", mac.login],
      ["find-identity", mac.login],
    ]
  ) assert.throws(() => run(mac, words), Forbidden, words.join(" "));
});

Deno.test("the status of -i is that of its last line, and a line without an end is not read", () => {
  using mac = new ScratchMac();
  const good = `lock-keychain "${mac.login}"\n`;
  assert.equal(run(mac, ["-i"], `bad\n${good}`).code, 0);
  assert.equal(run(mac, ["-i"], `${good}bad\n`).stderr.includes("bad: returned 1"), true);
  assert.equal(run(mac, ["-i"], `${good}bad\n`).code, 1);
  assert.equal(run(mac, ["-i"], `${good}bad`).code, 0);
  assert.equal(run(mac, ["-i"], `bad\n\n`).code, 0);
});

Deno.test("a line of 4,095 bytes is cut, and a 33rd word dropped, in silence", () => {
  assert.deepEqual(linesOf(`${"a".repeat(4094)}\n`), ["a".repeat(4094)]);
  assert.deepEqual(linesOf(`${"a".repeat(4095)}\n`), ["a".repeat(4095), ""]);
  assert.deepEqual(linesOf(`${"a".repeat(4097)}\n`), ["a".repeat(4095), "aa"]);
  assert.equal(splitLine("w ".repeat(40)).length, 32);
});

Deno.test("a line of the product is read as the words that were meant, or not written", () => {
  const unit = fc.constantFrom(...`"'\\ -$a\u00a0é漢😀`);
  const words = fc.array(fc.string({ unit, maxLength: 60 }), {
    minLength: 1,
    maxLength: 34,
  });
  fc.assert(fc.property(words, (words) => {
    let line: string;
    try {
      line = securityLine(words);
    } catch {
      return;
    }
    assert.deepEqual(linesOf(line).map(splitLine), [words]);
  }));
  assert.equal(linesOf(securityLine(["a".repeat(LINE_BYTES - 3)])).length, 1);
  assert.throws(() => securityLine(["a".repeat(LINE_BYTES - 2)]));
  assert.throws(() => securityLine(Array.from({ length: 33 }, () => "a")));
});

Deno.test("an open keychain takes any password, a closed one its own; a change needs the old", () => {
  using mac = new ScratchMac();
  mac.change(({ keychains }) => void (keychains[mac.login] = emptyKeychain("right")));
  const unlock = (password: string) =>
    run(mac, ["unlock-keychain", "-p", password, mac.login]).code;
  const change = (old: string) =>
    run(mac, ["set-keychain-password", "-o", old, "-p", "next", mac.login]).code;
  assert.equal(unlock("wrong"), 0);
  assert.equal(change("wrong"), -25293 & 0xff);
  run(mac, ["lock-keychain", mac.login]);
  assert.equal(unlock("wrong"), -25293 & 0xff);
  assert.equal(unlock("right"), 0);
  assert.equal(change("right"), 0);
});

Deno.test("a locked keychain asks the user, which a test sees", () => {
  using mac = new ScratchMac();
  run(mac, ["lock-keychain", mac.login]);
  const add = ["add-generic-password", "-a", "ada", "-s", "x", "-w", "y", mac.login];
  assert.equal(run(mac, add).code, -25308 & 0xff);
  assert.equal(mac.state().prompts.length, 1);
});

Deno.test("a key is imported in the one form that Apple reads, and only once", () => {
  using mac = new ScratchMac();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pkcs8 = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const ours = encryptPrivateKey(pkcs8, "right", random);
  const modern = {
    type: "pkcs8",
    format: "der",
    cipher: "aes-256-cbc",
    passphrase: "right",
  } as const;
  const openssl = createPrivateKey(privateKey.export({ type: "pkcs8", format: "pem" })).export(
    modern,
  );
  // The public half of another key, which an importer would believe.
  const mixed = pkcs8.slice();
  mixed.set(random(64), mixed.length - 64);
  assert.equal(importKey(mac, new Uint8Array(openssl), "right"), 1);
  assert.equal(importKey(mac, ours, "wrong"), 1);
  assert.equal(importKey(mac, encryptPrivateKey(mixed, "right", random), "right"), 1);
  assert.equal(importKey(mac, ours, "right", "/Applications/Gone.app"), 1);
  assert.equal(importKey(mac, ours, "right"), 0);
  assert.equal(importKey(mac, ours, "right"), 1);
  assert.equal(mac.state().keychains[mac.login]?.keys.length, 1);
});

Deno.test("a key's file that others may read fails the test that wrote it", () => {
  using mac = new ScratchMac();
  const file = `${mac.folder}/key.p8`;
  Deno.writeFileSync(file, new Uint8Array(3), { mode: 0o644 });
  const words = ["import", file, "-k", mac.login, "-t", "priv", "-f", "pkcs8", "-P", "x"];
  assert.throws(() => run(mac, words), Forbidden);
});

Deno.test("an identity is preferred for a service while both its halves are there", () => {
  using mac = new ScratchMac();
  const set = ["set-identity-preference", "-s", "*.example.com", "-Z", "00".repeat(32), mac.login];
  assert.equal(run(mac, set).code, 1);
  const get = ["get-identity-preference", "-s", "*.example.com", "-Z"];
  assert.equal(run(mac, get).code, -25300 & 0xff);
  // Of a certificate that is gone: found by nothing but its own name.
  mac.change((state) => void (state.identityPreferences["*.example.com"] = "AB"));
  assert.equal(run(mac, get).code, -25300 & 0xff);
  const clear = ["set-identity-preference", "-n", "-s", "*.example.com"];
  assert.equal(run(mac, clear).code, 0);
  assert.equal(run(mac, clear).code, -25300 & 0xff);
});

function run(mac: ScratchMac, words: string[], input = "") {
  return mac.change((state) => runSecurity(state, words, input));
}

function importKey(mac: ScratchMac, file: Uint8Array, passphrase: string, application = "") {
  const folder = `${mac.folder}/import`;
  Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
  Deno.writeFileSync(`${folder}/key.p8`, file, { mode: 0o600 });
  const words = ["import", `${folder}/key.p8`, "-k", mac.login, "-t", "priv", "-f", "pkcs8", "-x"];
  const access = application === "" ? [] : ["-T", application];
  return run(mac, [...words, "-P", passphrase, ...access]).code;
}
