/** Agent and authority, each with the other's output: request, leaf, bundle. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createCsr } from "../agent/csr.ts";
import { issuedByAnchor, sha256Hex, verifyAnchors, verifyBundle } from "../agent/verify.ts";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { checkCsr } from "../ca/csr.ts";
import { issueLeaf } from "../ca/issue.ts";
import { Problem } from "../platform/errors.ts";
import type { KeyAlgorithm } from "../platform/trust_store.ts";

const ALGORITHMS = {
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "RSA-2048": {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: Uint8Array.of(1, 0, 1),
    hash: "SHA-256",
  },
} as const;

async function withAuthorities(test: (...authorities: Authority[]) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    const now = new Date("2026-01-01T00:00:00Z");
    const open = (name: string) => openAuthority(`${folder}/${name}`, { brand: "JumpCloud", now });
    await test(await open("ours"), await open("theirs"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What happens between a user-agent and the server for one leaf. */
async function request(authority: Authority, owner: Owner) {
  const algorithm = ALGORITHMS[owner.algorithm];
  const keys =
    await (algorithm.name === "ECDSA"
      ? crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
      : crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]));
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const csr = await createCsr(
    spki,
    owner.algorithm,
    async (message) =>
      new Uint8Array(await crypto.subtle.sign(algorithm, keys.privateKey, message.slice())),
  );
  const checked = await checkCsr(csr);
  assert.deepEqual(checked, { spki, algorithm: owner.algorithm });
  const issued = await issueLeaf(authority, {
    ...owner,
    spki: checked.spki,
    crlUrl: "https://agent.example/v1/crl",
    ttlSeconds: 30 * 86_400,
  });
  const offered = {
    leaf: issued.pem,
    intermediate: authority.intermediate.pem,
    root: authority.root.pem,
    serial: issued.serial,
    notAfter: issued.notAfter.toISOString(),
  };
  return { spki, issued, offered };
}

interface Owner {
  deviceId: string;
  userId: string;
  nameSuffix: string;
  algorithm: KeyAlgorithm;
  now: Date;
}

const owners: fc.Arbitrary<Owner> = fc.record({
  deviceId: fc.uuid(),
  userId: fc.uuid(),
  nameSuffix: fc.stringMatching(/^[0-9a-f]{8}$/),
  algorithm: fc.oneof(
    { weight: 19, arbitrary: fc.constant("P-256" as const) },
    { weight: 1, arbitrary: fc.constant("RSA-2048" as const) },
  ),
  now: fc.date({
    min: new Date("2026-01-01T00:00:00Z"),
    max: new Date("2035-12-01T00:00:00Z"),
    noInvalidDate: true,
  }),
});

Deno.test("what the agent asks for the authority issues, and what it issues the agent accepts", () =>
  withAuthorities(async (ours, theirs) => {
    const pinned = { root: ours.root.pem, intermediate: ours.intermediate.pem };
    await verifyAnchors(pinned, new Date("2026-01-01T00:00:00Z"));
    await fc.assert(
      fc.asyncProperty(owners, owners, async (owner, stranger) => {
        const { spki, issued, offered } = await request(ours, owner);
        const expected = { ...owner, spki, brand: "JumpCloud", pinned };
        const { leaf } = await verifyBundle(offered, expected);
        assert.deepEqual(leaf, {
          der: issued.der,
          sha256: issued.sha256,
          serial: issued.serial,
          commonName: issued.commonName,
          notBefore: issued.notBefore,
          notAfter: issued.notAfter,
          spkiSha256: await sha256Hex(spki),
        });
        assert.ok(await issuedByAnchor(issued.der, ours.intermediate.der));
        assert.ok(!await issuedByAnchor(issued.der, theirs.intermediate.der));

        const refused = (changes: Partial<typeof expected>) =>
          assert.rejects(verifyBundle(offered, { ...expected, ...changes }), Problem);
        await refused({ deviceId: stranger.deviceId });
        await refused({ userId: stranger.userId });
        await refused({ now: new Date(owner.now.getTime() + 31 * 86_400_000) });
        await refused({
          pinned: { root: theirs.root.pem, intermediate: theirs.intermediate.pem },
        });
      }),
      { numRuns: 150 },
    );
  }));
