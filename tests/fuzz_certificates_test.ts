/** Certificates and requests that were tampered with, also by somebody who can sign them. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { Pkcs10CertificateRequest } from "@peculiar/x509";
import fc from "fast-check";
import { followAnchors } from "../agent/trust_anchors.ts";
import { certificateDer, issuedByAnchor, verifyAnchors, verifyBundle } from "../agent/verify.ts";
import {
  certificateUse,
  describeCertificate,
  parseCertificate,
  parseCertificatePem,
} from "../ca/certificate.ts";
import { checkCsr, CsrError, MAX_CSR_CHARS } from "../ca/csr.ts";
import { contextTag, DerError, DerReader, fromPem, hex, sameBytes, TAG, toPem } from "../ca/der.ts";
import {
  ECDSA_SHA256,
  ecdsaFromDer,
  ecdsaToDer,
  isSignedBy,
  readPublicKey,
  readSigned,
  writeSigned,
} from "../ca/signature.ts";
import { readLeaf } from "../mock_server/verdict.ts";
import { newCsr } from "../mock_server/scratch_device.ts";
import { Problem } from "../platform/errors.ts";
import { fuzz, mutatedText } from "./fuzz.ts";
import { mutatedDer } from "./fuzz_der.ts";
import { ECDSA, expected, good, intermediateKeys, NOW, URI } from "./made_chains.ts";

const REQUEST = "CERTIFICATE REQUEST";

/** What `read` gives; undefined where it throws the error that it may throw. */
async function readOr<T>(
  refusal: new (...args: never[]) => Error,
  read: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    assert.ok(error instanceof refusal, error instanceof Error ? error.stack : String(error));
    return undefined;
  }
}

async function signedBy(keys: CryptoKeyPair, body: Uint8Array<ArrayBuffer>) {
  const signature = new Uint8Array(await crypto.subtle.sign(ECDSA, keys.privateKey, body));
  return writeSigned({ body, algorithm: ECDSA_SHA256, signature: ecdsaToDer(signature) });
}

Deno.test("a mutated request is accepted only when another library says that its key signed it", async () => {
  const requests = [await newCsr("P-256"), await newCsr("RSA-2048")]
    .map(({ csr }) => fromPem(REQUEST, csr, MAX_CSR_CHARS));
  await fuzz("requests", mutatedDer(...requests), 1500, async (bytes) => {
    const pem = toPem(REQUEST, bytes);
    const accepted = await readOr(CsrError, () => checkCsr(pem));
    if (accepted) await isProven(pem, accepted.spki);
  });
});

Deno.test("a request is what its key signed, however odd that is, and its key alone is taken", async () => {
  const { csr, keys } = await newCsr("P-256");
  const body = readSigned(fromPem(REQUEST, csr, MAX_CSR_CHARS), "request").body;
  let accepted = 0;
  await fuzz("requests, signed anew", mutatedDer(body), 1500, async (mutated) => {
    const pem = toPem(REQUEST, await signedBy(keys, mutated));
    const checked = await readOr(CsrError, () => checkCsr(pem));
    if (!checked) return;
    accepted++;
    await isProven(pem, checked.spki);
  });
  assert.ok(accepted > 0, "subject and attributes may be anything");
});

/** The other library reads names and attributes that are none of ours, so it may be stricter. */
async function isProven(pem: string, spki: Uint8Array): Promise<void> {
  const other = fromPem(REQUEST, pem, MAX_CSR_CHARS);
  const signed = readSigned(other, "request");
  const key = await crypto.subtle.importKey(
    "spki",
    spki.slice(),
    readPublicKey(spki).kind === "RSA" ? { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } : ECDSA,
    true,
    ["verify"],
  );
  const isRsa = key.algorithm.name.startsWith("RSA");
  const signature = isRsa ? signed.signature : ecdsaFromDer(signed.signature);
  const algorithm = isRsa ? key.algorithm.name : ECDSA;
  assert.ok(
    await crypto.subtle.verify(algorithm, key, new Uint8Array(signature), signed.body.slice()),
  );
  let read: Pkcs10CertificateRequest;
  try {
    read = new Pkcs10CertificateRequest(pem);
  } catch {
    return;
  }
  assert.equal(hex(new Uint8Array(read.publicKey.rawData)), hex(spki));
}

Deno.test("a mutated chain never verifies, whichever of its certificates was touched", async () => {
  const roles = ["root", "intermediate", "leaf"] as const;
  const intermediates = [parseCertificatePem(good.intermediate)];
  for (const role of roles) {
    const der = certificateDer(good[role]);
    await fuzz(`a chain's ${role}`, mutatedDer(der), 400, async (mutated) => {
      if (sameBytes(mutated, der)) return;
      const offered = { ...good, [role]: toPem("CERTIFICATE", mutated) };
      assert.equal(await readOr(Problem, () => verifyBundle(offered, expected)), undefined);
      // Pinned or not: what was tampered with vouches for nobody.
      const { root, intermediate } = offered;
      if (role !== "leaf") {
        assert.equal(await readOr(Problem, () => verifyAnchors(offered, NOW)), undefined);
        const pinned = { root: good.root, intermediate: good.intermediate, former: [] };
        for (const crossSigned of [good.root, toPem("CERTIFICATE", mutated)]) {
          const anchors = { root, intermediate, crossSigned };
          assert.equal(await readOr(Problem, () => followAnchors(pinned, anchors, NOW)), undefined);
        }
      }
      assert.equal(await issuedByAnchor(mutated, certificateDer(good.intermediate)), false);
      assert.ok("foreign" in await readLeaf(mutated, intermediates, NOW.getTime()));
    });
  }
});

Deno.test("whatever the intermediate signs, only a leaf for this key, device and user passes", async () => {
  const { body } = readSigned(certificateDer(good.leaf), "leaf");
  const intermediates = [parseCertificatePem(good.intermediate)];
  let accepted = 0;
  await fuzz("leaves, signed anew", mutatedDer(body), 1000, async (mutated) => {
    const der = await signedBy(intermediateKeys, mutated);
    const offered = { ...good, leaf: toPem("CERTIFICATE", der) };
    const bundle = await readOr(Problem, () => verifyBundle(offered, expected));
    await readLeaf(der, intermediates, NOW.getTime());
    if (!bundle) return;
    accepted++;
    const witness = new X509Certificate(der);
    assert.equal(witness.ca, false);
    assert.equal(witness.subjectAltName, `URI:${URI}`);
    assert.ok(witness.verify(new X509Certificate(good.intermediate).publicKey));
    assert.ok(Date.parse(witness.validFrom) <= NOW.getTime());
    assert.ok(Date.parse(witness.validTo) >= NOW.getTime());
    const spki = new Uint8Array(witness.publicKey.export({ type: "spki", format: "der" }));
    assert.equal(hex(spki), hex(expected.spki));
  });
  assert.ok(accepted > 0, "a serial number or an extension that is not critical may be anything");
});

Deno.test("any certificate at all is described or refused with the one error", async () => {
  const all = [good.root, good.intermediate, good.leaf].map((pem) => certificateDer(pem));
  await fuzz("certificates", mutatedDer(...all), 4000, async (bytes) => {
    await readOr(DerError, () => describeCertificate(bytes));
    await readOr(DerError, () => certificateUse(parseCertificate(bytes)));
  });
});

Deno.test("any DER at all is read to its end or refused with the one error", async () => {
  const all = [good.root, good.intermediate, good.leaf].map((pem) => certificateDer(pem));
  const readers = [
    (reader: DerReader) => reader.oid(),
    (reader: DerReader) => reader.boolean(),
    (reader: DerReader) => reader.integer(),
    (reader: DerReader) => reader.smallInteger(),
    (reader: DerReader) => reader.bitString(),
    (reader: DerReader) => reader.time(),
    (reader: DerReader) => reader.enter(TAG.sequence),
    (reader: DerReader) => reader.optional(contextTag(0, true)),
  ];
  const inputs = fc.tuple(mutatedDer(...all), fc.infiniteStream(fc.nat(readers.length - 1)));
  await fuzz("DER", inputs, 4000, async ([bytes, choices]) => {
    await readOr(DerError, () => {
      let reader = new DerReader(bytes, "fuzz");
      while (!reader.done) {
        const read = readers[choices.next().value ?? 0]?.(reader);
        if (read instanceof DerReader) reader = read;
        else if (read === undefined) reader.read();
      }
    });
    await readOr(DerError, () => readPublicKey(bytes));
    await readOr(DerError, () => ecdsaFromDer(bytes));
    await readOr(DerError, () => readSigned(bytes, "fuzz"));
    const signed = { body: bytes, algorithm: ECDSA_SHA256, signature: bytes };
    assert.equal(await isSignedBy(signed, bytes), false);
  });
});

Deno.test("any PEM at all is one certificate, or refused with the one error", async () => {
  const pieces = ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "=", "A", "-----"];
  const inputs = mutatedText([good.leaf, good.leaf.replaceAll("\n", "\r\n")], pieces);
  const der = hex(certificateDer(good.leaf));
  await fuzz("PEM", inputs, 4000, async (text) => {
    const bytes = await readOr(DerError, () => certificateDer(text));
    if (bytes && hex(bytes) === der) {
      assert.equal(text.trim().split("-----BEGIN").length, 2, "one block, and nothing around it");
    }
  });
});
