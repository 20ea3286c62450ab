import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { ChallengeFixture } from "../../tests/challenge_fixture.ts";
import { testWith } from "../../tests/skip.ts";
import { readAnchors, serverDistrust } from "./server_identity.ts";

testWith(["openssl", "certutil", "pk12util"], "a server is who its certificates say", () => {
  using fixture = new ChallengeFixture();
  const der = (name: string) => new X509Certificate(fixture.read(`${name}.pem`)).raw;
  const anchor = readAnchors(fixture.read("server-ca.pem"));
  const other = readAnchors(fixture.read("elsewhere.pem"));
  const now = Date.now();
  const server = [der("server")];
  const day = 86_400_000;
  const rows: [string, Uint8Array[], X509Certificate[], string, number, RegExp | undefined][] = [
    ["by name", server, anchor, "localhost", now, undefined],
    ["by wildcard", server, anchor, "q.challenge.localhost", now, undefined],
    ["by address", server, anchor, "127.0.0.1", now, undefined],
    ["among others", server, [...other, ...anchor], "localhost", now, undefined],
    ["pinned itself", server, [new X509Certificate(der("server"))], "localhost", now, undefined],
    ["nothing", [], anchor, "localhost", now, /sent no certificate/],
    ["garbage", [new Uint8Array(9)], anchor, "localhost", now, /cannot be read/],
    ["another name", server, anchor, "example.com", now, /not for example\.com but for DNS:/],
    ["two labels", server, anchor, "a.b.challenge.localhost", now, /is not for/],
    ["another address", server, anchor, "127.0.0.2", now, /is not for/],
    ["no name in it", [der("elsewhere")], other, "Somebody Else", now, /names no host/],
    ["another authority", server, other, "localhost", now, /CN=Server CA\) is no authority/],
    ["no authority", server, [], "localhost", now, /is no authority/],
    ["expired", server, anchor, "localhost", now + 21 * day, /CN=server is valid from .* not now/],
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
  const der = (name: string) => new X509Certificate(fixture.read(`${name}.pem`)).raw;
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
