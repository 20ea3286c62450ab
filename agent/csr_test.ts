import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { DerError, fromPem } from "../ca/der.ts";
import { createCsr } from "./csr.ts";
import { testWith } from "../tests/skip.ts";

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
};

async function newKey(algorithm: typeof ECDSA | typeof RSA) {
  const { publicKey, privateKey } =
    await (algorithm === ECDSA
      ? crypto.subtle.generateKey(ECDSA, false, ["sign", "verify"])
      : crypto.subtle.generateKey(RSA, false, ["sign", "verify"]));
  return {
    spki: new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
    sign: async (message: Uint8Array) =>
      new Uint8Array(await crypto.subtle.sign(algorithm, privateKey, message.slice())),
  };
}

function openssl(input: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync("openssl", args, { input, encoding: "utf8" });
  return { ok: status === 0, output: stdout, text: stdout + stderr };
}

for (const [name, algorithm] of [["P-256", ECDSA], ["RSA-2048", RSA]] as const) {
  testWith(
    ["openssl"],
    `openssl verifies a request for a ${name} key, reads that key and no extension`,
    async () => {
      const { spki, sign } = await newKey(algorithm);
      // Signatures whose numbers have leading zeros are rarer than one in a hundred.
      for (let round = 0; round < (name === "P-256" ? 40 : 1); round++) {
        const pem = await createCsr(spki, name, sign);
        const read = openssl(pem, "req", "-verify", "-noout", "-text", "-subject", "-pubkey");
        assert.ok(read.ok, read.text);
        assert.match(read.text, /self-signature verify OK/);
        assert.match(read.text, /^subject=\s*$/m);
        assert.doesNotMatch(read.text, /X509v3/);
        const publicKey = /-----BEGIN PUBLIC KEY-----[^]*-----END PUBLIC KEY-----/.exec(
          read.output,
        );
        assert.deepEqual(fromPem("PUBLIC KEY", publicKey?.[0] ?? "", 4096), spki);
      }
      const named = await createCsr(spki, name, sign, "Größe");
      assert.match(
        openssl(named, "req", "-noout", "-subject", "-nameopt", "utf8").text,
        /^subject=CN ?= ?Größe$/m,
      );
    },
  );
}

Deno.test("a key of another algorithm, and a signature of a wrong length, are refused", async () => {
  const ec = await newKey(ECDSA);
  const rsa = await newKey(RSA);
  await assert.rejects(createCsr(ec.spki, "RSA-2048", rsa.sign), DerError);
  await assert.rejects(createCsr(rsa.spki, "P-256", ec.sign), DerError);
  await assert.rejects(createCsr(new Uint8Array(0), "P-256", ec.sign), DerError);
  await assert.rejects(createCsr(ec.spki, "P-256", rsa.sign), DerError);
});

Deno.test("what the signer throws is passed on", async () => {
  const { spki } = await newKey(ECDSA);
  const failure = new Error("the store is locked");
  await assert.rejects(createCsr(spki, "P-256", () => Promise.reject(failure)), failure);
});
