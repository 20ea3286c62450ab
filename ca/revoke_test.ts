import "reflect-metadata";
import assert from "node:assert/strict";
import { join } from "node:path";
import { X509Crl, X509CrlReason } from "@peculiar/x509";
import fc from "fast-check";
import { type Authority, openAuthority } from "./authority.ts";
import { toPem } from "./der.ts";
import { issueLeaf } from "./issue.ts";
import { REASON_CODES, type RevocationList, type RevocationReason, signCrl } from "./revoke.ts";
import { newSerial } from "./sign.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

const NOW = new Date("2026-03-01T12:00:00Z");
const REASONS: readonly RevocationReason[] = [
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
  "aACompromise",
];

function list(entries: RevocationList["entries"], number = 1, now = NOW): RevocationList {
  return {
    entries,
    number,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + 86_400_000),
  };
}

const open = (folder: string, now = NOW): Promise<Authority> =>
  openAuthority(join(folder, "ca"), { brand: "JumpCloud", now });

Deno.test("a list says of each serial when and why, and the library reads it so", () =>
  inFolder(async (folder) => {
    const authority = await open(folder);
    const entry = fc.record({
      serial: fc.uint8Array({ minLength: 16, maxLength: 16 })
        .map((octets) => newSerial((target) => (target.set(octets), target))),
      revokedAt: fc.integer({ min: 0, max: 30 * 365 * 86_400 })
        .map((seconds) => new Date(NOW.getTime() + seconds * 1000)),
      reason: fc.constantFrom(...REASONS),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 20 }), fc.maxSafeNat(), async (entries, n) => {
        const read = new X509Crl(await signCrl(authority, list(entries, n)));
        assert.equal(read.issuer, "CN=device-trust.intermediate");
        assert.equal(read.thisUpdate.toISOString(), NOW.toISOString());
        assert.deepEqual(
          read.entries.map((found) => [found.serialNumber, found.revocationDate, found.reason]),
          entries.map(({ serial, revokedAt, reason }) => [
            serial,
            revokedAt,
            X509CrlReason[reason],
          ]),
        );
      }),
    );
  }));

Deno.test("reason codes are those of RFC 5280", () => {
  assert.deepEqual(Object.keys(REASON_CODES), REASONS);
  for (const reason of REASONS) assert.equal(REASON_CODES[reason], X509CrlReason[reason]);
});

Deno.test("a list number that is no whole number is refused", () =>
  inFolder(async (folder) => {
    const authority = await open(folder);
    for (const number of [-1, 1.5, Number.NaN, 2 ** 60]) {
      await assert.rejects(signCrl(authority, list([], number)), RangeError);
    }
  }));

testWith(
  ["openssl"],
  "openssl verifies a list, reads every field, and refuses a leaf that is on it",
  () =>
    inFolder(async (folder) => {
      const now = new Date();
      const authority = await open(folder, now);
      const leaves = await Promise.all(["00000001", "00000002"].map(async (nameSuffix) => {
        const { publicKey } = await crypto.subtle.generateKey(
          { name: "ECDSA", namedCurve: "P-256" },
          true,
          ["sign", "verify"],
        );
        return await issueLeaf(authority, {
          spki: new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
          deviceId: crypto.randomUUID(),
          userId: crypto.randomUUID(),
          nameSuffix,
          crlUrl: "https://agent.example/v1/crl",
          now,
          ttlSeconds: 3600,
        });
      }));
      const [gone, live] = leaves;
      assert.ok(gone && live);
      const entries = REASONS.map((reason) => ({ serial: newSerial(), revokedAt: now, reason }));
      entries.push({ serial: gone.serial, revokedAt: now, reason: "superseded" });
      const crl = await signCrl(authority, list(entries, 300, now));
      const path = (name: string) => join(folder, name);
      await Deno.writeFile(path("crl.der"), crl);
      await Deno.writeTextFile(path("crl.pem"), toPem("X509 CRL", crl));
      await Deno.writeTextFile(path("root.pem"), authority.root.pem);
      await Deno.writeTextFile(path("intermediate.pem"), authority.intermediate.pem);

      const read = ask(
        "openssl",
        ["crl", "-inform", "DER", "-in", path("crl.der"), "-noout"]
          .concat("-text", "-CAfile", path("intermediate.pem")),
      );
      assert.match(read.text, /verify OK/);
      assert.match(read.text, /Version 2 \(0x1\)/);
      assert.match(read.text, /X509v3 CRL Number: \n\s+300\n/);
      assert.match(read.text, /X509v3 Authority Key Identifier/);
      assert.equal(read.text.match(/X509v3 CRL Reason Code/g)?.length, entries.length);
      for (
        const words of [
          "Key Compromise",
          "CA Compromise",
          "Affiliation Changed",
          "Superseded",
          "Cessation Of Operation",
          "Privilege Withdrawn",
          "AA Compromise",
        ]
      ) assert.ok(read.text.includes(words), words);

      const check = async (pem: string) => {
        await Deno.writeTextFile(path("leaf.pem"), pem);
        return ask(
          "openssl",
          ["verify", "-x509_strict", "-crl_check", "-CRLfile", path("crl.pem")]
            .concat("-CAfile", path("root.pem"), "-untrusted", path("intermediate.pem"))
            .concat(path("leaf.pem")),
        );
      };
      assert.ok((await check(live.pem)).ok);
      assert.match((await check(gone.pem)).text, /certificate revoked/);

      await Deno.writeFile(path("crl.der"), await signCrl(authority, list([], 0, now)));
      const empty = ask(
        "openssl",
        ["crl", "-inform", "DER", "-in", path("crl.der"), "-noout"]
          .concat("-text", "-CAfile", path("intermediate.pem")),
      ).text;
      assert.match(empty, /verify OK/);
      assert.match(empty, /No Revoked Certificates/);
    }),
);
