import "reflect-metadata";
import { Version } from "@peculiar/asn1-x509";
import * as x509 from "@peculiar/x509";
import assert from "node:assert/strict";
import {
  type Changes,
  CLIENT,
  expected,
  good,
  intermediateKeys,
  keyIds,
  LEAF,
  leafKeys,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  names,
  NOW,
  otherKeys,
  raw,
  rejected,
  ROOT,
  rootKeys,
  SERVER,
  signedAnew,
  URI,
} from "../tests/made_chains.ts";
import { verifyAnchors, verifyBundle } from "./verify.ts";

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
