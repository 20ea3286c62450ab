import "reflect-metadata";
import assert from "node:assert/strict";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import {
  asPem,
  DEVICE,
  expected,
  good,
  intermediate,
  LEAF,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  newKeys,
  NOW,
  otherKeys,
  rejected,
  root,
  rsaKeys,
  spkiOf,
  URI,
  USER,
} from "../tests/made_chains.ts";
import {
  certificateDer,
  describeCertificate,
  type ExpectedBundle,
  issuedByAnchor,
  sha256Hex,
  verifyAnchors,
  verifyBundle,
} from "./verify.ts";

Deno.test("a good bundle is accepted and described", async () => {
  const { serialNumber } = new x509.X509Certificate(good.leaf);
  const { leaf, ...anchors } = await verifyBundle(
    { ...good, serial: serialNumber, notAfter: "2026-03-31T12:00:00.000Z" },
    expected,
  );
  assert.deepEqual(leaf, {
    der: certificateDer(good.leaf),
    sha256: await sha256Hex(certificateDer(good.leaf)),
    serial: serialNumber,
    commonName: LEAF.slice(3),
    notBefore: new Date("2026-03-01T11:00:00Z"),
    notAfter: new Date("2026-03-31T12:00:00Z"),
    spkiSha256: await sha256Hex(expected.spki),
  });
  assert.deepEqual(anchors, {
    intermediate: {
      der: certificateDer(intermediate),
      sha256: await sha256Hex(certificateDer(intermediate)),
    },
    root: { der: certificateDer(root), sha256: await sha256Hex(certificateDer(root)) },
  });
});

Deno.test("a leaf of an RSA key is accepted under the same chain", async () => {
  const leaf = await makeLeaf({ keys: rsaKeys });
  await verifyBundle({ ...good, leaf }, { ...expected, spki: await spkiOf(rsaKeys) });
});

Deno.test("the first and the last second of a leaf's life are in it", async () => {
  const at = (now: Date) => verifyBundle(good, { ...expected, now });
  const [start, end] = [new Date("2026-03-01T11:00:00Z"), new Date("2026-03-31T12:00:00Z")];
  const anchors = {
    root: await makeRoot({ notBefore: new Date(0), notAfter: new Date("2060-01-01T00:00:00Z") }),
    intermediate: await makeIntermediate({
      notBefore: new Date(0),
      notAfter: new Date("2060-01-01T00:00:00Z"),
    }),
  };
  const wide = (now: Date) =>
    verifyBundle({ ...good, ...anchors }, { ...expected, pinned: anchors, now });
  await at(start);
  await at(end);
  await assert.rejects(wide(new Date(start.getTime() - 1)), rejected(/its leaf begins at/));
  await assert.rejects(wide(new Date(end.getTime() + 1)), rejected(/its leaf ended at/));
  await wide(end);
});

Deno.test("good anchors are accepted at enrolment; an intermediate in the root's place is not", async () => {
  await verifyAnchors({ root, intermediate }, NOW);
  await assert.rejects(
    verifyAnchors({ root: intermediate, intermediate }, NOW),
    rejected(/names another issuer/),
  );
  await assert.rejects(verifyAnchors({ root, intermediate: root }, NOW), rejected(/not named/));
});

Deno.test("a whole chain of the same names from another authority is refused", async () => {
  const otherRootKeys = await newKeys();
  const otherIntermediateKeys = await newKeys();
  const theirs = {
    root: await makeRoot({ keys: otherRootKeys }),
    intermediate: await makeIntermediate({ keys: otherIntermediateKeys, signer: otherRootKeys }),
    leaf: await makeLeaf({ signer: otherIntermediateKeys }),
  };
  await verifyBundle(theirs, { ...expected, pinned: theirs });
  await assert.rejects(verifyBundle(theirs, expected), rejected(/its root is not the root/));
  await assert.rejects(
    verifyBundle({ ...theirs, root }, expected),
    rejected(/its intermediate is not the intermediate that was pinned/),
  );
  await assert.rejects(
    verifyBundle({ ...good, leaf: theirs.leaf }, expected),
    rejected(/key identifiers/),
  );
});

Deno.test("anchors that were issued anew for the same keys are not the pinned ones", async () => {
  const again = await makeIntermediate({ serialNumber: "01" });
  await assert.rejects(
    verifyBundle({ ...good, intermediate: again }, expected),
    rejected(/its intermediate is not the intermediate that was pinned/),
  );
});

Deno.test("the expected device, user, key and brand count, not what the leaf claims", async () => {
  const wrong: [Partial<ExpectedBundle>, RegExp][] = [
    [{ deviceId: USER }, /another device or user/],
    [{ userId: DEVICE }, /another device or user/],
    [{ spki: await spkiOf(otherKeys) }, /another key/],
    [{ brand: "Acme" }, /not of brand 'Acme'/],
  ];
  for (const [changes, words] of wrong) {
    await assert.rejects(verifyBundle(good, { ...expected, ...changes }), rejected(words));
  }
});

Deno.test("a leaf that is not as announced is refused", async () => {
  await assert.rejects(
    verifyBundle({ ...good, serial: "01" }, expected),
    rejected(/has serial 2f488f38a1118f1a2f4f6724c16b6a6d, not 01/),
  );
  for (const notAfter of ["2026-03-31T12:00:01Z", "garbage"]) {
    await assert.rejects(verifyBundle({ ...good, notAfter }, expected), rejected(/leaf ends at/));
  }
});

Deno.test("what is not one certificate in PEM is refused, in each place", async () => {
  for (const role of ["root", "intermediate", "leaf"] as const) {
    const pem = good[role];
    const der = certificateDer(pem);
    const bad = [
      "",
      "hello",
      "<html>Sign in</html>",
      pem + pem,
      `${pem}junk`,
      pem.slice(0, -30),
      pem.replaceAll("CERTIFICATE", "PRIVATE KEY"),
      asPem(der.subarray(0, -1)),
      asPem(Uint8Array.from([...der, 0])),
      asPem(new Uint8Array(100_000)),
      pem.replace("-----\n", "-----\n" + "\n".repeat(100_000)),
    ];
    for (const [index, text] of bad.entries()) {
      await assert.rejects(
        verifyBundle({ ...good, [role]: text }, expected),
        rejected(new RegExp(`its ${role} cannot be read`)),
        `${role} ${index}`,
      );
    }
  }
});

Deno.test("no random mutation of a leaf or an anchor is accepted, and none gives another error", async () => {
  const roles = fc.constantFrom("root" as const, "intermediate" as const, "leaf" as const);
  const edit = fc.tuple(fc.nat(2000), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(roles, fc.array(edit, { minLength: 1, maxLength: 3 }), async (role, edits) => {
      const der = certificateDer(good[role]);
      const mutated = new Uint8Array(der);
      for (const [at, bits] of edits) {
        mutated[at % mutated.length] = (mutated[at % mutated.length] ?? 0) ^ bits;
      }
      if (asPem(mutated) === asPem(der)) return;
      const offered = { ...good, [role]: asPem(mutated) };
      await assert.rejects(verifyBundle(offered, expected), rejected(/(was|were) refused: its /));
      // Even a pin of the mutated bytes does not help: then the signature tells.
      if (role !== "leaf") {
        await assert.rejects(verifyAnchors(offered, NOW), rejected(/(was|were) refused: its /));
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("ours is what the intermediate's key signed, expired or not, and never a name alone", async () => {
  const anchor = certificateDer(intermediate);
  const isOurs = async (pem: string) => await issuedByAnchor(certificateDer(pem), anchor);
  assert.ok(await isOurs(good.leaf));
  assert.ok(await isOurs(await makeLeaf({ notAfter: new Date(NOW.getTime() - 1000) })));
  assert.ok(!await isOurs(await makeLeaf({ signer: otherKeys })));
  assert.ok(!await isOurs(root));
  assert.ok(!await isOurs(intermediate));
  assert.ok(!await issuedByAnchor(new Uint8Array(10), anchor));
  assert.ok(!await issuedByAnchor(new Uint8Array(0), anchor));
});

Deno.test("a description says what a certificate holds", async () => {
  const described = await describeCertificate(certificateDer(good.leaf));
  const leaf = new x509.X509Certificate(good.leaf);
  assert.deepEqual(described, {
    sha256: await sha256Hex(certificateDer(good.leaf)),
    spkiSha256: await sha256Hex(expected.spki),
    serial: "2f488f38a1118f1a2f4f6724c16b6a6d",
    commonName: LEAF.slice(3),
    issuerCommonName: "device-trust.intermediate",
    notBefore: new Date("2026-03-01T11:00:00Z"),
    notAfter: new Date("2026-03-31T12:00:00Z"),
    spki: expected.spki,
    uris: [URI],
    isCa: false,
    keyIdentifier: leaf.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    issuerKeyIdentifier: leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
  });
});
