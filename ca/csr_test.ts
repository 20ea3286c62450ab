import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { checkCsr, CsrError, MAX_CSR_CHARS } from "./csr.ts";
import { contextTag, der, fromPem, hex, TAG, toPem } from "./der.ts";
import { ECDSA_SHA256, ecdsaFromDer, ecdsaToDer, readSigned, writeSigned } from "./signature.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

const LABEL = "CERTIFICATE REQUEST";

/** A request that openssl made with a new key; further arguments choose key and content. */
function opensslRequest(folder: string, ...options: string[]): string {
  const made = ask("openssl", [
    "req",
    "-new",
    "-nodes",
    "-keyout",
    join(folder, "key.pem"),
    "-subj",
    "/CN=anything",
    ...options,
  ]);
  assert.ok(made.ok, made.text);
  return made.output;
}

const P256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const rsa = (bits: number) => ["-newkey", `rsa:${bits}`];

function refused(code: CsrError["code"], words: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CsrError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}

testWith(
  ["openssl"],
  "requests that openssl makes are accepted, and only their key is taken",
  () =>
    inFolder(async (folder) => {
      const extensions = [
        "-addext",
        "subjectAltName=DNS:evil.example,email:root@evil.example",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-subj",
        "/O=Evil/CN=device-trust.intermediate",
      ];
      for (const options of [P256, [...P256, ...extensions], rsa(2048), rsa(3072), rsa(4096)]) {
        const pem = opensslRequest(folder, ...options);
        const checked = await checkCsr(pem);
        const spki = ask("openssl", ["pkey", "-in", join(folder, "key.pem"), "-pubout"]).output;
        assert.deepEqual(checked, {
          spki: fromPem("PUBLIC KEY", spki, 4096),
          algorithm: options[1] === "ec" ? "P-256" : "RSA-2048",
        });
      }
    }),
);

testWith(
  ["openssl"],
  "keys that are too weak, too large or of another kind are refused",
  () =>
    inFolder(async (folder) => {
      const cases: [string[], RegExp][] = [
        [["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], /neither P-256 nor RSA/],
        [["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], /neither P-256 nor RSA/],
        [["-newkey", "ed25519"], /neither P-256 nor RSA/],
        [rsa(1024), /RSA key of 1024 bits/],
        [rsa(2047), /RSA key of 2047 bits/],
        [rsa(4104), /RSA key of 4104 bits/],
        [[...rsa(2048), "-pkeyopt", "rsa_keygen_pubexp:3"], /exponent/],
      ];
      for (const [options, words] of cases) {
        const pem = opensslRequest(folder, ...options);
        await assert.rejects(checkCsr(pem), refused("key", words), options.join(" "));
      }
      const explicit = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        .concat("-pkeyopt", "ec_param_enc:explicit");
      await assert.rejects(
        checkCsr(opensslRequest(folder, ...explicit)),
        refused("key", /neither/),
      );
    }),
);

testWith(
  ["openssl"],
  "a compressed point is refused: one key has one form",
  () =>
    inFolder(async (folder) => {
      opensslRequest(folder, ...P256);
      const key = join(folder, "key.pem");
      const compressed = ask("openssl", ["ec", "-in", key, "-conv_form", "compressed"]).output;
      await Deno.writeTextFile(key, compressed);
      const { output } = ask("openssl", ["req", "-new", "-key", key, "-subj", "/CN=x"]);
      await assert.rejects(checkCsr(output), refused("key", /no whole P-256 point/));
    }),
);

Deno.test("a request of another version is refused, though its signature holds", async () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const request = async (version: number) => {
    const number = der(TAG.integer, Uint8Array.of(version));
    const body = der(TAG.sequence, number, der(TAG.sequence), spki, der(contextTag(0, true)));
    const signature = new Uint8Array(await crypto.subtle.sign(algorithm, keys.privateKey, body));
    const signed = { body, algorithm: ECDSA_SHA256, signature: ecdsaToDer(signature) };
    return toPem(LABEL, writeSigned(signed));
  };
  assert.deepEqual(await checkCsr(await request(0)), { spki, algorithm: "P-256" });
  await assert.rejects(checkCsr(await request(1)), refused("malformed", /version 2/));
});

testWith(
  ["openssl"],
  "a request that its own key did not sign with SHA-256 is refused",
  () =>
    inFolder(async (folder) => {
      const mine = readSigned(read(opensslRequest(folder, ...P256)), "mine");
      const theirs = readSigned(read(opensslRequest(folder, ...P256)), "theirs");
      const write = (signed: typeof mine) => toPem(LABEL, writeSigned(signed));
      const raw = ecdsaFromDer(mine.signature);
      raw[40] = (raw[40] ?? 0) ^ 1;
      const tampered = [
        write({ ...mine, signature: theirs.signature }),
        write({ ...mine, body: theirs.body }),
        write({ ...mine, signature: ecdsaToDer(raw) }),
        write({ ...mine, signature: ecdsaToDer(new Uint8Array(64)) }),
        write({ ...mine, signature: new Uint8Array(0) }),
        write({ ...mine, algorithm: der(TAG.sequence) }),
        opensslRequest(folder, ...P256, "-sha512"),
        opensslRequest(folder, ...rsa(2048), "-sha1"),
        opensslRequest(folder, ...rsa(2048), "-sigopt", "rsa_padding_mode:pss"),
      ];
      for (const [index, pem] of tampered.entries()) {
        await assert.rejects(checkCsr(pem), refused("signature", /not signed/), String(index));
      }
    }),
);

testWith(
  ["openssl"],
  "a point that is not on the curve is refused",
  () =>
    inFolder(async (folder) => {
      const signed = readSigned(read(opensslRequest(folder, ...P256)), "request");
      const body = new Uint8Array(signed.body);
      const point = hex(body).indexOf("03420004") / 2 + 4;
      body[point + 63] = (body[point + 63] ?? 0) ^ 1;
      const pem = toPem(LABEL, writeSigned({ ...signed, body }));
      await assert.rejects(checkCsr(pem), refused("signature", /not signed/));
    }),
);

testWith(
  ["openssl"],
  "what is not one whole PKCS#10 request in PEM is refused",
  () =>
    inFolder(async (folder) => {
      const pem = opensslRequest(folder, ...P256);
      const bytes = read(pem);
      const longer = new Uint8Array(bytes.length + 1);
      longer.set(bytes);
      const malformed = [
        "",
        "hello",
        pem + pem,
        pem.replaceAll("REQUEST", "THING"),
        toPem(LABEL, longer),
        toPem(LABEL, bytes.subarray(0, -1)),
        toPem(LABEL, bytes.subarray(0, 20)),
        toPem(LABEL, der(TAG.sequence)),
        toPem(LABEL, new Uint8Array(MAX_CSR_CHARS)),
        "-".repeat(MAX_CSR_CHARS + 1),
        ask("openssl", ["req", "-x509", "-key", join(folder, "key.pem"), "-subj", "/CN=x"]).output
          .replaceAll("CERTIFICATE", LABEL),
      ];
      for (const [index, text] of malformed.entries()) {
        await assert.rejects(checkCsr(text), refused("malformed", /PKCS#10/), String(index));
      }
    }),
);

testWith(
  ["openssl"],
  "thousands of random mutations are refused, each with the one typed error",
  () =>
    inFolder(async (folder) => {
      for (const options of [P256, rsa(2048)]) {
        const bytes = read(opensslRequest(folder, ...options));
        const edit = fc.record({
          at: fc.nat(bytes.length - 1),
          octet: fc.integer({ min: 1, max: 255 }),
          cut: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(3)),
        });
        await fc.assert(
          fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
            let mutated = new Uint8Array(bytes);
            for (const { at, octet, cut } of edits) {
              mutated[at] = (mutated[at] ?? 0) ^ octet;
              mutated = new Uint8Array([...mutated.subarray(0, at), ...mutated.subarray(at + cut)]);
            }
            if (hex(mutated) === hex(bytes)) return;
            await assert.rejects(checkCsr(toPem(LABEL, mutated)), CsrError);
          }),
          { numRuns: 2000 },
        );
      }
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: "binary" }), async (text) => {
          await assert.rejects(checkCsr(text), CsrError);
        }),
      );
    }),
);

function read(pem: string): Uint8Array {
  return fromPem(LABEL, pem, MAX_CSR_CHARS);
}
