import assert from "node:assert/strict";
import { ChallengeFixture } from "../../tests/challenge_fixture.ts";
import { testWith } from "../../tests/skip.ts";
import { pemToDer } from "../../tests/throwaway_ca.ts";
import type { Certificate } from "../../ca/certificate.ts";
import { readAnchorDer, readAnchors, serverDistrust } from "./server_identity.ts";

testWith(["openssl", "certutil", "pk12util"], "a server is who its certificates say", () => {
  using fixture = new ChallengeFixture();
  const der = (name: string) => pemToDer(fixture.read(`${name}.pem`));
  const anchor = readAnchors(fixture.read("server-ca.pem"));
  const other = readAnchors(fixture.read("elsewhere.pem"));
  const now = Date.now();
  const server = [der("server")];
  const day = 86_400_000;
  const rows: [string, Uint8Array[], Certificate[], string, number, RegExp | undefined][] = [
    ["by name", server, anchor, "localhost", now, undefined],
    ["by wildcard", server, anchor, "q.challenge.localhost", now, undefined],
    ["by address", server, anchor, "127.0.0.1", now, undefined],
    ["among others", server, [...other, ...anchor], "localhost", now, undefined],
    ["pinned itself", server, readAnchorDer(der("server")), "localhost", now, undefined],
    ["nothing", [], anchor, "localhost", now, /sent no certificate/],
    ["garbage", [new Uint8Array(9)], anchor, "localhost", now, /cannot be read/],
    [
      "another name",
      server,
      anchor,
      "example.com",
      now,
      /not for example\.com but for localhost, /,
    ],
    ["two labels", server, anchor, "a.b.challenge.localhost", now, /is not for/],
    ["another address", server, anchor, "127.0.0.2", now, /is not for/],
    ["no name in it", [der("elsewhere")], other, "Somebody Else", now, /names no host/],
    ["another authority", server, other, "localhost", now, /\(Server CA\) is no authority/],
    ["no authority", server, [], "localhost", now, /is no authority/],
    ["expired", server, anchor, "localhost", now + 21 * day, /of server is valid from .* not now/],
    ["too early", server, anchor, "localhost", now - day, /not now/],
    ["its authority expired", server, anchor, "localhost", now + 31 * day, /not now/],
  ];
  for (const [title, chain, anchors, host, at, expected] of rows) {
    const why = serverDistrust(chain, { host, anchors, now: at });
    if (expected) assert.match(why ?? "trusted", expected, title);
    else assert.equal(why, undefined, title);
  }
});

testWith(["openssl", "certutil", "pk12util"], "intermediates count when they are CAs", () => {
  using fixture = new ChallengeFixture();
  fixture.addLeaf("leaf");
  fixture.issueServer("serverAuth", { issuer: "intermediate", name: "below" });
  fixture.issueServer("serverAuth", { issuer: "leaf", name: "below-leaf" });
  const der = (name: string) => pemToDer(fixture.read(`${name}.pem`));
  const expectation = {
    host: "localhost",
    anchors: readAnchors(fixture.read("root.pem")),
    now: Date.now(),
  };
  const distrust = (...names: string[]) => serverDistrust(names.map(der), expectation);
  assert.equal(distrust("below", "intermediate"), undefined);
  assert.equal(distrust("below", "root", "elsewhere", "intermediate"), undefined);
  assert.match(distrust("below") ?? "", /is no authority/);
  assert.match(distrust("below-leaf", "leaf", "intermediate") ?? "", /is no authority/);
});

Deno.test("anchors are read out of a bundle; what is no certificate is left out", () => {
  assert.deepEqual(
    readAnchors(
      "# comment\n-----BEGIN CERTIFICATE-----\nAAAA\n" +
        "-----END CERTIFICATE-----\n",
    ),
    [],
  );
});

testWith(
  ["openssl", "certutil", "pk12util"],
  "each certificate must be for what it is used as",
  () => {
    using fixture = new ChallengeFixture();
    const ca = "basicConstraints=critical,CA:TRUE";
    const name = "subjectAltName=DNS:localhost";
    const authority = (id: string, issuer: string, extensions: string, key?: "rsa") =>
      fixture.issue(id, issuer, { subject: `/CN=${id}`, extensions, ...(key ? { key } : {}) });
    const server = (id: string, issuer: string, extensions = name) =>
      fixture.issue(id, issuer, { subject: `/CN=${id}`, extensions });
    authority("upper", "root", ca, "rsa");
    authority("lower", "upper", `${ca},pathlen:0`);
    authority("third", "lower", ca);
    authority("for clients", "root", `${ca}\nextendedKeyUsage=clientAuth`);
    authority("no signer", "root", `${ca}\nkeyUsage=digitalSignature`);
    authority("constrained", "root", `${ca}\nnameConstraints=critical,permitted;DNS:example.com`);
    const der = (id: string) => pemToDer(fixture.read(`${id}.pem`));
    const anchors = readAnchors(fixture.read("root.pem"));
    const rows: [chain: string[], extensions: string, RegExp | undefined][] = [
      [["upper"], name, undefined],
      [["lower", "upper"], name, undefined],
      [["third", "lower", "upper"], name, /\(third\)|\(lower\)/],
      [["for clients"], name, /of for clients is not for TLS servers/],
      [["no signer"], name, /\(no signer\) is no authority/],
      [["constrained"], name, /critical extension 2\.5\.29\.30, which is not understood/],
      [["upper"], `${name}\nextendedKeyUsage=clientAuth`, /is not for TLS servers/],
      [["upper"], `${name}\nextendedKeyUsage=anyExtendedKeyUsage`, undefined],
      [["upper"], "subjectAltName=DNS:*.localhost", /is not for localhost but for \*\.localhost/],
      [["upper"], "subjectAltName=DNS:LOCALHOST", undefined],
      [["upper"], "subjectAltName=URI:https://localhost", /names no host/],
      [["upper"], "keyUsage=digitalSignature", /names no host/],
    ];
    for (const [at, [chain, extensions, expected]] of rows.entries()) {
      server(`server ${at}`, chain[0] ?? "root", extensions);
      const ders = [`server ${at}`, ...chain].map(der);
      const why = serverDistrust(ders, { host: "localhost", anchors, now: Date.now() });
      if (expected) assert.match(why ?? "trusted", expected, `${chain} ${extensions}`);
      else assert.equal(why, undefined, `${chain} ${extensions}`);
    }
  },
);

testWith(
  ["openssl", "certutil", "pk12util"],
  "an address is one address however it is written",
  () => {
    using fixture = new ChallengeFixture();
    const extensions = "subjectAltName=IP:2001:db8::1,IP:192.0.2.7,DNS:*.b.example";
    fixture.issue("addresses", "server-ca", { subject: "/CN=addresses", extensions });
    const chain = [pemToDer(fixture.read("addresses.pem"))];
    const anchors = readAnchors(fixture.read("server-ca.pem"));
    const isTrusted = (host: string) =>
      serverDistrust(chain, { host, anchors, now: Date.now() }) === undefined;
    for (const host of ["2001:db8::1", "2001:DB8:0:0::0001", "192.0.2.7", "a.b.example"]) {
      assert.ok(isTrusted(host), host);
    }
    for (const host of ["2001:db8::2", "192.0.2.8", "b.example", "x.a.b.example", ".b.example"]) {
      assert.ok(!isTrusted(host), host);
    }
  },
);
