import "reflect-metadata";
import assert from "node:assert/strict";
import { join } from "node:path";
import { X509Certificate } from "@peculiar/x509";
import fc from "fast-check";
import { openAuthority } from "./authority.ts";
import {
  certificateUse,
  describeCertificate,
  isIssuedBy,
  MAX_CERTIFICATE_BYTES,
  parseCertificate,
  parseCertificatePem,
} from "./certificate.ts";
import { DerError, fromPem, hex } from "./der.ts";
import { issueLeaf } from "./issue.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

/** A self-signed certificate that openssl made. */
function opensslCertificate(folder: string, ...options: string[]): string {
  const key = options.includes("-newkey")
    ? []
    : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const made = ask("openssl", [
    "req",
    "-x509",
    "-nodes",
    ...key,
    "-keyout",
    join(folder, "key.pem"),
    "-days",
    "10",
    ...options,
  ]);
  assert.ok(made.ok, made.text);
  return made.output;
}

testWith(
  ["openssl"],
  "other people's certificates are described as openssl and the library describe them",
  () =>
    inFolder(async (folder) => {
      const kinds = [
        ["-subj", "/CN=Someone"],
        ["-subj", "/C=DE/O=Company/CN=Someone/emailAddress=a@b.example"],
        ["-subj", "/"],
        ["-subj", "/CN=Grüße", "-utf8"],
        ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:a.example,URI:urn:a:b,URI:urn:c"],
        ["-subj", "/CN=x", "-addext", "1.2.3.4=critical,DER:0500"],
        ["-subj", "/CN=x", "-newkey", "rsa:2048"],
        ["-subj", "/CN=x", "-newkey", "ed25519"],
        ["-subj", "/CN=x", "-set_serial", "1"],
        ["-subj", "/CN=x", "-set_serial", "-5"],
        ["-subj", "/CN=x", "-days", "20000"],
      ];
      for (const options of kinds) {
        const pem = opensslCertificate(folder, ...options);
        const der = fromPem("CERTIFICATE", pem, MAX_CERTIFICATE_BYTES);
        const ours = await describeCertificate(der);
        const theirs = new X509Certificate(der);
        const soleName = /^CN=([^,]*)$/.exec(theirs.subject)?.[1] ?? "";
        assert.equal(ours.commonName, soleName, options.join(" "));
        assert.equal(ours.issuerCommonName, soleName);
        assert.equal(ours.serial.replace(/^00(?=[89a-f])/, ""), theirs.serialNumber);
        assert.deepEqual([ours.notBefore, ours.notAfter], [theirs.notBefore, theirs.notAfter]);
        assert.deepEqual(ours.spki, new Uint8Array(theirs.publicKey.rawData));
        assert.equal(ours.sha256, hex(new Uint8Array(await theirs.getThumbprint("SHA-256"))));
        assert.equal(ours.isCa, true);
        const printed = ask("openssl", ["x509", "-noout", "-text"], pem).text;
        assert.deepEqual(ours.uris, [...printed.matchAll(/URI:([^,\s]+)/g)].map(([, uri]) => uri));
      }
    }),
);

testWith(
  ["openssl"],
  "what a strict reader cannot read is refused, though others may read it",
  () =>
    inFolder((folder) => {
      const pem = opensslCertificate(folder, "-subj", "/CN=x");
      const der = fromPem("CERTIFICATE", pem, MAX_CERTIFICATE_BYTES);
      assert.throws(() => parseCertificate(der.subarray(0, -1)), DerError);
      assert.throws(() => parseCertificate(Uint8Array.from([...der, 0])), DerError);
      assert.throws(() => parseCertificate(new Uint8Array(0)), DerError);
      assert.throws(() => parseCertificate(new Uint8Array(MAX_CERTIFICATE_BYTES + 1)), /over/);
      assert.throws(() => parseCertificatePem(pem + pem), DerError);
      assert.throws(() => parseCertificatePem(" ".repeat(MAX_CERTIFICATE_BYTES * 2)), DerError);
      return Promise.resolve();
    }),
);

Deno.test("any mutation of a leaf is refused with DerError or has lost its issuer's signature", () =>
  inFolder(async (folder) => {
    const now = new Date("2026-03-01T12:00:00Z");
    const authority = await openAuthority(folder, { brand: "JumpCloud", now });
    const { publicKey } = await crypto.subtle.generateKey(
      { name: "ECDSA", namedCurve: "P-256" },
      true,
      ["sign", "verify"],
    );
    const { der } = await issueLeaf(authority, {
      spki: new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
      deviceId: crypto.randomUUID(),
      userId: crypto.randomUUID(),
      nameSuffix: "00c0ffee",
      crlUrl: "https://agent.example/v1/crl",
      now,
      ttlSeconds: 3600,
    });
    const issuer = parseCertificate(authority.intermediate.der);
    assert.ok(await isIssuedBy(parseCertificate(der), issuer));
    let readable = 0;
    const edit = fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(edit, async ([at, bits]) => {
        const mutated = new Uint8Array(der);
        mutated[at] = (mutated[at] ?? 0) ^ bits;
        try {
          const certificate = parseCertificate(mutated);
          certificateUse(certificate);
          readable++;
          assert.ok(!await isIssuedBy(certificate, issuer));
        } catch (error) {
          assert.ok(error instanceof DerError, String(error));
        }
      }),
      { numRuns: 3000 },
    );
    assert.ok(readable > 100, "many mutations are read, and only the signature tells");
  }));
