import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { parseCertificate } from "../../ca/certificate.ts";
import { testWith } from "../../tests/skip.ts";
import { encryptPrivateKey, ImportFolder, randomPassword } from "./encrypted_key.ts";
import { isRemovalCertificate, removalCertificate } from "./removal_certificate.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

testWith(["openssl"], "what is encrypted for the import is what OpenSSL decrypts", () => {
  for (const { privateKey } of pairs()) {
    const pkcs8 = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
    const passphrase = randomPassword(random);
    const file = encryptPrivateKey(pkcs8, passphrase, random);
    const args = ["pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-outform", "DER"];
    const plain = openssl(args, file, passphrase);
    assert.deepEqual(plain, pkcs8);
    const described = openssl(["asn1parse", "-inform", "DER"], file);
    const text = new TextDecoder().decode(described);
    assert.match(text, /PBES2[^]*PBKDF2[^]*des-ede3-cbc/);
    assert.doesNotMatch(text, /hmac/i);
  }
});

testWith(["openssl"], "a removal certificate is one, of that key, and long ended", async () => {
  for (const { publicKey } of pairs()) {
    const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    const der = await removalCertificate(spki);
    assert.deepEqual(new Uint8Array(parseCertificate(der).spki), spki);
    assert.ok(parseCertificate(der).notAfter < new Date("2001-01-01"));
    assert.ok(await isRemovalCertificate(der, spki));
    const other = der.slice();
    other[other.length - 1] = 7;
    assert.ok(!await isRemovalCertificate(other, spki), "not by its name");
    const args = ["x509", "-inform", "DER", "-noout", "-subject"];
    const subject = new TextDecoder().decode(openssl(args, der));
    assert.match(subject, /device-trust key to be removed/);
  }
});

Deno.test("passwords are 32 letters and digits, each as likely as the others", () => {
  const counts = new Map<string, number>();
  for (let n = 0; n < 2000; n++) {
    const password = randomPassword(random);
    assert.match(password, /^[A-Za-z0-9]{32}$/);
    for (const character of password) counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  assert.equal(counts.size, 62);
  // 1032 are expected of each; five standard deviations are 160.
  for (const [character, count] of counts) assert.ok(Math.abs(count - 1032) < 200, character);
});

Deno.test("an import's file is its user's alone, and gone after success and failure", async () => {
  const stateDir = Deno.makeTempDirSync({ prefix: "import-" });
  try {
    const folder = new ImportFolder(stateDir);
    const modes = await folder.withFile("key.p8", new Uint8Array(3), (path) => {
      const parts = [path, path.slice(0, path.lastIndexOf("/"))];
      return Promise.resolve(parts.map((part) => (Deno.statSync(part).mode ?? 0) & 0o777));
    });
    assert.deepEqual(modes, [0o600, 0o700]);
    const failing = () => Promise.reject(new Error("refused"));
    await assert.rejects(folder.withFile("key.p8", new Uint8Array(3), failing), /refused/);
    assert.deepEqual([...Deno.readDirSync(stateDir)], []);
  } finally {
    Deno.removeSync(stateDir, { recursive: true });
  }
});

function pairs() {
  return [
    generateKeyPairSync("ec", { namedCurve: "P-256" }),
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ];
}

function openssl(args: string[], input: Uint8Array, passphrase?: string): Uint8Array {
  const folder = Deno.makeTempDirSync({ prefix: "openssl-" });
  try {
    Deno.writeFileSync(`${folder}/in`, input);
    const pass = passphrase === undefined ? [] : ["-passin", `pass:${passphrase}`];
    const command = new Deno.Command("openssl", {
      args: [...args, "-in", `${folder}/in`, ...pass],
    });
    const { success, stdout, stderr } = command.outputSync();
    assert.ok(success, new TextDecoder().decode(stderr));
    return stdout;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
