import "reflect-metadata";
import assert from "node:assert/strict";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { type Authority, openAuthority } from "./authority.ts";
import { certificateUse, describeCertificate, parseCertificate } from "./certificate.ts";
import { issueLeaf, type LeafRequest } from "./issue.ts";
import { isLeafName, leafName, parseLeafUri } from "./names.ts";
import { newSerial } from "./sign.ts";
import { ask, inFolder } from "../tests/ask.ts";
import { testWith } from "../tests/skip.ts";

const NOW = new Date("2026-03-01T12:00:00.789Z");
const DEVICE = "3f0d6f0e-7b8f-4a51-9d0e-2f4c3a1b5d6e";
const USER = "a1b2c3d4-0000-4000-8000-00000000ffff";

const P256 = { name: "ECDSA", namedCurve: "P-256" };
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
};

/** DER SubjectPublicKeyInfo of a new key. */
async function newKey(algorithm: typeof P256 | typeof RSA): Promise<Uint8Array> {
  const { publicKey } =
    await (algorithm === P256
      ? crypto.subtle.generateKey(P256, false, ["sign", "verify"])
      : crypto.subtle.generateKey(RSA, false, ["sign", "verify"]));
  return new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
}

async function requestFor(changes: Partial<LeafRequest> = {}): Promise<LeafRequest> {
  return {
    spki: await newKey(P256),
    deviceId: DEVICE,
    userId: USER,
    nameSuffix: "00c0ffee",
    crlUrl: "https://agent.example/v1/crl",
    now: NOW,
    ttlSeconds: 30 * 86_400,
    ...changes,
  };
}

async function writeChain(folder: string, authority: Authority): Promise<void> {
  await Deno.writeTextFile(join(folder, "root.pem"), authority.root.pem);
  await Deno.writeTextFile(join(folder, "intermediate.pem"), authority.intermediate.pem);
}

/** What openssl says of leaf files, for TLS clients, strictly. */
function opensslVerify(folder: string, leaves: string[], at?: Date) {
  const time = at ? ["-attime", String(Math.floor(at.getTime() / 1000))] : ["-no_check_time"];
  const anchors = ["-CAfile", "root.pem", "-untrusted", "intermediate.pem"]
    .map((arg) => arg.endsWith(".pem") ? join(folder, arg) : arg);
  return ask("openssl", [
    "verify",
    "-x509_strict",
    "-purpose",
    "sslclient",
    ...time,
    ...anchors,
    ...leaves,
  ]);
}

Deno.test("a leaf holds exactly what DESIGN section 5 says", () =>
  inFolder(async (folder) => {
    const authority = await openAuthority(folder, { brand: "JumpCloud", now: NOW });
    const request = await requestFor();
    const leaf = await issueLeaf(authority, request);
    const read = new x509.X509Certificate(leaf.pem);
    assert.equal(read.subject, "CN=JumpCloud Device Trust Certificate - 00c0ffee");
    assert.equal(leaf.commonName, leafName("JumpCloud", "00c0ffee"));
    assert.equal(read.issuer, "CN=device-trust.intermediate");
    assert.equal(read.serialNumber, leaf.serial);
    assert.equal(read.notBefore.toISOString(), "2026-03-01T11:00:00.000Z");
    assert.equal(read.notAfter.toISOString(), "2026-03-31T12:00:00.000Z");
    assert.deepEqual([leaf.notBefore, leaf.notAfter], [read.notBefore, read.notAfter]);
    assert.deepEqual(new Uint8Array(read.publicKey.rawData), request.spki);
    assert.equal(
      Array.from(read.extensions, ({ type, critical }) => type + (critical ? "!" : "")).sort()
        .join(" "),
      "2.5.29.14 2.5.29.15! 2.5.29.17 2.5.29.19! 2.5.29.31 2.5.29.35 2.5.29.37",
    );
    const names = read.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
    assert.deepEqual(names, [{ type: "url", value: `urn:device-trust:${DEVICE}:${USER}` }]);
    assert.equal(read.getExtension(x509.KeyUsagesExtension)?.usages, 1);
    assert.deepEqual([...read.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? []], [
      "1.3.6.1.5.5.7.3.2",
    ]);
    assert.equal(read.getExtension(x509.BasicConstraintsExtension)?.ca, false);
    const points = read.getExtension(x509.CRLDistributionPointsExtension)?.distributionPoints;
    const uri = points?.[0]?.distributionPoint?.fullName?.[0]?.uniformResourceIdentifier;
    assert.equal(uri, request.crlUrl);
    assert.equal(
      read.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
      authority.intermediate.keyIdentifier,
    );
    const expected = await x509.SubjectKeyIdentifierExtension.create(read.publicKey);
    assert.equal(
      read.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
      expected.keyId,
    );
    const thumbprint = new Uint8Array(await read.getThumbprint("SHA-256"));
    assert.equal(leaf.sha256, thumbprint.toHex());
  }));

Deno.test("a leaf never outlives its intermediate", () =>
  inFolder(async (folder) => {
    const authority = await openAuthority(folder, { brand: "JumpCloud", now: NOW });
    const end = authority.intermediate.notAfter;
    const late = new Date(end.getTime() - 60_000);
    const leaf = await issueLeaf(authority, await requestFor({ now: late }));
    assert.deepEqual(leaf.notAfter, end);
    const ended = await requestFor({ now: new Date(end.getTime() + 1000) });
    await assert.rejects(issueLeaf(authority, ended), RangeError);
  }));

Deno.test("arguments that no server should pass are refused", () =>
  inFolder(async (folder) => {
    const authority = await openAuthority(folder, { brand: "JumpCloud", now: NOW });
    const wrong: Partial<LeafRequest>[] = [
      { nameSuffix: "xyz" },
      { nameSuffix: "00C0FFEE" },
      { serial: "00".repeat(16) },
      { serial: `ff${"00".repeat(15)}` },
      { serial: "01" },
      { ttlSeconds: 0 },
      { ttlSeconds: Number.NaN },
      { crlUrl: "https://ä/" },
    ];
    for (const changes of wrong) {
      const request = await requestFor(changes);
      await assert.rejects(issueLeaf(authority, request), RangeError, JSON.stringify(changes));
    }
  }));

Deno.test("a serial number is positive and has 32 digits, whatever the random octets", () => {
  const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
  fc.assert(fc.property(bytes, (octets) => {
    assert.match(newSerial((target) => (target.set(octets), target)), /^(?!00)[0-7][0-9a-f]{31}$/);
  }));
  const fill = (octet: number) => newSerial((octets) => octets.fill(octet));
  assert.equal(fill(0), `01${"00".repeat(15)}`);
  assert.equal(fill(0xff), `7f${"ff".repeat(15)}`);
});

testWith(
  ["openssl", "certtool"],
  "openssl verify -x509_strict and certtool accept a chain, in time and for clients only",
  () =>
    inFolder(async (folder) => {
      const now = new Date();
      const authority = await openAuthority(folder, { brand: "JumpCloud", now });
      const leaf = await issueLeaf(authority, await requestFor({ now }));
      await writeChain(folder, authority);
      const path = join(folder, "leaf.pem");
      await Deno.writeTextFile(path, leaf.pem);
      assert.ok(opensslVerify(folder, [path], now).ok);
      assert.ok(!opensslVerify(folder, [path], new Date(leaf.notAfter.getTime() + 1000)).ok);
      assert.ok(!opensslVerify(folder, [path], new Date(leaf.notBefore.getTime() - 1000)).ok);
      const root = join(folder, "root.pem");
      const chain = leaf.pem + authority.intermediate.pem;
      const certtool = (purpose: string) =>
        ask(
          "certtool",
          ["--verify", "--load-ca-certificate", root, "--verify-purpose", purpose]
            .concat("--verify-profile", "medium"),
          chain,
        );
      assert.match(certtool("1.3.6.1.5.5.7.3.2").text, /Chain verification output: Verified/);
      assert.ok(!certtool("1.3.6.1.5.5.7.3.1").ok, "not a server's certificate");
      const other = await openAuthority(join(folder, "other"), { brand: "JumpCloud", now });
      await Deno.writeTextFile(root, other.root.pem);
      assert.ok(!certtool("1.3.6.1.5.5.7.3.2").ok, "another root of the same name");
      assert.ok(!opensslVerify(folder, [path], now).ok, "another root of the same name");
    }),
);

testWith(
  ["openssl", "certtool"],
  "thousands of leaves from random input are read alike and accepted by openssl and certtool",
  () =>
    inFolder(async (folder) => {
      const keys = [await newKey(RSA)];
      while (keys.length < 40) keys.push(await newKey(P256));
      const instant = fc.date({
        min: new Date("2000-01-01T00:00:00Z"),
        max: new Date("2070-01-01T00:00:00Z"),
        noInvalidDate: true,
      });
      const batches = fc.sample(
        fc.tuple(fc.stringMatching(/^[A-Za-z0-9]{1,32}$/), instant),
        { numRuns: 6, seed: 20260301 },
      );
      for (const [index, [brand, randomInstant]] of batches.entries()) {
        // certtool judges by the machine's clock, so one batch is of today.
        const today = index === 0;
        const made = today ? new Date() : randomInstant;
        const data = join(folder, String(index));
        const authority = await openAuthority(data, { brand, now: made });
        await writeChain(data, authority);
        const paths: string[] = [];
        await fc.assert(
          fc.asyncProperty(requests(keys, made, today ? 0 : 8), async (request) => {
            const leaf = await issueLeaf(authority, request);
            await checkRead(authority, request, leaf.der);
            if (paths.length % 10 === 0) checkLibraryAgrees(leaf.der);
            const path = join(data, `${paths.length}.pem`);
            await Deno.writeTextFile(path, leaf.pem);
            paths.push(path);
            if (today && paths.length % 20 === 0) checkCerttool(data, leaf.pem, authority);
          }),
          { numRuns: 500, seed: index },
        );
        const verdict = opensslVerify(data, paths);
        assert.ok(verdict.ok, verdict.text.slice(-2000));
        assert.equal(verdict.text.match(/: OK$/gm)?.length, paths.length);
      }
    }),
);

function requests(keys: Uint8Array[], made: Date, years: number): fc.Arbitrary<LeafRequest> {
  const id = fc.uuid();
  return fc.record({
    spki: fc.constantFrom(...keys),
    deviceId: id,
    userId: id,
    nameSuffix: fc.stringMatching(/^[0-9a-f]{8}$/),
    crlUrl: fc.webUrl({ validSchemes: ["https"] }).map((url) => encodeURI(url)),
    now: fc.integer({ min: 0, max: years * 365 * 86_400 })
      .map((seconds) => new Date(made.getTime() + seconds * 1000)),
    ttlSeconds: fc.integer({ min: 3600, max: 3 * 365 * 86_400 }),
  });
}

async function checkRead(
  authority: Authority,
  request: LeafRequest,
  der: Uint8Array,
): Promise<void> {
  const read = await describeCertificate(der);
  assert.ok(isLeafName(authority.brand, read.commonName), read.commonName);
  const { deviceId, userId } = request;
  assert.deepEqual(read.uris.map(parseLeafUri), [{ deviceId, userId }]);
  const start = Math.floor(request.now.getTime() / 1000) * 1000;
  assert.equal(read.notBefore.getTime(), start - 3_600_000);
  const end = Math.min(
    start + request.ttlSeconds * 1000,
    authority.intermediate.notAfter.getTime(),
  );
  assert.equal(read.notAfter.getTime(), end);
  assert.equal(read.serial.length, 32);
  assert.deepEqual(read.spki, request.spki);
}

/** The library and our own reader see the same certificate. */
function checkLibraryAgrees(der: Uint8Array): void {
  const ours = parseCertificate(der);
  const theirs = new x509.X509Certificate(new Uint8Array(der));
  assert.equal(theirs.serialNumber, ours.serial);
  assert.equal(theirs.subject, `CN=${ours.commonName}`);
  assert.deepEqual([theirs.notBefore, theirs.notAfter], [ours.notBefore, ours.notAfter]);
  const names = theirs.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON();
  assert.deepEqual(names?.map(({ value }) => value), certificateUse(ours).uris);
}

function checkCerttool(folder: string, leaf: string, authority: Authority): void {
  const { text } = ask(
    "certtool",
    ["--verify", "--load-ca-certificate", join(folder, "root.pem")]
      .concat("--verify-purpose", "1.3.6.1.5.5.7.3.2", "--verify-profile", "medium"),
    leaf + authority.intermediate.pem,
  );
  assert.match(text, /Chain verification output: Verified/, text);
}
