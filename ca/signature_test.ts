import assert from "node:assert/strict";
import * as nodeCrypto from "node:crypto";
import fc from "fast-check";
import { der, derBitString, DerError, derOid, derUnsigned, TAG, unhex } from "./der.ts";
import {
  ECDSA_SHA256,
  ecdsaFromDer,
  ecdsaToDer,
  isSignedBy,
  keyIdentifier,
  readPublicKey,
  readSigned,
  RSA_SHA256,
  sha256Hex,
  writeSigned,
} from "./signature.ts";

const message = der(TAG.sequence, derUnsigned(Uint8Array.of(7)));

function spkiOf(key: nodeCrypto.KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function rsaSpki(modulus: Uint8Array, exponent: Uint8Array): Uint8Array {
  const algorithm = der(TAG.sequence, derOid("1.2.840.113549.1.1.1"), der(TAG.null));
  const key = der(TAG.sequence, modulus, exponent);
  return der(TAG.sequence, algorithm, derBitString(key));
}

Deno.test("node's signatures are verified, ECDSA and RSA, and nothing else is", async () => {
  const ec = nodeCrypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rsa = nodeCrypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  for (let round = 0; round < 50; round++) {
    const signature = new Uint8Array(nodeCrypto.sign("sha256", message, ec.privateKey));
    const signed = { body: message, algorithm: ECDSA_SHA256, signature };
    assert.ok(await isSignedBy(signed, spkiOf(ec.publicKey)));
    assert.ok(!await isSignedBy(signed, spkiOf(rsa.publicKey)));
    assert.ok(!await isSignedBy({ ...signed, algorithm: RSA_SHA256 }, spkiOf(ec.publicKey)));
    const raw = ecdsaFromDer(signature);
    assert.ok(nodeCrypto.verify(
      "sha256",
      message,
      { key: ec.publicKey, dsaEncoding: "ieee-p1363" },
      raw,
    ));
    assert.deepEqual(ecdsaToDer(raw), signature);
  }
  const signature = new Uint8Array(nodeCrypto.sign("sha256", message, rsa.privateKey));
  const signed = { body: message, algorithm: RSA_SHA256, signature };
  assert.ok(await isSignedBy(signed, spkiOf(rsa.publicKey)));
  assert.ok(!await isSignedBy({ ...signed, algorithm: ECDSA_SHA256 }, spkiOf(rsa.publicKey)));
  assert.ok(!await isSignedBy({ ...signed, body: der(TAG.sequence) }, spkiOf(rsa.publicKey)));
});

Deno.test("r and s survive DER whatever their leading octets", () => {
  const small = fc.uint8Array({ minLength: 64, maxLength: 64 });
  const zeros = fc.tuple(small, fc.nat(31), fc.nat(31)).map(([raw, first, second]) => {
    raw.fill(0, 0, first);
    raw.fill(0, 32, 32 + second);
    return raw;
  });
  fc.assert(fc.property(fc.oneof(small, zeros), (raw) => {
    assert.deepEqual(ecdsaFromDer(ecdsaToDer(raw)), raw);
  }));
});

Deno.test("an ECDSA signature of another form is refused", () => {
  assert.throws(() => ecdsaToDer(new Uint8Array(63)), DerError);
  const long = derUnsigned(new Uint8Array(33).fill(1));
  const one = derUnsigned(Uint8Array.of(1));
  const negative = der(TAG.integer, Uint8Array.of(0xff));
  const bad = [
    der(TAG.sequence),
    der(TAG.sequence, one),
    der(TAG.sequence, one, one, one),
    der(TAG.sequence, long, one),
    der(TAG.sequence, one, negative),
    Uint8Array.from([...der(TAG.sequence, one, one), 0]),
  ];
  for (const [index, bytes] of bad.entries()) {
    assert.throws(() => ecdsaFromDer(bytes), DerError, String(index));
  }
});

Deno.test("RSA keys are measured exactly, and odd ones refused", () => {
  for (const bits of [512, 1024, 2047, 2048, 2049, 4096]) {
    const { publicKey } = nodeCrypto.generateKeyPairSync("rsa", {
      modulusLength: Math.min(bits, 2048),
    });
    const spki = bits > 2048 || bits === 2047
      ? rsaSpki(derUnsigned(ofBits(bits)), derUnsigned(Uint8Array.of(1, 0, 1)))
      : spkiOf(publicKey);
    assert.deepEqual(readPublicKey(spki), { kind: "RSA", spki, bits, exponent: 65537 });
  }
  const modulus = derUnsigned(ofBits(2048));
  const exponents: [Uint8Array, number | undefined][] = [
    [derUnsigned(Uint8Array.of(3)), 3],
    [derUnsigned(Uint8Array.of(0x7f, 0xff, 0xff, 0xff)), 0x7fffffff],
    [derUnsigned(new Uint8Array(20).fill(1)), undefined],
    [der(TAG.integer, Uint8Array.of(0xff)), undefined],
  ];
  for (const [encoded, exponent] of exponents) {
    const spki = rsaSpki(modulus, encoded);
    assert.deepEqual(readPublicKey(spki), { kind: "RSA", spki, bits: 2048, exponent });
  }
  const three = derUnsigned(Uint8Array.of(3));
  const negative = der(TAG.integer, Uint8Array.of(0x80));
  const zero = der(TAG.integer, Uint8Array.of(0));
  for (
    const bad of [rsaSpki(negative, three), rsaSpki(zero, three), rsaSpki(three, zero).subarray(1)]
  ) {
    assert.throws(() => readPublicKey(bad), DerError);
  }
});

Deno.test("what was taken apart is put together again", () => {
  const signed = { body: message, algorithm: ECDSA_SHA256, signature: Uint8Array.of(1, 2, 3) };
  assert.deepEqual(readSigned(writeSigned(signed), "test"), signed);
});

Deno.test("fingerprints and key identifiers are node's digests", async () => {
  const { publicKey } = nodeCrypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = spkiOf(publicKey);
  assert.equal(await sha256Hex(spki), nodeCrypto.createHash("sha256").update(spki).digest("hex"));
  const point = spki.subarray(-65);
  const sha1 = nodeCrypto.createHash("sha1").update(point).digest("hex");
  assert.deepEqual(await keyIdentifier(spki), unhex(sha1));
});

function ofBits(bits: number): Uint8Array {
  const octets = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
  octets[0] = 0xff >> (octets.length * 8 - bits);
  return octets;
}
