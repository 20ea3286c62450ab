/** The same as throwaway_ca.ts where there is no openssl: certificates written by a library. */
import "reflect-metadata";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  Extension,
  Extensions,
  id_ce_basicConstraints,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { ThrowawayCa } from "./throwaway_ca.ts";

/** Makes one; `folder` is not written to. */
export function makeLibraryCa(folder: string): ThrowawayCa {
  const { publicKey, privateKey } = newKeys();
  const subject = "/CN=Throw-away Root";
  return {
    folder,
    root: issue({
      subject,
      issuer: subject,
      spki: spkiOf(publicKey),
      signer: privateKey,
      ca: true,
    }),
    selfSigned(subject) {
      const own = newKeys();
      const spki = spkiOf(own.publicKey);
      return issue({ subject, issuer: subject, spki, signer: own.privateKey, ca: true });
    },
    issue: (spki, { subject: of, serial, days }) =>
      issue({
        subject: of,
        issuer: subject,
        spki,
        signer: privateKey,
        ca: false,
        ...(serial === undefined ? {} : { serial }),
        ...(days === undefined ? {} : { days }),
      }),
  };
}

interface Recipe {
  subject: string;
  issuer: string;
  spki: Uint8Array;
  signer: KeyObject;
  ca: boolean;
  serial?: string;
  days?: number;
}

function issue({ subject, issuer, spki, signer, ca, serial, days = 30 }: Recipe) {
  const now = Date.now();
  const ecdsaWithSha256 = () => new AlgorithmIdentifier({ algorithm: "1.2.840.10045.4.3.2" });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serial === undefined ? randomSerial() : Uint8Array.fromHex(serial).buffer,
    signature: ecdsaWithSha256(),
    issuer: nameOf(issuer),
    validity: new Validity({
      notBefore: new Date(now - 60_000),
      notAfter: new Date(now + days * 86_400_000),
    }),
    subject: nameOf(subject),
    subjectPublicKeyInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
    extensions: new Extensions([
      new Extension({
        extnID: id_ce_basicConstraints,
        critical: true,
        extnValue: new OctetString(AsnConvert.serialize(new BasicConstraints({ cA: ca }))),
      }),
    ]),
  });
  const signed = sign("sha256", new Uint8Array(AsnConvert.serialize(tbsCertificate)), signer);
  return new Uint8Array(AsnConvert.serialize(
    new Certificate({
      tbsCertificate,
      signatureAlgorithm: ecdsaWithSha256(),
      signatureValue: new Uint8Array(signed).buffer,
    }),
  ));
}

const ATTRIBUTES: Readonly<Record<string, string>> = { CN: "2.5.4.3", O: "2.5.4.10" };

/** A name from openssl's form of it, `/O=.../CN=...`. */
function nameOf(subject: string): Name {
  return new Name(
    subject.split("/").slice(1).map((part) => {
      const [attribute = "", utf8String = ""] = part.split("=");
      const type = ATTRIBUTES[attribute];
      if (type === undefined) throw new Error(`No attribute of a name is called '${attribute}'.`);
      const value = new AttributeValue({ utf8String });
      return new RelativeDistinguishedName([new AttributeTypeAndValue({ type, value })]);
    }),
  );
}

function newKeys() {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function randomSerial(): ArrayBuffer {
  const random = crypto.getRandomValues(new Uint8Array(16));
  random[0] = (random[0] ?? 0) & 0x7f | 0x40;
  return random.buffer;
}
