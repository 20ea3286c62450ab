import assert from "node:assert/strict";
import { AsnConvert } from "@peculiar/asn1-schema";
import { AlgorithmIdentifier, Time } from "@peculiar/asn1-x509";
import fc from "fast-check";
import {
  concat,
  contextTag,
  der,
  derBitString,
  derCommonName,
  DerError,
  derOid,
  DerReader,
  derTime,
  derUnsigned,
  fromPem,
  hex,
  TAG,
  toPem,
  unhex,
} from "./der.ts";

const octets = fc.uint8Array({ maxLength: 400 });
const tags = fc.constantFrom(...Object.values(TAG), contextTag(0, true), contextTag(6, false));

/** Runs a reader over bytes given in hexadecimal and wants all of them used. */
function readAll<T>(digits: string, read: (reader: DerReader) => T): T {
  const reader = new DerReader(unhex(digits), "test");
  const value = read(reader);
  reader.end();
  return value;
}

Deno.test("an element that was written is read back, and nothing shorter or longer is", () => {
  fc.assert(fc.property(tags, fc.array(octets, { maxLength: 3 }), (tag, parts) => {
    const element = der(tag, ...parts);
    const reader = new DerReader(element, "test");
    assert.deepEqual(reader.read(tag).content, concat(parts));
    reader.end();
    const cut = new DerReader(element.subarray(0, -1), "test");
    assert.throws(() => cut.read(tag), DerError);
    const longer = new DerReader(concat([element, Uint8Array.of(0)]), "test");
    longer.read(tag);
    assert.throws(() => longer.end(), DerError);
  }));
});

Deno.test("lengths are written in their shortest form around every border", () => {
  for (const length of [0, 1, 127, 128, 255, 256, 65535, 65536, 200_000]) {
    const element = der(TAG.octetString, new Uint8Array(length));
    const header = hex(element.subarray(0, element.length - length));
    const digits = length.toString(16).padStart(2, "0");
    const even = digits.length % 2 ? `0${digits}` : digits;
    const long = `04${(0x80 + even.length / 2).toString(16)}${even}`;
    assert.equal(header, length < 128 ? `04${even}` : long);
    assert.equal(new DerReader(element, "test").read().content.length, length);
  }
});

Deno.test("each value has one encoding, and the others are refused", () => {
  const refused: [string, string, (reader: DerReader) => unknown][] = [
    ["an indefinite length", "30800000", (r) => r.read()],
    ["a long length for a short one", "04810141", (r) => r.read()],
    ["a length with a leading zero", `04820080${"00".repeat(128)}`, (r) => r.read()],
    ["a length of four octets", "0484000000", (r) => r.read()],
    ["a tag of several octets", "1f00", (r) => r.read()],
    ["a tag of several octets, constructed", "3f00", (r) => r.read()],
    ["another tag than expected", "0500", (r) => r.read(TAG.sequence)],
    ["nothing", "", (r) => r.read()],
    ["a BOOLEAN of 01", "010101", (r) => r.boolean()],
    ["a BOOLEAN of two octets", "0102ffff", (r) => r.boolean()],
    ["an empty INTEGER", "0200", (r) => r.integer()],
    ["a padded positive INTEGER", "02020001", (r) => r.integer()],
    ["a padded negative INTEGER", "0202ff80", (r) => r.integer()],
    ["a negative small INTEGER", "0201ff", (r) => r.smallInteger()],
    ["a small INTEGER that is large", "02050100000000", (r) => r.smallInteger()],
    ["an empty BIT STRING", "0300", (r) => r.bitString()],
    ["a BIT STRING with unused bits", "030201fe", (r) => r.bitString()],
    ["an empty OID", "0600", (r) => r.oid()],
    ["an OID that is cut off", "06022a86", (r) => r.oid()],
    ["an OID with a padded arc", "06032a8001", (r) => r.oid()],
    ["an OID arc over 32 bits", "06062a9080808000", (r) => r.oid()],
    [
      "a time in a UTF8String",
      `0c0f${hex(new TextEncoder().encode("20600101000000Z"))}`,
      (r) => r.time(),
    ],
    ["a time without seconds", "170b323630313031303030305a", (r) => r.time()],
    ["a time with an offset", "1711323630313031303030303030" + "2b30313030", (r) => r.time()],
    ["30 February", `170d${hex(new TextEncoder().encode("260230000000Z"))}`, (r) => r.time()],
    [
      "a GeneralizedTime before 2050",
      `180f${hex(new TextEncoder().encode("20260101000000Z"))}`,
      (r) => r.time(),
    ],
    [
      "a GeneralizedTime with a fraction",
      `1811${hex(new TextEncoder().encode("20600101000000.5Z"))}`,
      (r) => r.time(),
    ],
  ];
  for (const [what, digits, read] of refused) {
    assert.throws(() => readAll(digits, read), DerError, what);
  }
});

Deno.test("object identifiers are those that the library writes", () => {
  const arc = fc.integer({ min: 0, max: 0x7fffffff });
  const heads = fc.tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 39 }));
  fc.assert(fc.property(heads, fc.array(arc, { maxLength: 8 }), (head, rest) => {
    const dotted = [...head, ...rest].join(".");
    const ours = derOid(dotted);
    assert.equal(readAll(hex(ours), (reader) => reader.oid()), dotted);
    const theirs = AsnConvert.serialize(new AlgorithmIdentifier({ algorithm: dotted }));
    assert.equal(hex(der(TAG.sequence, ours)), hex(new Uint8Array(theirs)));
  }));
});

Deno.test("times are those that the library writes, on both sides of 2050", () => {
  const range = { min: new Date("1950-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z") };
  fc.assert(fc.property(fc.date({ ...range, noInvalidDate: true }), (date) => {
    const whole = new Date(Math.floor(date.getTime() / 1000) * 1000);
    const ours = derTime(date);
    assert.deepEqual(readAll(hex(ours), (reader) => reader.time()), whole);
    assert.equal(hex(ours), hex(new Uint8Array(AsnConvert.serialize(new Time(whole)))));
  }));
  assert.throws(() => derTime(new Date("1949-12-31T00:00:00Z")), DerError);
});

Deno.test("an unsigned number is read back, whatever its highest bit", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (number) => {
    const back = readAll(hex(derUnsigned(number)), (reader) => reader.integer());
    assert.equal(BigInt(`0x${hex(back)}`), BigInt(`0x${hex(number)}`));
    assert.ok((back[0] ?? 0x80) < 0x80, "positive");
  }));
});

Deno.test("hexadecimal and PEM give back what they were given", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), (bytes) => {
    assert.deepEqual(unhex(hex(bytes)), bytes);
    assert.deepEqual(fromPem("TEST", toPem("TEST", bytes), 1000), bytes);
    assert.deepEqual(fromPem("TEST", toPem("TEST", bytes).replaceAll("\n", "\r\n"), 1000), bytes);
  }));
  assert.throws(() => unhex("abc"), DerError);
  assert.throws(() => unhex("zz"), DerError);
});

Deno.test("PEM is one block of the right label and nothing else", () => {
  const pem = toPem("TEST", Uint8Array.of(1, 2, 3, 4));
  const bad = [
    "",
    "A".repeat(200),
    pem + pem,
    `junk\n${pem}`,
    `${pem}junk`,
    pem.replaceAll("TEST", "OTHER"),
    pem.replace("END TEST", "END OTHER"),
    pem.replace("AQIDBA==", ""),
    pem.replace("AQIDBA==", "AQIDBA="),
    pem.replace("AQIDBA==", "AQIDBB=="),
    pem.replace("AQIDBA==", "AQIDBA==AQID"),
    pem.replace("AQIDBA==", "AQID*A=="),
  ];
  for (const text of bad) assert.throws(() => fromPem("TEST", text, 1000), DerError, text);
  assert.throws(() => fromPem("TEST", pem, pem.length - 1), /more than/);
});

Deno.test("any bytes are read or refused with the one error, and reading always ends", () => {
  fc.assert(
    fc.property(octets, (bytes) => {
      const visit = (reader: DerReader, depth: number): void => {
        while (!reader.done) {
          const { tag, content, raw } = reader.read();
          assert.deepEqual(der(tag, content), new Uint8Array(raw));
          if ((tag & 0x20) !== 0 && depth < 20) visit(new DerReader(content, "inner"), depth + 1);
        }
      };
      try {
        visit(new DerReader(bytes, "test"), 0);
      } catch (error) {
        assert.ok(error instanceof DerError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a BIT STRING and a common name have the form that RFC 5280 gives them", () => {
  assert.equal(hex(derBitString(Uint8Array.of(1, 2))), "0303000102");
  assert.equal(hex(derCommonName("a")), "300c310a300806035504030c0161");
});
