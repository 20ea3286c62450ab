import assert from "node:assert/strict";
import fc from "fast-check";
import { serializeItem } from "structured-headers";
import { clientAddress, decodeClientCert, presentedCertificate } from "./client_cert.ts";

const PROXIES = ["192.0.2.0/24", "2001:db8::/32"];
const LEAF = Uint8Array.of(0x30, 3, 2, 1, 5);
const OTHER = Uint8Array.of(0x30, 3, 2, 1, 7);
const NOTHING = { certificates: [] };

function encode(bytes: Uint8Array<ArrayBuffer>): string {
  return serializeItem([bytes.buffer, new Map()]);
}

Deno.test("any bytes that a trusted proxy encodes come back as they were", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 2000 }), (bytes) => {
    const field = encode(new Uint8Array(bytes));
    const presented = presentedCertificate(
      { address: "192.0.2.7", ...NOTHING },
      { clientCert: field },
      PROXIES,
    );
    assert.deepEqual(presented, { kind: "der", der: new Uint8Array(bytes) });
  }));
});

Deno.test("the field of anybody but a trusted proxy is as if it were not there", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6()).filter((ip) => !/^192\.0\.2\.|^2001:db8/.test(ip));
  const field = fc.oneof(fc.constant(encode(LEAF)), fc.string());
  const own = fc.subarray([OTHER, LEAF]);
  fc.assert(fc.property(address, field, own, (address, clientCert, certificates) => {
    const peer = { address, certificates };
    assert.deepEqual(
      presentedCertificate(peer, { clientCert }, PROXIES),
      presentedCertificate(peer, {}, []),
    );
  }));
});

Deno.test("with no proxy configured, not even loopback is believed", () => {
  const peer = { address: "127.0.0.1", ...NOTHING };
  assert.deepEqual(presentedCertificate(peer, { clientCert: encode(LEAF) }, []), { kind: "none" });
});

Deno.test("a proxy's field counts before the proxy's own certificate", () => {
  const peer = { address: "::ffff:192.0.2.1", certificates: [OTHER] };
  assert.deepEqual(presentedCertificate(peer, { clientCert: encode(LEAF) }, PROXIES), {
    kind: "der",
    der: LEAF,
  });
});

Deno.test("without the field, a proxy's request shows the certificate of its connection", () => {
  const peer = { address: "192.0.2.1", certificates: [OTHER] };
  assert.deepEqual(presentedCertificate(peer, {}, PROXIES), { kind: "der", der: OTHER });
  assert.deepEqual(presentedCertificate({ ...peer, ...NOTHING }, {}, PROXIES), { kind: "none" });
});

Deno.test("a malformed field is unreadable, never an error and never absent", () => {
  const good = encode(LEAF);
  const bad = ["", " ", "::", ":", "MAUC", good.slice(1), good.slice(0, -1), `${good}, ${good}`]
    .concat([`"${good}"`, `(${good})`, `a=${good}`, ":MAM*:", ":M:", "1", "?1", "@1", "tok", "é"])
    .concat(["-----BEGIN CERTIFICATE-----", '%"a"', '%"%', "%"]);
  for (const field of bad) assert.deepEqual(decodeClientCert(field), { kind: "unreadable" }, field);
});

Deno.test("any text at all is decoded or unreadable", () => {
  const near = fc.stringMatching(/^[:=A-Za-z0-9+/%@?"(); .-]{0,40}$/);
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: "binary" })), (field) => {
      const presented = decodeClientCert(field);
      assert.ok(presented.kind === "unreadable" || presented.kind === "der");
    }),
    { numRuns: 20_000 },
  );
});

Deno.test("the client's address is the connection's unless a trusted proxy names another", () => {
  const cases: [string, string | undefined, string][] = [
    ["198.51.100.9", undefined, "198.51.100.9"],
    ["::ffff:198.51.100.9", undefined, "198.51.100.9"],
    ["198.51.100.9", "10.0.0.1", "198.51.100.9"],
    ["192.0.2.1", undefined, "192.0.2.1"],
    ["192.0.2.1", "10.0.0.1", "10.0.0.1"],
    // What the client made up stands before what the proxies added.
    ["192.0.2.1", "10.9.9.9, 203.0.113.5", "203.0.113.5"],
    ["192.0.2.1", "203.0.113.5, 192.0.2.2", "203.0.113.5"],
    ["2001:db8::1", "2001:DB8:0::2,  2a00::1 ", "2a00::1"],
    ["192.0.2.1", "192.0.2.3, 192.0.2.2", "192.0.2.1"],
    ["192.0.2.1", "10.0.0.1, unknown", "192.0.2.1"],
  ];
  for (const [address, forwardedFor, expected] of cases) {
    const actual = clientAddress({ address, ...NOTHING }, { forwardedFor }, PROXIES);
    assert.equal(actual, expected, `${address} <- ${forwardedFor}`);
  }
});
