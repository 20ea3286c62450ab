import "reflect-metadata";
import assert from "node:assert/strict";
import * as x509 from "@peculiar/x509";
import {
  type Changes,
  intermediate,
  makeIntermediate,
  makeRoot,
  newKeys,
  NOW,
  otherKeys,
  root,
  rootKeys,
} from "../tests/made_chains.ts";
import { Problem } from "../platform/errors.ts";
import { followAnchors } from "./trust_anchors.ts";

const pinned = { root, intermediate, former: [] };
const nextRootKeys = await newKeys();
const nextRoot = await makeRoot({ keys: nextRootKeys });
const nextIntermediate = await makeIntermediate({ keys: await newKeys(), signer: nextRootKeys });

/** The new root's certificate by the pinned root's key. */
async function crossSigned(changes: Changes = {}): Promise<string> {
  const signer = changes.signer ?? rootKeys;
  const aki = await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey);
  return await makeRoot({
    keys: nextRootKeys,
    signer,
    ...changes,
    extensions: { aki, ...changes.extensions },
  });
}

const successor = async (changes: Changes = {}) => ({
  root: nextRoot,
  intermediate: nextIntermediate,
  crossSigned: await crossSigned(changes),
});

Deno.test("the pinned anchors stay, whatever is sent beside them", async () => {
  const offered = { root, intermediate, crossSigned: await crossSigned() };
  assert.equal(await followAnchors(pinned, offered, NOW), pinned);
});

Deno.test("a new intermediate under the pinned root is followed, the old one remembered", async () => {
  const renewed = await makeIntermediate({ keys: await newKeys() });
  assert.deepEqual(await followAnchors(pinned, { root, intermediate: renewed }, NOW), {
    root,
    intermediate: renewed,
    former: [{ root, intermediate }],
  });
});

Deno.test("a new root that the pinned one has signed is followed", async () => {
  assert.deepEqual(await followAnchors(pinned, await successor(), NOW), {
    root: nextRoot,
    intermediate: nextIntermediate,
    former: [{ root, intermediate }],
  });
});

Deno.test("a device that missed a generation finds its own root's signature among several", async () => {
  const offered = await successor();
  const several = await crossSigned({ signer: otherKeys }) + offered.crossSigned;
  const { root: followed } = await followAnchors(pinned, { ...offered, crossSigned: several }, NOW);
  assert.equal(followed, nextRoot);
});

Deno.test("at most eight earlier generations are remembered", async () => {
  const former = Array(8).fill({ root, intermediate });
  const followed = await followAnchors({ ...pinned, former }, await successor(), NOW);
  assert.equal(followed.former.length, 8);
});

const refused: [
  string,
  () => Promise<{ root: string; intermediate: string; crossSigned?: string }>,
][] = [
  ["a new root that nobody signed", async () => {
    const { crossSigned: _, ...unsigned } = await successor();
    return unsigned;
  }],
  ["a new root that a stranger signed", () => successor({ signer: otherKeys })],
  [
    "a cross-signature that has ended",
    () => successor({ notAfter: new Date(NOW.getTime() - 1000) }),
  ],
  [
    "a cross-signature that has not begun",
    () => successor({ notBefore: new Date(NOW.getTime() + 1000) }),
  ],
  ["a cross-signature for another key", () => successor({ keys: otherKeys })],
  ["a cross-signature for another name", () => successor({ subject: "CN=Somebody" })],
  [
    "a cross-signed certificate that is no authority",
    () =>
      successor({
        extensions: { basic: new x509.BasicConstraintsExtension(false, undefined, true) },
      }),
  ],
  [
    "a cross-signed root that may have no intermediate",
    () => successor({ extensions: { basic: new x509.BasicConstraintsExtension(true, 0, true) } }),
  ],
  [
    "a cross-signed certificate without a key identifier",
    () => successor({ extensions: { aki: undefined } }),
  ],
  ["a cross-signature that is garbage", async () => ({
    ...await successor(),
    crossSigned: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  })],
  ["a new intermediate that the pinned root did not sign", async () => ({
    root,
    intermediate: await makeIntermediate({ signer: otherKeys }),
  })],
  ["a new intermediate that has ended", async () => ({
    root,
    intermediate: await makeIntermediate({ notAfter: new Date(NOW.getTime() - 1000) }),
  })],
  ["a new intermediate of the old root under the new root", async () => ({
    ...await successor(),
    intermediate,
  })],
  ["a leaf's issuer that could make authorities", async () => ({
    root,
    intermediate: await makeIntermediate({
      keys: otherKeys,
      extensions: { basic: new x509.BasicConstraintsExtension(true, 1, true) },
    }),
  })],
];

for (const [name, offered] of refused) {
  Deno.test(`refused: ${name}`, async () => {
    await assert.rejects(
      followAnchors(pinned, await offered(), NOW),
      (error) => error instanceof Problem && error.code === "bundle-rejected",
    );
  });
}
