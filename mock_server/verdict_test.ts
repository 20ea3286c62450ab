import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Authority, openAuthority } from "../ca/authority.ts";
import { CLIENT_AUTH, parseCertificate } from "../ca/certificate.ts";
import { issueLeaf } from "../ca/issue.ts";
import { judge, readLeaf, type TrustedLeaf, type VerdictFacts, VerdictReason } from "./verdict.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const DEVICE = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const USER = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const DAY = 86_400_000;

const leaf: TrustedLeaf = {
  sha256: "00".repeat(32),
  serial: "1f".repeat(16),
  deviceId: DEVICE,
  userId: USER,
  notBefore: new Date(NOW - DAY),
  notAfter: new Date(NOW + DAY),
};

const good: VerdictFacts = {
  now: NOW,
  distribution: true,
  certificate: { leaf },
  deviceEnrolled: true,
  userManaged: true,
  record: { supersededAt: null, revokedAt: null },
  overlapSeconds: 604_800,
  sessionUserId: USER,
};

/** One change to good facts that gives exactly this reason, in the order of precedence. */
const FLAWS: [VerdictReason, Partial<VerdictFacts>][] = [
  ["distribution-off", { distribution: false }],
  ["no-certificate", { certificate: "none" }],
  ["untrusted", { certificate: { foreign: { serial: "07" } } }],
  ["not-yet-valid", { certificate: { leaf: { ...leaf, notBefore: new Date(NOW + 1) } } }],
  ["expired", { certificate: { leaf: { ...leaf, notAfter: new Date(NOW) } } }],
  ["device-deleted", { deviceEnrolled: false }],
  ["user-not-managed", { userManaged: false }],
  ["revoked", { record: { supersededAt: null, revokedAt: NOW - DAY } }],
  ["no-user", { sessionUserId: null }],
  ["user-mismatch", { sessionUserId: DEVICE }],
];

async function withAuthority(test: (authority: Authority) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const options = { brand: "JumpCloud", now: new Date(NOW - DAY) };
    await test(await openAuthority(`${folder}/ca`, options));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function issue(authority: Authority): Promise<Uint8Array> {
  const keys = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const { der } = await issueLeaf(authority, {
    spki: new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey)),
    nameSuffix: "0badcafe",
    deviceId: DEVICE,
    userId: USER,
    crlUrl: "https://localhost/v1/crl",
    now: new Date(NOW),
    ttlSeconds: 3600,
  });
  return der;
}

/** A certificate as only the holder of the intermediate's key could make it. */
async function signByHand(authority: Authority, extensions: Extension[]): Promise<Uint8Array> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "0badcafe",
    subject: "CN=by hand",
    issuer: new X509Certificate(new Uint8Array(authority.intermediate.der)).subjectName,
    notBefore: new Date(NOW - DAY),
    notAfter: new Date(NOW + DAY),
    publicKey: keys.publicKey,
    signingKey: authority.intermediate.key,
    signingAlgorithm: algorithm,
    extensions,
  });
  return new Uint8Array(certificate.rawData);
}

Deno.test("good facts give ok, and each flaw its own reason", () => {
  assert.equal(judge(good).reason, "ok");
  for (const [reason, flaw] of FLAWS) {
    assert.equal(judge({ ...good, ...flaw }).reason, reason);
  }
  assert.deepEqual([...FLAWS.map(([reason]) => reason), "ok"], VerdictReason.options);
});

Deno.test("of several flaws the first in the documented order is the reason", () => {
  fc.assert(
    fc.property(fc.subarray(FLAWS), (flaws) => {
      // Later flaws first, so that where two set the same fact the earlier one stands.
      const facts = flaws.toReversed().reduce((all, [, flaw]) => ({ ...all, ...flaw }), good);
      const verdict = judge(facts);
      assert.equal(verdict.reason, flaws[0]?.[0] ?? "ok");
      assert.equal(verdict.managed, flaws.length === 0);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("every reason says what is the case and what to do, in a sentence of its own", () => {
  const messages = [good, ...FLAWS.map(([, flaw]) => ({ ...good, ...flaw }))]
    .map((facts) => judge(facts).message);
  assert.equal(new Set(messages).size, VerdictReason.options.length);
  for (const message of messages) assert.match(message, /^[A-Z].+\. .+\.$/s);
});

Deno.test("a certificate of ours is named whatever the reason, a foreign one by serial alone", () => {
  const ids = { deviceId: DEVICE, userId: USER, serial: leaf.serial };
  for (const [reason, flaw] of FLAWS) {
    const { deviceId, userId, serial } = judge({ ...good, ...flaw });
    const expected = reason === "no-certificate"
      ? { deviceId: null, userId: null, serial: null }
      : reason === "untrusted"
      ? { deviceId: null, userId: null, serial: "07" }
      : ids;
    assert.deepEqual({ deviceId, userId, serial }, expected, reason);
  }
});

Deno.test("a leaf is good from its first instant to the one before its last", () => {
  const at = (now: number) => judge({ ...good, now }).reason;
  assert.equal(at(NOW - DAY - 1), "not-yet-valid");
  assert.equal(at(NOW - DAY), "ok");
  assert.equal(at(NOW + DAY - 1), "ok");
  assert.equal(at(NOW + DAY), "expired");
});

Deno.test("a superseded leaf is good within the overlap and revoked from its end on", () => {
  const superseded = (secondsAgo: number, overlapSeconds = 60) =>
    judge({
      ...good,
      overlapSeconds,
      record: { supersededAt: NOW - secondsAgo * 1000, revokedAt: null },
    }).reason;
  assert.equal(superseded(0), "ok");
  assert.equal(superseded(59), "ok");
  assert.equal(superseded(60), "revoked");
  assert.equal(superseded(0, 0), "revoked");
});

Deno.test("a leaf of ours that the register does not know counts as revoked", () => {
  assert.equal(judge({ ...good, record: undefined }).reason, "revoked");
});

Deno.test("readLeaf() takes a leaf of the authority and says whose it is", async () => {
  await withAuthority(async (authority) => {
    const read = await readLeaf(
      await issue(authority),
      [parseCertificate(authority.intermediate.der)],
      NOW,
    );
    assert.ok("leaf" in read);
    assert.equal(read.leaf.deviceId, DEVICE);
    assert.equal(read.leaf.userId, USER);
    assert.match(read.leaf.serial, /^[0-9a-f]{32}$/);
    assert.equal(read.leaf.notAfter.getTime(), NOW + 3_600_000);
  });
});

Deno.test("readLeaf() takes no leaf of another authority that bears all our names", async () => {
  await withAuthority(async (ours) => {
    await withAuthority(async (theirs) => {
      const read = await readLeaf(
        await issue(theirs),
        [parseCertificate(ours.intermediate.der)],
        NOW,
      );
      assert.ok("foreign" in read);
      assert.match(read.foreign.serial ?? "", /^[0-9a-f]{32}$/);
    });
  });
});

Deno.test("readLeaf() looks for any live intermediate, and an ended one vouches for nothing", async () => {
  await withAuthority(async (ours) => {
    await withAuthority(async (theirs) => {
      const leaf = await issue(ours);
      const both = [theirs, ours].map(({ intermediate }) => parseCertificate(intermediate.der));
      assert.ok("leaf" in await readLeaf(leaf, both, NOW));
      const end = ours.intermediate.notAfter.getTime();
      assert.ok("leaf" in await readLeaf(leaf, both, end - 1));
      assert.ok("foreign" in await readLeaf(leaf, both, end));
      assert.ok("foreign" in await readLeaf(leaf, [], NOW));
    });
  });
});

Deno.test("readLeaf() takes nothing that our intermediate signed but the profile of a leaf", async () => {
  const usage = (flags: KeyUsageFlags) => new KeyUsagesExtension(flags, true);
  const purpose = (...oids: string[]) => new ExtendedKeyUsageExtension(oids);
  const names = (...urls: string[]) =>
    new SubjectAlternativeNameExtension(urls.map((value) => ({ type: "url" as const, value })));
  const uri = `urn:device-trust:${DEVICE}:${USER}`;
  const whole = [usage(KeyUsageFlags.digitalSignature), purpose(CLIENT_AUTH), names(uri)] as const;
  const [signs, client, named] = whole;
  const others: [string, Extension[]][] = [
    ["nothing said", []],
    ["an authority", [...whole, new BasicConstraintsExtension(true)]],
    ["no signatures", [usage(KeyUsageFlags.keyAgreement), client, named]],
    ["a server", [signs, purpose("1.3.6.1.5.5.7.3.1"), named]],
    ["nobody's", [signs, client]],
    ["somebody else's name", [signs, client, names("https://example.com/")]],
    ["two names", [signs, client, names(uri, uri)]],
    ["upper case", [signs, client, names(uri.toUpperCase())]],
  ];
  await withAuthority(async (authority) => {
    const intermediates = [parseCertificate(authority.intermediate.der)];
    const read = async (extensions: Extension[]) =>
      await readLeaf(await signByHand(authority, extensions), intermediates, NOW);
    assert.ok("leaf" in await read([...whole]));
    for (const [what, extensions] of others) assert.ok("foreign" in await read(extensions), what);
  });
});

Deno.test("readLeaf() takes neither root nor intermediate for a leaf", async () => {
  await withAuthority(async (authority) => {
    const intermediates = [authority.root, authority.intermediate]
      .map(({ der }) => parseCertificate(der));
    for (const { der } of [authority.root, authority.intermediate]) {
      assert.ok("foreign" in await readLeaf(der, intermediates, NOW));
    }
  });
});

Deno.test("readLeaf() takes no leaf in which any bit was changed", async () => {
  await withAuthority(async (authority) => {
    const leaf = await issue(authority);
    const intermediates = [parseCertificate(authority.intermediate.der)];
    const place = fc.tuple(fc.nat(leaf.length - 1), fc.nat(7));
    await fc.assert(
      fc.asyncProperty(place, async ([index, bit]) => {
        const changed = leaf.slice();
        changed[index] = (changed[index] ?? 0) ^ (1 << bit);
        assert.ok("foreign" in await readLeaf(changed, intermediates, NOW));
      }),
      { numRuns: 1000 },
    );
  });
});

Deno.test("readLeaf() answers any bytes at all", async () => {
  await withAuthority(async (authority) => {
    const leaf = await issue(authority);
    const intermediates = [parseCertificate(authority.intermediate.der)];
    const cut = fc.nat(leaf.length - 1).map((length) => leaf.slice(0, length));
    const longer = fc.uint8Array({ minLength: 1, maxLength: 9 })
      .map((more) => Uint8Array.of(...leaf, ...more));
    const garbage = fc.oneof(fc.uint8Array({ maxLength: 400 }), cut, longer);
    await fc.assert(
      fc.asyncProperty(garbage, async (bytes) => {
        assert.ok("foreign" in await readLeaf(bytes, intermediates, NOW));
      }),
      { numRuns: 2000 },
    );
  });
});
