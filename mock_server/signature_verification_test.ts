import fc from "fast-check";
import { httpbis } from "http-message-signatures";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  contentDigest,
  randomNonce,
  type SignatureLabel,
  signRequest,
} from "../agent/http_signature.ts";
import { RequestProblem } from "./problems.ts";
import { type KeyAlgorithm, newKeys, signerOf } from "./scratch_device.ts";
import {
  isSignatureBy,
  readSignature,
  type ReceivedRequest,
  type ReceivedSignature,
} from "./signature_verification.ts";

const URL_UNDER_TEST = "https://localhost:8442/v1/devices/x/reports?a=1&b=%20";
const BODY = new TextEncoder().encode('{"users":[]}');
const CREATED = 1_772_366_400;
const LABEL: Record<string, SignatureLabel> = { "P-256": "device", "RSA-2048": "leaf" };

function received(headers: Record<string, string | string[]>, body = BODY): ReceivedRequest {
  const fields = new Headers();
  for (const [name, values] of Object.entries(headers)) {
    for (const value of [values].flat()) fields.append(name, value);
  }
  return {
    method: "POST",
    targetUri: URL_UNDER_TEST,
    header: (name) => fields.get(name) ?? undefined,
    body,
  };
}

async function signed(algorithm: KeyAlgorithm = "P-256", label: SignatureLabel = "device") {
  const keys = await newKeys(algorithm);
  const fields = await signRequest(
    { method: "POST", targetUri: URL_UNDER_TEST, body: BODY },
    signerOf(label, "key-1", keys),
    { created: CREATED, nonce: randomNonce },
  );
  return { keys, headers: { ...fields, "content-digest": await contentDigest(BODY) } };
}

function present(signature: ReceivedSignature | undefined): ReceivedSignature {
  assert.ok(signature);
  return signature;
}

function refuses(headers: Record<string, string | string[]>, words: RegExp, body = BODY) {
  assert.throws(() => readSignature(received(headers, body), "device"), (error) => {
    assert.ok(error instanceof RequestProblem);
    assert.equal(error.type, "bad-signature");
    assert.match(error.message, words);
    return true;
  });
}

/** Raw signing and verifying, for the library that only knows how messages are put together. */
function verifier({ publicKey }: CryptoKeyPair) {
  const { name } = publicKey.algorithm;
  return async (data: Buffer, signature: Buffer) =>
    await crypto.subtle.verify(
      { name, hash: "SHA-256" },
      publicKey,
      new Uint8Array(signature),
      new Uint8Array(data),
    );
}

for (const algorithm of ["P-256", "RSA-2048"] as const) {
  const label = LABEL[algorithm] ?? "device";

  Deno.test(`an independent RFC 9421 library verifies what the agent signs with ${algorithm}`, async () => {
    const { keys, headers } = await signed(algorithm, label);
    const verify = (over: Record<string, string>) =>
      httpbis.verifyMessage({
        keyLookup: ({ keyid }) => {
          assert.equal(keyid, "key-1");
          return Promise.resolve({ verify: verifier(keys) });
        },
        requiredFields: ["@method", "@target-uri", "content-digest"],
        requiredParams: ["created", "nonce", "keyid", "alg", "tag"],
        notAfter: CREATED,
      }, { method: "POST", url: URL_UNDER_TEST, headers: { ...headers, ...over } });
    assert.equal(await verify({}), true);
    assert.equal(await verify({ "content-digest": await contentDigest(new Uint8Array()) }), false);
  });

  Deno.test(`we verify what an independent RFC 9421 library signs with ${algorithm}`, async () => {
    const keys = await newKeys(algorithm);
    const signer = signerOf(label, "key-1", keys);
    const message = await httpbis.signMessage({
      key: {
        id: "key-1",
        alg: signer.alg,
        sign: async (data) => Buffer.from(await signer.sign(new Uint8Array(data))),
      },
      name: label,
      fields: ["content-digest", "@target-uri", "@method"],
      params: ["tag", "alg", "keyid", "nonce", "created"],
      paramValues: {
        created: new Date(CREATED * 1000),
        nonce: randomNonce(),
        tag: "device-trust",
      },
    }, {
      method: "POST",
      url: URL_UNDER_TEST,
      headers: { "content-digest": await contentDigest(BODY) },
    });
    const signature = present(readSignature(received(message.headers), label));
    assert.equal(signature.created, CREATED);
    assert.equal(signature.keyid, "key-1");
    assert.equal(await isSignatureBy(signature, keys.publicKey), true);
    const { publicKey } = await newKeys(algorithm);
    assert.equal(await isSignatureBy(signature, publicKey), false);
  });
}

Deno.test("two signatures of one request are read each by its label", async () => {
  const [device, leaf] = [await signed("P-256", "device"), await signed("RSA-2048", "leaf")];
  const both = received({
    "content-digest": device.headers["content-digest"],
    "signature-input": [device.headers["signature-input"], leaf.headers["signature-input"]],
    signature: [device.headers.signature, leaf.headers.signature],
  });
  const read = (label: SignatureLabel) => present(readSignature(both, label));
  assert.equal(await isSignatureBy(read("device"), device.keys.publicKey), true);
  assert.equal(await isSignatureBy(read("leaf"), leaf.keys.publicKey), true);
  assert.equal(
    await isSignatureBy(read("leaf"), device.keys.publicKey),
    false,
    "another algorithm",
  );
});

Deno.test("a request without that label has no signature", async () => {
  const { headers } = await signed("P-256", "leaf");
  assert.equal(readSignature(received(headers), "device"), undefined);
  assert.equal(readSignature(received({}, new Uint8Array()), "device"), undefined);
});

Deno.test("a signature holds for its method, URL, query and body only", async () => {
  const { keys, headers } = await signed();
  const holds = (over: Partial<ReceivedRequest>) =>
    isSignatureBy(
      present(readSignature({ ...received(headers), ...over }, "device")),
      keys.publicKey,
    );
  assert.equal(await holds({}), true);
  assert.equal(await holds({ method: "PUT" }), false);
  assert.equal(await holds({ targetUri: URL_UNDER_TEST.replace("localhost", "127.0.0.1") }), false);
  assert.equal(await holds({ targetUri: URL_UNDER_TEST.replace("a=1", "a=2") }), false);
  refuses(headers, /does not have the digest/, new TextEncoder().encode("{}"));
});

Deno.test("what is not exactly covered, or not exactly said, is bad-signature", async () => {
  const { headers } = await signed();
  const input = headers["signature-input"];
  const digest = headers["content-digest"];
  const changed = (from: string | RegExp, to: string) => ({
    ...headers,
    "signature-input": input.replace(from, to),
  });
  const cases: [Record<string, string>, RegExp][] = [
    [changed('"@method" ', ""), /exactly/],
    [changed('"@target-uri" ', ""), /exactly/],
    [changed(' "content-digest"', ""), /not covered/],
    [changed('"@method"', '"@method" "@authority"'), /exactly/],
    [changed('"@method"', '"@method" "@method"'), /twice/],
    [changed('"@method"', '"@method";req'), /parameters/],
    [changed(/;created=\d+/, ""), /created/],
    [changed(/;created=\d+/, ';created="1772366400"'), /created/],
    [changed(/;created=\d+/, ";created=1772366400.5"), /created/],
    [changed(/;nonce="[^"]*"/, ""), /nonce/],
    [changed(/;nonce="[^"]*"/, ';nonce="short"'), /nonce/],
    [changed(/;keyid="[^"]*"/, ""), /keyid/],
    [changed(/;keyid="[^"]*"/, ";keyid=token"), /keyid/],
    [changed(/;alg="[^"]*"/, ""), /alg/],
    [changed(/;alg="[^"]*"/, ';alg="hmac-sha256"'), /alg/],
    [changed(/;tag="[^"]*"/, ""), /tag/],
    [changed(/;tag="[^"]*"/, ';tag="another-application"'), /tag/],
    [changed(/$/, ";expires=1772366500"), /exactly/],
    [{ ...headers, "signature-input": "device" }, /no list of components/],
    [{ ...headers, "signature-input": "device=(" }, /structured fields/],
    [{ ...headers, signature: "device=?1" }, /byte sequence/],
    [{ ...headers, signature: "" }, /byte sequence/],
    [{ signature: headers.signature, "content-digest": digest }, /no list/],
    [{ ...headers, "content-digest": digest.replace("sha-256", "sha-512") }, /no sha-256/],
    [{ ...headers, "content-digest": "sha-256=:AAAA:" }, /no sha-256/],
    [{ ...headers, "content-digest": "nonsense nonsense" }, /structured fields/],
  ];
  for (const [fields, words] of cases) refuses(fields, words);
});

Deno.test("signature headers of any content are refused or verify false, and never crash", async () => {
  const { keys, headers } = await signed();
  const piece = fc.constantFrom(
    ...[
      "device=",
      "leaf=",
      "(",
      ")",
      '"@method"',
      '"@target-uri"',
      '"content-digest"',
      ";created=",
    ],
    ...["1", ";nonce=", '"', ":", "AAAA", ", ", ";alg=", "ecdsa-p256-sha256", "?1", "\u00e9", "\\"],
    ...Object.values(headers),
  );
  const text = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
    fc.string({ maxLength: 200 }),
  );
  await fc.assert(
    fc.asyncProperty(text, text, text, async (input, signature, digest) => {
      const fields = new Map([
        ["signature-input", input],
        ["signature", signature],
        ["content-digest", digest],
      ]);
      const request = { ...received({}), header: (name: string) => fields.get(name) };
      let read: ReceivedSignature | undefined;
      try {
        read = readSignature(request, "device");
      } catch (error) {
        assert.ok(error instanceof RequestProblem, String(error));
        return;
      }
      if (read && input !== headers["signature-input"]) {
        assert.equal(await isSignatureBy(read, keys.publicKey), false);
      }
    }),
    { numRuns: 2000 },
  );
});
