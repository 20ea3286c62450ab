/**
 * What a root, an intermediate and a leaf must each be (RFC 5280, sections 4 and 6.1; DESIGN
 * invariant 9), one by one. Pure. Who is expected, and what was pinned, is agent/verify.ts.
 */
import {
  type Certificate,
  type CertificateUse,
  certificateUse,
  CLIENT_AUTH,
  EXTENSION,
  isIssuedBy,
  KEY_USAGE,
  parseCertificatePem,
} from "../ca/certificate.ts";
import { DerError, sameBytes } from "../ca/der.ts";

/** What is wrong with one certificate: half a sentence, which agent/verify.ts completes. */
export class Rejection extends Error {}

/** A certificate's place in the chain. */
export type Role = "root" | "intermediate" | "leaf";

/** Reads a certificate that came as PEM. Throws {@link Rejection}. */
export function read(pem: string, role: Role): Certificate {
  return readable(role, () => parseCertificatePem(pem));
}

/** What `parse` gives; a DerError becomes a {@link Rejection}. */
export function readable<T>(role: Role, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new Rejection(`its ${role} cannot be read (${cause.message})`, { cause });
  }
}

/** What an authority's certificate needs, whoever issued it. Throws {@link Rejection}. */
export function checkAuthority(role: Role, certificate: Certificate, now: Date): CertificateUse {
  const use = checkForm(role, certificate, now);
  const critical = certificate.extensions.get(EXTENSION.basicConstraints)?.critical;
  if (!use.basicConstraints?.ca || !critical) {
    throw new Rejection(`its ${role} is not marked as an authority (basicConstraints)`);
  }
  if (!use.keyUsage?.has(KEY_USAGE.keyCertSign)) {
    throw new Rejection(`its ${role} may not sign certificates (keyUsage)`);
  }
  return use;
}

/** What a leaf needs to speak as a TLS client and nothing else. Throws {@link Rejection}. */
export async function checkLeafUse(
  leaf: Certificate,
  intermediate: Certificate,
  now: Date,
): Promise<void> {
  const use = checkForm("leaf", leaf, now);
  await checkIssuer("leaf", leaf, intermediate, certificateUse(intermediate));
  if (use.basicConstraints?.ca || use.basicConstraints?.pathLength !== undefined) {
    throw new Rejection("its leaf is an authority (basicConstraints)");
  }
  if (!use.keyUsage?.has(KEY_USAGE.digitalSignature)) {
    throw new Rejection("its leaf may not sign (keyUsage lacks digitalSignature)");
  }
  if (use.keyUsage.has(KEY_USAGE.keyCertSign) || use.keyUsage.has(KEY_USAGE.cRLSign)) {
    throw new Rejection("its leaf may sign certificates or revocation lists (keyUsage)");
  }
  checkClientOnly("leaf", use);
}

/** Dates, serial number and critical extensions: the same for every certificate. */
function checkForm(role: Role, certificate: Certificate, now: Date): CertificateUse {
  const positive = /^[0-7]/.test(certificate.serial) && !/^0+$/.test(certificate.serial);
  if (!positive || certificate.serial.length > 40) {
    throw new Rejection(`its ${role} has a serial number that is not positive or over 20 octets`);
  }
  // Put so that an invalid `now` is in no certificate's life.
  if (!(now >= certificate.notBefore)) {
    throw new Rejection(
      `its ${role} begins at ${certificate.notBefore.toISOString()}, which is after ` +
        `${now.toISOString()} (server time)`,
    );
  }
  if (!(now <= certificate.notAfter)) {
    throw new Rejection(
      `its ${role} ended at ${certificate.notAfter.toISOString()}, which is before ` +
        `${now.toISOString()} (server time)`,
    );
  }
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !UNDERSTOOD.has(oid)) {
      throw new Rejection(`its ${role} has a critical extension that is unknown here (${oid})`);
    }
  }
  return readable(role, () => certificateUse(certificate));
}

/** Names, key identifiers and signature: one certificate issued the other. */
export async function checkIssuer(
  role: Role,
  certificate: Certificate,
  issuer: Certificate,
  issuerUse: CertificateUse,
): Promise<void> {
  const whom = role === "leaf" ? "intermediate" : "root";
  if (!sameBytes(certificate.issuer, issuer.subject)) {
    throw new Rejection(`its ${role} names another issuer than the ${whom}`);
  }
  const { authorityKeyIdentifier } = certificateUse(certificate);
  // A self-signed certificate may leave it out (RFC 5280, 4.2.1.1).
  const needed = role !== "root" || authorityKeyIdentifier !== undefined;
  if (
    issuerUse.subjectKeyIdentifier === undefined ||
    (needed && authorityKeyIdentifier !== issuerUse.subjectKeyIdentifier)
  ) {
    throw new Rejection(`its ${role} does not point to the key of the ${whom} (key identifiers)`);
  }
  if (!await isIssuedBy(certificate, issuer)) {
    throw new Rejection(`its ${role} was not signed by the key of the ${whom}`);
  }
}

/** Good for TLS clients, and explicitly for nothing else. */
export function checkClientOnly(role: Role, use: CertificateUse): void {
  const usages = use.extendedKeyUsage;
  if (usages?.length !== 1 || usages[0] !== CLIENT_AUTH) {
    throw new Rejection(`its ${role} is not for TLS clients alone (extendedKeyUsage)`);
  }
}

/** Extensions that were judged above, so that they may be critical. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION.basicConstraints,
  EXTENSION.keyUsage,
  EXTENSION.extendedKeyUsage,
  EXTENSION.subjectAltName,
  EXTENSION.subjectKeyIdentifier,
  EXTENSION.authorityKeyIdentifier,
]);
