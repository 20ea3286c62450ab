import assert from "node:assert/strict";
import fc from "fast-check";
import { type CertificateNames, intermediatesTo, offered } from "./client_certificate_choice.ts";

const name = (text: string) => new TextEncoder().encode(text);

function certificate(issuer: string, subject: string): CertificateNames {
  return { issuer: name(issuer), subject: name(subject) };
}

function finder(...certificates: CertificateNames[]) {
  return (subject: Uint8Array) =>
    certificates.find((one) => new TextDecoder().decode(one.subject) === text(subject));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

Deno.test("a chain is walked by name until an authority that the server names", () => {
  const leaf = certificate("intermediate", "leaf");
  const intermediate = certificate("root", "intermediate");
  const root = certificate("root", "root");
  const rows: [string[], CertificateNames[], number | undefined][] = [
    [[], [], 0],
    [["intermediate"], [], 0],
    [["root"], [intermediate], 1],
    [["other", "root"], [intermediate, root], 1],
    [["root"], [], undefined],
    [["other"], [intermediate], undefined],
    [["other"], [intermediate, root], undefined],
    [["leaf"], [intermediate, root], undefined],
    [["Root"], [intermediate, root], undefined],
  ];
  for (const [named, database, expected] of rows) {
    const found = intermediatesTo(leaf, named.map(name), finder(...database));
    assert.equal(found, expected, `${named} with ${database.length}`);
  }
});

Deno.test("a circle of names, and a very long chain, end the walk", () => {
  const circle = finder(certificate("b", "a"), certificate("a", "b"));
  assert.equal(intermediatesTo(certificate("a", "leaf"), [name("root")], circle), undefined);
  const ladder = (subject: Uint8Array) =>
    certificate(String(Number(text(subject)) + 1), text(subject));
  assert.equal(intermediatesTo(certificate("1", "0"), [name("20")], ladder), 19);
  assert.equal(intermediatesTo(certificate("1", "0"), [name("21")], ladder), undefined);
});

Deno.test("only what is valid now is offered: later end, later begin, shorter chain first", () => {
  const now = 100;
  const row = (id: string, notBefore: number, notAfter: number, intermediates = 0) => {
    return { id, notBefore, notAfter, intermediates };
  };
  const all = [
    row("expired", 0, 99),
    row("future", 101, 500),
    row("ends sooner", 0, 200),
    row("long chain", 50, 300, 2),
    row("short chain", 50, 300, 1),
    row("began sooner", 10, 300),
    row("valid on its last instant", 0, 100),
    row("valid on its first instant", 100, 150),
  ];
  assert.deepEqual(offered(all, now).map(({ id }) => id), [
    "short chain",
    "long chain",
    "began sooner",
    "ends sooner",
    "valid on its first instant",
    "valid on its last instant",
  ]);
});

Deno.test("the order does not depend on the order in the database", () => {
  const instant = fc.integer({ min: 0, max: 6 });
  const one = fc.record(
    { notBefore: instant, notAfter: instant, intermediates: instant },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(fc.array(one), instant, (all, now) => {
    assert.deepEqual(offered(all, now), offered(all.toReversed(), now));
  }));
});
