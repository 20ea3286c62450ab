/**
 * Whether to believe a bundle: it is for our key, device and user, its chain ends in the pinned
 * root, and every certificate of it may be what it is used as, now. Pure: the same bytes and the
 * same instant give the same answer. Nothing of it is left to a library or to the store.
 */
import {
  type Certificate,
  certificateUse,
  isIssuedBy,
  MAX_CERTIFICATE_BYTES,
  parseCertificate,
} from "../ca/certificate.ts";
import { DerError, fromPem, sameBytes } from "../ca/der.ts";
import { INTERMEDIATE_NAME, isLeafName, leafUri, rootName } from "../ca/names.ts";
import { sha256Hex } from "../ca/signature.ts";
import { Problem } from "../platform/errors.ts";
import {
  checkAuthority,
  checkClientOnly,
  checkIssuer,
  checkLeafUse,
  read,
  readable,
  Rejection,
} from "./certificate_rules.ts";

export { type CertificateDescription, describeCertificate } from "../ca/certificate.ts";
export { sha256Hex } from "../ca/signature.ts";

/** Root and intermediate, PEM. */
export interface Anchors {
  root: string;
  intermediate: string;
}

/** A bundle as the server sends it, PEM; what it announces of the leaf must be true of it. */
export interface OfferedBundle extends Anchors {
  leaf: string;
  /** Lower-case hexadecimal. */
  serial?: string;
  /** RFC 3339. */
  notAfter?: string;
}

/** What a bundle has to be. */
export interface ExpectedBundle {
  /** Our public key, DER SubjectPublicKeyInfo. */
  spki: Uint8Array;
  deviceId: string;
  userId: string;
  brand: string;
  pinned: Anchors;
  /** Pinned before: a key that was asked for then still gets the leaf of then. */
  former?: readonly Anchors[];
  /** Server time. */
  now: Date;
}

/** A certificate that passed. */
export interface VerifiedCertificate {
  der: Uint8Array;
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
}

/** A bundle that passed. */
export interface VerifiedBundle {
  leaf: VerifiedCertificate & {
    serial: string;
    commonName: string;
    notBefore: Date;
    notAfter: Date;
    spkiSha256: string;
  };
  intermediate: VerifiedCertificate;
  root: VerifiedCertificate;
}

/**
 * Proves a bundle (DESIGN sections 4 and 5; RFC 5280, section 6.1, for a chain of exactly root,
 * intermediate and leaf). The anchors have to be pinned ones to the byte.
 *
 * @throws Problem `bundle-rejected`, whose message names the one thing that is wrong first
 */
export async function verifyBundle(
  offered: OfferedBundle,
  expected: ExpectedBundle,
): Promise<VerifiedBundle> {
  return await rejecting("certificate bundle was", async () => {
    const earlier = expected.former?.find(({ root, intermediate }) =>
      root === offered.root && intermediate === offered.intermediate
    );
    const chain = await provenAnchors(earlier ?? expected.pinned, expected.now);
    for (const role of ["root", "intermediate"] as const) {
      if (!sameBytes(read(offered[role], role).der, chain[role].der)) {
        throw new Rejection(`its ${role} is not the ${role} that was pinned at enrolment`);
      }
    }
    if (chain.root.commonName !== rootName(expected.brand)) {
      throw new Rejection(
        `the pinned root is '${chain.root.commonName}', which is not of brand '${expected.brand}'`,
      );
    }
    const leaf = read(offered.leaf, "leaf");
    const commonName = checkOwner(leaf, expected);
    await checkLeafUse(leaf, chain.intermediate, expected.now);
    checkAnnounced(leaf, offered);
    return {
      leaf: {
        ...await fingerprint(leaf),
        serial: leaf.serial,
        commonName,
        notBefore: leaf.notBefore,
        notAfter: leaf.notAfter,
        spkiSha256: await sha256Hex(leaf.spki),
      },
      intermediate: await fingerprint(chain.intermediate),
      root: await fingerprint(chain.root),
    };
  });
}

/**
 * Proves trust anchors before they are pinned: a self-signed root, and an intermediate that it
 * signed and that can issue nothing but TLS clients, one level down (DESIGN invariant 9).
 *
 * @param now server time
 * @throws Problem `bundle-rejected`
 */
export async function verifyAnchors(anchors: Anchors, now: Date): Promise<void> {
  await rejecting("trust anchors were", () => provenAnchors(anchors, now));
}

/**
 * Whether the intermediate's key signed this certificate: what makes a leaf ours (DESIGN invariant
 * 2). False for anything that cannot be read. Dates and usages do not matter: an expired leaf of
 * ours is ours. Throws DerError when `intermediateDer` cannot be read.
 */
export async function issuedByAnchor(
  certificateBytes: Uint8Array,
  intermediateDer: Uint8Array,
): Promise<boolean> {
  const intermediate = parseCertificate(intermediateDer);
  let certificate: Certificate;
  try {
    certificate = parseCertificate(certificateBytes);
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
  return await isIssuedBy(certificate, intermediate);
}

/** DER of a PEM text that holds one certificate. Throws DerError. */
export function certificateDer(pem: string): Uint8Array<ArrayBuffer> {
  return fromPem("CERTIFICATE", pem, MAX_CERTIFICATE_BYTES * 3 / 2);
}

async function rejecting<T>(subject: string, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (cause) {
    if (!(cause instanceof Rejection)) throw cause;
    throw new Problem(
      "bundle-rejected",
      `The agent server's ${subject} refused: ${cause.message}. Nothing was changed, and it ` +
        "will be asked for again; if this stays, the agent server (or something between) is at fault.",
      { cause: cause.cause },
    );
  }
}

async function provenAnchors(
  anchors: Anchors,
  now: Date,
): Promise<{ root: Certificate; intermediate: Certificate }> {
  const root = read(anchors.root, "root");
  const intermediate = read(anchors.intermediate, "intermediate");
  const rootUse = checkAuthority("root", root, now);
  const intermediateUse = checkAuthority("intermediate", intermediate, now);
  await checkIssuer("root", root, root, rootUse);
  await checkIssuer("intermediate", intermediate, root, rootUse);
  if (intermediate.commonName !== INTERMEDIATE_NAME) {
    throw new Rejection(`its intermediate is not named '${INTERMEDIATE_NAME}'`);
  }
  if (rootUse.basicConstraints?.pathLength === 0) {
    throw new Rejection("its root allows no intermediate (path length 0)");
  }
  if (intermediateUse.basicConstraints?.pathLength !== 0) {
    throw new Rejection("its intermediate could make further authorities (path length is not 0)");
  }
  checkClientOnly("intermediate", intermediateUse);
  return { root, intermediate };
}

/** Whose the leaf is: our key, our names. Gives the common name. */
function checkOwner(leaf: Certificate, expected: ExpectedBundle): string {
  if (!sameBytes(leaf.spki, expected.spki)) throw new Rejection("its leaf is for another key");
  if (leaf.commonName === undefined || !isLeafName(expected.brand, leaf.commonName)) {
    throw new Rejection(
      `its leaf has a common name that is no leaf name of brand '${expected.brand}'`,
    );
  }
  const { uris, alternativeNames } = readable("leaf", () => certificateUse(leaf));
  if (uris[0] !== leafUri(expected.deviceId, expected.userId)) {
    throw new Rejection("its leaf names another device or user than this one (subjectAltName)");
  }
  if (alternativeNames !== 1) {
    throw new Rejection("its leaf bears names beside device and user (subjectAltName)");
  }
  return leaf.commonName;
}

/** What the server announced of the leaf beside sending it. */
function checkAnnounced(leaf: Certificate, { serial, notAfter }: OfferedBundle): void {
  if (serial !== undefined && leaf.serial !== serial) {
    throw new Rejection(`its leaf has serial ${leaf.serial}, not ${serial} as announced`);
  }
  // A certificate has whole seconds, the announcement may have more.
  const seconds = (instant: number) => Math.floor(instant / 1000);
  if (
    notAfter !== undefined && seconds(leaf.notAfter.getTime()) !== seconds(Date.parse(notAfter))
  ) {
    throw new Rejection(
      `its leaf ends at ${leaf.notAfter.toISOString()}, not at ${notAfter} as announced`,
    );
  }
}

async function fingerprint(certificate: Certificate): Promise<VerifiedCertificate> {
  return { der: certificate.der, sha256: await sha256Hex(certificate.der) };
}
