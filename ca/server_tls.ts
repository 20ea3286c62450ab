/**
 * The mock server's own TLS: a certificate authority of its own, which is not that of devices and
 * never vouches for one, and a certificate for its listeners.
 */
import { join } from "node:path";
import { type Certificate, EXTENSION, isIssuedBy, parseCertificatePem } from "./certificate.ts";
import { DerError, fromPem, hex, sameBytes, toPem } from "./der.ts";
import { createFolder, exists, replaceFile } from "./folder.ts";
import {
  type Profile,
  serverAuthorityProfile,
  type ServerNames,
  serverProfile,
} from "./profiles.ts";
import { newAuthorityKey, publicKeyDer, readAuthorityKey, signCertificate } from "./sign.ts";
import { keyIdentifier } from "./signature.ts";

/** What TLS listeners and their clients need, PEM. */
export interface ServerTls {
  /** For clients: the authority's certificate, and the file that holds it. */
  caPem: string;
  caPath: string;
  /** For listeners: the certificate chain below the authority, and its key in PKCS#8. */
  certPem: string;
  keyPem: string;
}

interface ServerFile {
  keyPem: string;
  certPem: string;
  certificate: Certificate;
}

/** A certificate with less time than this left is replaced at the next start. */
const RENEW_BEFORE_MS = 30 * 86_400_000;

/**
 * Opens the server's TLS in `folder`: makes the authority at first start, and a certificate when
 * there is none for exactly these names or it has less than 30 days left. Keys are 0600. Throws
 * DerError when the authority's files are damaged: move the folder away and give clients the new
 * authority.
 */
export async function openServerTls(
  folder: string,
  { names, ips, now }: ServerNames & { now: Date },
): Promise<ServerTls> {
  const authority = join(folder, "ca");
  if (!await exists(authority)) await createServerAuthority(authority, now);
  const caPath = join(authority, "ca.pem");
  const caPem = await Deno.readTextFile(caPath);
  const ca = parseCertificatePem(caPem);
  const path = join(folder, "server.pem");
  const caKey = hex(await keyIdentifier(ca.spki));
  const profileFor = (subject: string) =>
    serverProfile({ names, ips }, { subject, issuer: caKey }, now);

  const known = await readServerFile(path);
  if (known && await serves(known.certificate, profileFor("00"))) {
    return { caPem, caPath, certPem: known.certPem, keyPem: known.keyPem };
  }

  const { keys, pem: keyPem } = await newAuthorityKey();
  const subject = hex(await keyIdentifier(await publicKeyDer(keys.publicKey)));
  const certificate = await signCertificate(profileFor(subject), keys.publicKey, {
    key: await readAuthorityKey(await Deno.readTextFile(join(authority, "ca.key"))),
    subject: ca.subject,
  });
  const certPem = toPem("CERTIFICATE", certificate);
  await replaceFile(path, keyPem + certPem, 0o600);
  return { caPem, caPath, certPem, keyPem };

  async function serves(certificate: Certificate, wanted: Profile): Promise<boolean> {
    const names = wanted.extensions.find(({ oid }) => oid === EXTENSION.subjectAltName);
    const present = certificate.extensions.get(EXTENSION.subjectAltName);
    return names !== undefined && present !== undefined &&
      sameBytes(names.value, present.value) &&
      certificate.notBefore <= now &&
      certificate.notAfter.getTime() - now.getTime() >= RENEW_BEFORE_MS &&
      await isIssuedBy(certificate, ca);
  }
}

async function createServerAuthority(folder: string, now: Date): Promise<void> {
  const { keys, pem } = await newAuthorityKey();
  const key = hex(await keyIdentifier(await publicKeyDer(keys.publicKey)));
  const certificate = await signCertificate(
    serverAuthorityProfile({ subject: key, issuer: key }, now),
    keys.publicKey,
    { key: keys.privateKey },
  );
  await createFolder(folder, [
    { name: "ca.key", text: pem, mode: 0o600 },
    { name: "ca.pem", text: toPem("CERTIFICATE", certificate), mode: 0o644 },
  ]);
}

/**
 * Key and certificate stand in one file, so that the two can only be replaced together. Undefined
 * when there is none, or none that can be read: then another is made.
 */
async function readServerFile(path: string): Promise<ServerFile | undefined> {
  if (!await exists(path)) return undefined;
  const text = await Deno.readTextFile(path);
  const split = text.indexOf("-----BEGIN CERTIFICATE-----");
  const [keyPem, certPem] = [text.slice(0, split), text.slice(split)];
  try {
    fromPem("PRIVATE KEY", keyPem, 4096);
    return { keyPem, certPem, certificate: parseCertificatePem(certPem) };
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}
