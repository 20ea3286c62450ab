import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { spkiOfCngBlob, spkiOfCspBlob } from "./key_blobs.ts";

/** Blobs as Windows' headers describe them, around keys of node:crypto. */
function words(...values: number[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, index) => bytes.setUint32(index * 4, value, true));
  return new Uint8Array(bytes.buffer);
}

function magic(text: string): number {
  return new DataView(new TextEncoder().encode(text).buffer).getUint32(0, true);
}

function octets(key: KeyObject, field: "x" | "y" | "d" | "n" | "e"): Uint8Array {
  return Buffer.from(key.export({ format: "jwk" })[field] ?? "", "base64url");
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

Deno.test("the public key is read from CNG's blobs of P-256 keys, public and private", () => {
  for (let count = 0; count < 20; count++) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const point = [octets(publicKey, "x"), octets(publicKey, "y")];
    assert.deepEqual(spkiOfCngBlob(join(words(magic("ECS1"), 32), ...point)), spki(publicKey));
    const whole = join(words(magic("ECS2"), 32), ...point, octets(privateKey, "d"));
    assert.deepEqual(spkiOfCngBlob(whole), spki(publicKey));
  }
});

Deno.test("the public key is read from CNG's blobs of RSA keys, public and private", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  for (const [kind, primes] of [["RSA1", 0], ["RSA2", 128], ["RSA3", 128]] as const) {
    const head = words(magic(kind), 2048, 3, 256, primes, primes);
    const rest = new Uint8Array(2 * primes + (kind === "RSA3" ? 3 * 128 + 256 : 0)).fill(7);
    const blob = join(head, octets(publicKey, "e"), octets(publicKey, "n"), rest);
    assert.deepEqual(spkiOfCngBlob(blob), spki(publicKey));
  }
});

Deno.test("a key of another kind is not taken for one of ours", () => {
  for (const kind of ["ECK1", "ECS3", "DSPB"]) {
    assert.equal(spkiOfCngBlob(join(words(magic(kind), 48), new Uint8Array(96))), undefined);
  }
});

Deno.test("the public key is read from a legacy provider's blob, octets in reverse", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const header = join(Uint8Array.of(6, 2, 0, 0), words(0xa400));
  const numbers = words(magic("RSA1"), 2048, 65537);
  const blob = join(header, numbers, octets(publicKey, "n").toReversed());
  assert.deepEqual(spkiOfCspBlob(blob), spki(publicKey));
});
