/** No password and no key is ever in an argument or in the environment of a program that is run. */
import assert from "node:assert/strict";
import { runCommand } from "../platform/command.ts";
import {
  type OpenKeychain,
  openKeychain,
  removeCreatedKeychain,
} from "../platform/macos/keychain.ts";
import { type RecordedCall, ScratchMac } from "./macos_model/scratch_mac.ts";
import { splitLine } from "./macos_model/command_words.ts";
import { testWith } from "./skip.ts";
import { makeThrowawayCa } from "./throwaway_ca.ts";

/** Commands that are given a secret, and the options that it stands behind. */
const SECRET_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "create-keychain": ["-p"],
  "unlock-keychain": ["-p"],
  "set-keychain-password": ["-o", "-p"],
  "add-generic-password": ["-w"],
  "set-key-partition-list": ["-k"],
  "import": ["-P"],
};

testWith(
  ["openssl"],
  "keychain: installs, renewals and removal show no secret in arguments or environment",
  async () => {
    using mac = new ScratchMac();
    const keys = [...await install(mac, mac.options()), ...await install(mac, mac.options())];
    await removeAll(mac);
    checkCalls(mac.calls, keys);
    for (const name of Object.keys(SECRET_OPTIONS)) {
      assert.ok(mac.calls.some(({ stdin }) => splitLine(stdin)[0] === name), `${name} was run`);
    }
    for (const { stdin } of mac.calls) assert.ok(/^([^\n]+\n)?$/.test(stdin), "one command each");
  },
);

testWith(["openssl"], "keychain: nor do they as real processes", async () => {
  using mac = new ScratchMac();
  const keys = await install(mac, {
    ...mac.options(),
    ...mac.installPrograms(),
    run: runCommand,
  });
  const calls = Deno.readTextFileSync(`${mac.folder}/calls.jsonl`).trim().split("\n")
    .map((line): RecordedCall => JSON.parse(line));
  checkCalls(calls, keys);
});

/** No secret of these calls, nor one of the others that are given, shows in any of them. */
function checkCalls(calls: readonly RecordedCall[], others: readonly string[]): void {
  const secrets = [...new Set([...calls.flatMap(secretsIn), ...others])];
  assert.ok(secrets.length >= 6, `${secrets.length} secrets were looked for`);
  for (const { argv, env } of calls) {
    const seen = JSON.stringify([argv, env]);
    for (const secret of secrets) assert.ok(!seen.includes(secret), `${argv[0]} shows a secret`);
    const names = Object.keys(env).filter((name) => !NOT_OURS.test(name)).sort();
    assert.deepEqual(names, ["HOME", "PATH"]);
  }
}

/** Makes a key and installs its leaf. @returns what the private keys could be told by */
async function install(mac: ScratchMac, options: OpenKeychain): Promise<string[]> {
  const store = openKeychain(options);
  const spki = await store.createKey("P-256", (spki) => void mac.ledger.publicKeys.push(spki));
  await store.install("leaf", makeThrowawayCa(mac.folder).issue(spki, { subject: "/CN=Leaf" }));
  store.close();
  return privateKeys(mac);
}

async function removeAll(mac: ScratchMac): Promise<void> {
  const store = openKeychain({ ...mac.options(), create: false });
  const { certificates, keys } = await store.list();
  for (const { sha256 } of certificates) await store.removeCertificate(sha256);
  for (const key of keys) await store.removeKey(key);
  store.close();
  await removeCreatedKeychain(mac.options());
}

/** What the model's own start sets. */
const NOT_OURS = /^(PWD|SHLVL|_|OLDPWD|DENO_\w+)$/;

/** The secrets of a call, wherever it has them. */
function secretsIn({ argv, stdin }: RecordedCall): string[] {
  const words = argv[0] === "-i" ? splitLine(stdin) : argv;
  const options = SECRET_OPTIONS[words[0] ?? ""] ?? [];
  return words.flatMap((word, index) =>
    options.flatMap((option) => {
      if (word === option) return words[index + 1] ?? [];
      return word.startsWith(option) && word.length > 30 ? word.slice(2) : [];
    })
  );
}

/** The private keys in the keychains, in the forms that they could be told in. */
function privateKeys(mac: ScratchMac): string[] {
  return Object.values(mac.state().keychains).flatMap(({ keys }) =>
    keys.flatMap(({ pkcs8 }) => {
      const bytes = Uint8Array.fromBase64(pkcs8);
      return [pkcs8, pkcs8.slice(40, 80), bytes.toHex().slice(72, 136)];
    })
  );
}
