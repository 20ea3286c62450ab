/** Certificates of forms that no generator makes, each with one thing wrong. */
import assert from "node:assert/strict";
import { certificateUse, EXTENSION, parseCertificate } from "./certificate.ts";
import {
  concat,
  contextTag,
  der,
  derBitString,
  derCommonName,
  DerError,
  derOid,
  derTime,
  derUnsigned,
  TAG,
  unhex,
} from "./der.ts";
import { derExtension, keyUsage, onlyFor } from "./extensions.ts";
import { ECDSA_SHA256, RSA_SHA256, writeSigned } from "./signature.ts";

const DATE = derTime(new Date("2026-03-01T12:00:00Z"));
const SPKI = der(TAG.sequence, der(TAG.sequence), derBitString(Uint8Array.of(1)));
const TRUE = "0101ff";
const FALSE = "010100";

/** A certificate from its parts; each may be replaced, and is left out when it is empty. */
function certificate(parts: Partial<Parts> = {}): Uint8Array {
  const { algorithm, ...body } = { ...PARTS, ...parts };
  return writeSigned({
    body: der(TAG.sequence, ...Object.values(body)),
    algorithm,
    signature: Uint8Array.of(1),
  });
}

interface Parts {
  version: Uint8Array;
  serial: Uint8Array;
  innerAlgorithm: Uint8Array;
  issuer: Uint8Array;
  validity: Uint8Array;
  subject: Uint8Array;
  spki: Uint8Array;
  extensions: Uint8Array;
  algorithm: Uint8Array;
}

const PARTS: Parts = {
  version: der(contextTag(0, true), derUnsigned(Uint8Array.of(2))),
  serial: derUnsigned(Uint8Array.of(1)),
  innerAlgorithm: ECDSA_SHA256,
  issuer: derCommonName("issuer"),
  validity: der(TAG.sequence, DATE, DATE),
  subject: derCommonName("subject"),
  spki: SPKI,
  extensions: extensions(keyUsage("digitalSignature")),
  algorithm: ECDSA_SHA256,
};

function extensions(...list: Parameters<typeof derExtension>[0][]): Uint8Array {
  return wrapped(...list.map(derExtension));
}

function wrapped(...list: Uint8Array[]): Uint8Array {
  return der(contextTag(3, true), der(TAG.sequence, ...list));
}

/** An extension whose value is given in hexadecimal. */
function valued(oid: string, digits: string) {
  return { oid, critical: false, value: unhex(digits) };
}

Deno.test("a certificate made of good parts is read", () => {
  const read = parseCertificate(certificate());
  assert.equal(read.commonName, "subject");
  assert.equal(read.issuerCommonName, "issuer");
  assert.deepEqual([...certificateUse(read).keyUsage ?? []], [0]);
});

Deno.test("old versions, unique identifiers and unusual names are read, not believed", () => {
  const nothing = new Uint8Array(0);
  const v1 = parseCertificate(certificate({ version: nothing, extensions: nothing }));
  assert.equal(v1.extensions.size, 0);
  const two = der(contextTag(0, true), derUnsigned(Uint8Array.of(1)));
  const unique = concat([SPKI, der(contextTag(1, false)), der(contextTag(2, false))]);
  parseCertificate(certificate({ version: two, extensions: nothing, spki: unique }));
  const name = (...sets: Uint8Array[]) => der(TAG.sequence, ...sets);
  const attribute = (oid: string, tag: number) =>
    der(TAG.sequence, derOid(oid), der(tag, Uint8Array.of(0x78)));
  const unusual = [
    name(),
    name(der(TAG.set, attribute("2.5.4.10", TAG.utf8String))),
    name(der(TAG.set, attribute("2.5.4.3", TAG.octetString))),
    name(der(TAG.set, attribute("2.5.4.3", TAG.utf8String), attribute("2.5.4.3", TAG.utf8String))),
    name(...[1, 2].map(() => der(TAG.set, attribute("2.5.4.3", TAG.utf8String)))),
  ];
  for (const [index, subject] of unusual.entries()) {
    const { commonName } = parseCertificate(certificate({ subject }));
    assert.equal(commonName, undefined, String(index));
  }
  const printable = name(der(TAG.set, attribute("2.5.4.3", TAG.printableString)));
  assert.equal(parseCertificate(certificate({ subject: printable })).commonName, "x");
});

Deno.test("a certificate with one part wrong is refused", () => {
  const version = (number: number) => der(contextTag(0, true), derUnsigned(Uint8Array.of(number)));
  const usage = derExtension(keyUsage("digitalSignature"));
  const marked = (mark: string) =>
    der(TAG.sequence, derOid("1.2.3"), unhex(mark), der(TAG.octetString));
  const bad: Record<string, Uint8Array> = {
    "version 1 written out": certificate({ version: version(0), extensions: new Uint8Array(0) }),
    "version 4": certificate({ version: version(3), extensions: new Uint8Array(0) }),
    "two numbers as version": certificate({
      version: der(contextTag(0, true), unhex("020102"), unhex("020102")),
    }),
    "extensions in version 2": certificate({ version: version(1) }),
    "no extension in the list of extensions": certificate({ extensions: wrapped() }),
    "two lists of extensions": certificate({
      extensions: der(contextTag(3, true), der(TAG.sequence, usage), der(TAG.sequence, usage)),
    }),
    "an extension twice": certificate({ extensions: wrapped(usage, usage) }),
    "an explicit FALSE": certificate({ extensions: wrapped(marked(FALSE)) }),
    "a mark twice": certificate({ extensions: wrapped(marked(TRUE + TRUE)) }),
    "another algorithm inside": certificate({ innerAlgorithm: RSA_SHA256 }),
    "three dates": certificate({ validity: der(TAG.sequence, DATE, DATE, DATE) }),
    "one date": certificate({ validity: der(TAG.sequence, DATE) }),
    "something after the extensions": certificate({
      extensions: concat([PARTS.extensions, unhex("0500")]),
    }),
    "a name that is not UTF-8": certificate({
      subject: unhex("300c310a300806035504030c01ff"),
    }),
    "rubbish in a name": certificate({
      subject: unhex("300e310c300a06035504030c01780500"),
    }),
  };
  parseCertificate(certificate({ extensions: wrapped(marked(TRUE)) }));
  for (const [what, bytes] of Object.entries(bad)) {
    assert.throws(() => parseCertificate(bytes), DerError, what);
  }
});

Deno.test("an extension of another form than RFC 5280's is refused", () => {
  const bad: [string, string, string][] = [
    ["an explicit FALSE", EXTENSION.basicConstraints, "3003010100"],
    ["a negative path length", EXTENSION.basicConstraints, "30060101ff0201ff"],
    ["rubbish in constraints", EXTENSION.basicConstraints, "30080101ff0201000500"],
    ["rubbish after constraints", EXTENSION.basicConstraints, "30000500"],
    ["no bit", EXTENSION.keyUsage, "030100"],
    ["a zero octet", EXTENSION.keyUsage, "03020700"],
    ["unused bits unsaid", EXTENSION.keyUsage, "03020080"],
    ["unused bits set", EXTENSION.keyUsage, "030207c0"],
    ["trailing zero octet", EXTENSION.keyUsage, "0303078000"],
    ["eight unused bits", EXTENSION.keyUsage, "03020880"],
    ["a usage that is no OID", EXTENSION.extendedKeyUsage, "30020500"],
    ["a control character in a URI", EXTENSION.subjectAltName, "30038601" + "0a"],
    ["an identifier that is no string", EXTENSION.subjectKeyIdentifier, "020101"],
    ["an authority identifier that is no list", EXTENSION.authorityKeyIdentifier, "040101"],
  ];
  for (const [what, oid, digits] of bad) {
    const read = parseCertificate(certificate({ extensions: extensions(valued(oid, digits)) }));
    assert.throws(() => certificateUse(read), DerError, what);
  }
});

Deno.test("what our writer writes our reader reads", () => {
  const list = [keyUsage("keyCertSign", "cRLSign"), onlyFor("1.3.6.1.5.5.7.3.2")];
  const use = certificateUse(parseCertificate(certificate({ extensions: extensions(...list) })));
  assert.deepEqual([...use.keyUsage ?? []], [5, 6]);
  assert.deepEqual(use.extendedKeyUsage, ["1.3.6.1.5.5.7.3.2"]);
  assert.equal(use.basicConstraints, undefined);
  assert.equal(use.authorityKeyIdentifier, undefined);
  const nine = extensions(valued(EXTENSION.keyUsage, "0303070080"));
  assert.deepEqual([
    ...certificateUse(parseCertificate(certificate({ extensions: nine }))).keyUsage ?? [],
  ], [8]);
});
