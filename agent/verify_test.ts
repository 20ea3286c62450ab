import "reflect-metadata";
import assert from "node:assert/strict";
import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate, type TBSCertificate, Version } from "@peculiar/asn1-x509";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { ecdsaToDer } from "../ca/signature.ts";
import { Problem } from "../platform/errors.ts";
import {
  certificateDer,
  describeCertificate,
  type ExpectedBundle,
  issuedByAnchor,
  type OfferedBundle,
  sha256Hex,
  verifyAnchors,
  verifyBundle,
} from "./verify.ts";

// Every chain here is made by the library, so that nothing of ours is its own witness.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = new Date("2026-03-01T12:00:00Z");
const DEVICE = "3f0d6f0e-7b8f-4a51-9d0e-2f4c3a1b5d6e";
const USER = "a1b2c3d4-0000-4000-8000-00000000ffff";
const URI = `urn:device-trust:${DEVICE}:${USER}`;
const CLIENT = "1.3.6.1.5.5.7.3.2";
const SERVER = "1.3.6.1.5.5.7.3.1";
const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
};
const ROOT = "CN=JumpCloud Production Device Identification Root CA";
const INTERMEDIATE = "CN=device-trust.intermediate";
const LEAF = "CN=JumpCloud Device Trust Certificate - 00c0ffee";

const newKeys = () => crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
const rootKeys = await newKeys();
const intermediateKeys = await newKeys();
const leafKeys = await newKeys();
const otherKeys = await newKeys();
const rsaKeys = await crypto.subtle.generateKey(RSA, true, ["sign", "verify"]);

interface Recipe {
  subject: string;
  issuer: string;
  keys: CryptoKeyPair;
  signer: CryptoKeyPair;
  serialNumber?: string;
  notBefore?: Date;
  notAfter?: Date;
  extensions: x509.Extension[];
}

/** Extensions by name, so that a test leaves one out or puts another in its place. */
type Extensions = Record<string, x509.Extension | undefined>;

async function keyIds(keys: CryptoKeyPair, signer: CryptoKeyPair): Promise<Extensions> {
  return {
    ski: await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    aki: await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
  };
}

function present(extensions: Extensions): x509.Extension[] {
  return Object.values(extensions).filter((extension) => extension !== undefined);
}

async function make(recipe: Recipe): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: recipe.serialNumber ?? "2f488f38a1118f1a2f4f6724c16b6a6d",
    subject: recipe.subject,
    issuer: recipe.issuer,
    notBefore: recipe.notBefore ?? new Date(NOW.getTime() - HOUR),
    notAfter: recipe.notAfter ?? new Date(NOW.getTime() + 30 * DAY),
    publicKey: recipe.keys.publicKey,
    signingKey: recipe.signer.privateKey,
    signingAlgorithm: recipe.signer === rsaKeys ? RSA : ECDSA,
    extensions: recipe.extensions,
  }, crypto);
  return certificate.toString("pem");
}

type Changes = Partial<Omit<Recipe, "extensions">> & { extensions?: Extensions };

async function makeRoot({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? rootKeys;
  return await make({
    subject: ROOT,
    issuer: ROOT,
    keys,
    signer: keys,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(true, undefined, true),
      usage: new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      ...await keyIds(keys, keys),
      ...extensions,
    }),
  });
}

async function makeIntermediate({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? intermediateKeys;
  const signer = changes.signer ?? rootKeys;
  return await make({
    subject: INTERMEDIATE,
    issuer: ROOT,
    keys,
    signer,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(true, 0, true),
      usage: new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      purpose: new x509.ExtendedKeyUsageExtension([CLIENT]),
      ...await keyIds(keys, signer),
      ...extensions,
    }),
  });
}

async function makeLeaf({ extensions, ...changes }: Changes = {}): Promise<string> {
  const keys = changes.keys ?? leafKeys;
  const signer = changes.signer ?? intermediateKeys;
  return await make({
    subject: LEAF,
    issuer: INTERMEDIATE,
    keys,
    signer,
    ...changes,
    extensions: present({
      basic: new x509.BasicConstraintsExtension(false, undefined, true),
      usage: new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      purpose: new x509.ExtendedKeyUsageExtension([CLIENT]),
      names: names({ type: "url", value: URI }),
      ...await keyIds(keys, signer),
      ...extensions,
    }),
  });
}

function names(...list: { type: "url" | "dns" | "email"; value: string }[]) {
  return new x509.SubjectAlternativeNameExtension(list);
}

async function spkiOf(keys: CryptoKeyPair): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
}

const root = await makeRoot();
const intermediate = await makeIntermediate();
const good: OfferedBundle = { root, intermediate, leaf: await makeLeaf() };
const expected: ExpectedBundle = {
  spki: await spkiOf(leafKeys),
  deviceId: DEVICE,
  userId: USER,
  brand: "JumpCloud",
  pinned: { root, intermediate },
  now: NOW,
};

function rejected(words: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, "bundle-rejected");
    assert.match(error.message, words);
    return true;
  };
}

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

/** Name, the leaf that the server sends, and what has to be said of it. */
const hostileLeaves: [string, Changes, RegExp][] = [
  ["for another key", { keys: otherKeys }, /its leaf is for another key/],
  ["signed by another key", { signer: otherKeys }, /key identifiers/],
  [
    "signed by another key that claims to be ours",
    { signer: otherKeys, extensions: await keyIds(leafKeys, intermediateKeys) },
    /its leaf was not signed by the key of the intermediate/,
  ],
  ["signed by the root", { signer: rootKeys, issuer: ROOT }, /names another issuer/],
  ["that names another issuer", { issuer: "CN=other" }, /names another issuer/],
  ["of another brand", { subject: LEAF.replace("JumpCloud", "Acme") }, /no leaf name of brand/],
  ["with an upper-case suffix", { subject: LEAF.replace("c0ff", "C0FF") }, /no leaf name/],
  ["with more than a common name", { subject: `${LEAF}, O=x` }, /no leaf name/],
  ["without a subject", { subject: "" }, /no leaf name/],
  ["that has expired", { notAfter: new Date(NOW.getTime() - 1000) }, /its leaf ended at/],
  ["of the future", { notBefore: new Date(NOW.getTime() + 1000) }, /its leaf begins at/],
  [
    "for another device",
    { extensions: { names: names({ type: "url", value: URI.replace("3f0d", "3f0e") }) } },
    /another device or user/,
  ],
  [
    "for another user",
    { extensions: { names: names({ type: "url", value: URI.replace("ffff", "fffe") }) } },
    /another device or user/,
  ],
  [
    "with upper-case ids",
    { extensions: { names: names({ type: "url", value: URI.replace("a1b2", "A1B2") }) } },
    /another device or user/,
  ],
  ["without alternative names", { extensions: { names: undefined } }, /another device or user/],
  [
    "with a host name beside",
    { extensions: { names: names({ type: "url", value: URI }, { type: "dns", value: "a.b" }) } },
    /names beside device and user/,
  ],
  [
    "with an e-mail address before",
    {
      extensions: { names: names({ type: "email", value: "a@b.c" }, { type: "url", value: URI }) },
    },
    /names beside device and user/,
  ],
  [
    "with its name twice",
    { extensions: { names: names({ type: "url", value: URI }, { type: "url", value: URI }) } },
    /names beside device and user/,
  ],
  [
    "that is an authority",
    { extensions: { basic: new x509.BasicConstraintsExtension(true, undefined, true) } },
    /its leaf is an authority/,
  ],
  [
    "with a path length",
    { extensions: { basic: raw("2.5.29.19", "3003020100", true) } },
    /its leaf is an authority/,
  ],
  ["without keyUsage", { extensions: { usage: undefined } }, /lacks digitalSignature/],
  [
    "for key agreement only",
    { extensions: { usage: new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyAgreement, true) } },
    /lacks digitalSignature/,
  ],
  [
    "that may sign certificates",
    {
      extensions: {
        usage: new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign,
          true,
        ),
      },
    },
    /may sign certificates/,
  ],
  ["without extendedKeyUsage", { extensions: { purpose: undefined } }, /not for TLS clients alone/],
  [
    "for servers too",
    { extensions: { purpose: new x509.ExtendedKeyUsageExtension([CLIENT, SERVER]) } },
    /not for TLS clients alone/,
  ],
  [
    "for servers",
    { extensions: { purpose: new x509.ExtendedKeyUsageExtension([SERVER]) } },
    /not for TLS clients alone/,
  ],
  ["without an issuer's key identifier", { extensions: { aki: undefined } }, /key identifiers/],
  [
    "with an unknown critical extension",
    { extensions: { extra: raw("1.2.3.4", "0500", true) } },
    /critical extension that is unknown here \(1\.2\.3\.4\)/,
  ],
  [
    "with a malformed keyUsage",
    { extensions: { usage: raw("2.5.29.15", "03020700", true) } },
    /keyUsage/,
  ],
  [
    "with rubbish after an extension",
    { extensions: { basic: raw("2.5.29.19", "30000500", true) } },
    /its leaf cannot be read/,
  ],
  ["with a serial number of 21 octets", { serialNumber: "01".repeat(21) }, /serial number/],
];

function raw(oid: string, digits: string, critical: boolean): x509.Extension {
  return new x509.Extension(
    oid,
    critical,
    Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)),
  );
}

for (const [what, changes, words] of hostileLeaves) {
  Deno.test(`a leaf ${what} is refused by name`, async () => {
    const leaf = await makeLeaf(changes);
    await assert.rejects(verifyBundle({ ...good, leaf }, expected), rejected(words));
  });
}

Deno.test("a leaf with a serial number below one, or of version 1, is refused by name", async () => {
  for (const octet of [0xff, 0]) {
    const leaf = await signedAnew(good.leaf, (body) => {
      body.serialNumber = Uint8Array.of(octet).buffer;
    });
    await assert.rejects(
      verifyBundle({ ...good, leaf }, expected),
      rejected(/serial number that is not positive/),
    );
  }
  const old = await signedAnew(good.leaf, (body) => {
    body.version = Version.v1;
    body.extensions = undefined;
  });
  await assert.rejects(verifyBundle({ ...good, leaf: old }, expected), rejected(/device or user/));
});

/** The same certificate after a change that no generator offers, signed by the intermediate. */
async function signedAnew(pem: string, change: (body: TBSCertificate) => void): Promise<string> {
  const certificate = AsnConvert.parse(certificateDer(pem), Certificate);
  const body = certificate.tbsCertificate;
  change(body);
  certificate.tbsCertificateRaw = undefined;
  const signature = new Uint8Array(
    await crypto.subtle.sign(ECDSA, intermediateKeys.privateKey, AsnConvert.serialize(body)),
  );
  certificate.signatureValue = ecdsaToDer(signature).buffer;
  return asPem(new Uint8Array(AsnConvert.serialize(certificate)));
}

/** Name, anchors that are pinned by mistake or offered at enrolment, and what has to be said. */
const hostileAnchors: [string, Changes, Changes, RegExp][] = [
  ["an expired root", { notAfter: new Date(NOW.getTime() - 1) }, {}, /its root ended at/],
  ["a root of the future", { notBefore: new Date(NOW.getTime() + 1000) }, {}, /its root begins/],
  ["a root signed by another key", { signer: otherKeys }, {}, /its root was not signed/],
  ["a root that somebody issued", { issuer: "CN=other" }, {}, /its root names another issuer/],
  [
    "a root that is no authority",
    { extensions: { basic: new x509.BasicConstraintsExtension(false, undefined, true) } },
    {},
    /its root is not marked as an authority/,
  ],
  [
    "a root without keyCertSign",
    {
      extensions: { usage: new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true) },
    },
    {},
    /its root may not sign certificates/,
  ],
  [
    "a root of path length 0",
    { extensions: { basic: new x509.BasicConstraintsExtension(true, 0, true) } },
    {},
    /its root allows no intermediate/,
  ],
  ["a root without a key identifier", { extensions: { ski: undefined } }, {}, /key identifiers/],
  ["an expired intermediate", {}, { notAfter: new Date(NOW.getTime() - 1) }, /intermediate ended/],
  ["another intermediate's signer", {}, { signer: otherKeys }, /key identifiers/],
  ["an intermediate of another name", {}, { subject: "CN=other" }, /not named/],
  [
    "an intermediate that could make authorities",
    {},
    { extensions: { basic: new x509.BasicConstraintsExtension(true, undefined, true) } },
    /path length is not 0/,
  ],
  [
    "an intermediate whose CA flag is not critical",
    {},
    { extensions: { basic: new x509.BasicConstraintsExtension(true, 0, false) } },
    /its intermediate is not marked as an authority/,
  ],
  [
    "an intermediate for every purpose",
    {},
    { extensions: { purpose: undefined } },
    /its intermediate is not for TLS clients alone/,
  ],
  [
    "an intermediate for servers",
    {},
    { extensions: { purpose: new x509.ExtendedKeyUsageExtension([CLIENT, SERVER]) } },
    /its intermediate is not for TLS clients alone/,
  ],
  [
    "an intermediate under another's key",
    {},
    { signer: otherKeys, extensions: await keyIds(intermediateKeys, rootKeys) },
    /its intermediate was not signed by the key of the root/,
  ],
];

for (const [what, rootChanges, intermediateChanges, words] of hostileAnchors) {
  Deno.test(`${what} is refused at enrolment and in a bundle`, async () => {
    const anchors = {
      root: await makeRoot(rootChanges),
      intermediate: await makeIntermediate(intermediateChanges),
    };
    await assert.rejects(verifyAnchors(anchors, NOW), rejected(words));
    const bundle = { ...anchors, leaf: good.leaf };
    await assert.rejects(verifyBundle(bundle, { ...expected, pinned: anchors }), rejected(words));
  });
}

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
      await assert.rejects(verifyBundle(offered, expected), rejected(/was refused: its /));
      // Even a pin of the mutated bytes does not help: then the signature tells.
      if (role !== "leaf") {
        await assert.rejects(verifyAnchors(offered, NOW), rejected(/was refused: its /));
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
  });
});

function asPem(der: Uint8Array): string {
  const base64 = btoa(Array.from(der, (octet) => String.fromCharCode(octet)).join(""));
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}
