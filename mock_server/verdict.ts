/**
 * The portal's verdict: whether a request's device is managed, and if not, why (DESIGN section 5,
 * "Portal", and S14, S18). `readLeaf` looks at the certificate alone, `judge` is pure and decides
 * from facts that the caller has looked up for this very request; neither remembers anything.
 */
import { z } from "@hono/zod-openapi";
import {
  type Certificate,
  certificateUse,
  CLIENT_AUTH,
  isIssuedBy,
  KEY_USAGE,
  parseCertificate,
} from "../ca/certificate.ts";
import { DerError } from "../ca/der.ts";
import { parseLeafUri } from "../ca/names.ts";
import { sha256Hex } from "../ca/signature.ts";

/** Why a verdict is what it is; the first that applies, in this order. */
export const VerdictReason = z.enum([
  "distribution-off",
  "no-certificate",
  "untrusted",
  "not-yet-valid",
  "expired",
  "device-deleted",
  "user-not-managed",
  "revoked",
  "no-user",
  "user-mismatch",
  "ok",
]);
export type VerdictReason = z.infer<typeof VerdictReason>;

/** A leaf of ours: signed by one of our intermediates, of the leaf's profile. Dates not judged. */
export interface TrustedLeaf {
  /** SHA-256 of the DER, lower-case hexadecimal. */
  sha256: string;
  serial: string;
  deviceId: string;
  userId: string;
  notBefore: Date;
  notAfter: Date;
}

/** A certificate that is none of ours; its serial where it could be read. */
export interface ForeignCertificate {
  serial: string | null;
}

/** What the server knows about a presented certificate at the instant of the request. */
export interface VerdictFacts {
  /** Milliseconds since 1970. */
  now: number;
  /** Whether Global Certificate Distribution is ON. */
  distribution: boolean;
  certificate: "none" | { leaf: TrustedLeaf } | { foreign: ForeignCertificate };
  /** Whether the leaf's device is enrolled and not deleted. */
  deviceEnrolled: boolean;
  /** Whether the leaf's user is managed on the leaf's device. */
  userManaged: boolean;
  /** The register's entry for exactly this leaf; undefined when it has none. */
  record: LeafRecord | undefined;
  /** How long a superseded leaf stays good, seconds. */
  overlapSeconds: number;
  /** The signed-in user; null when that is nobody we know. */
  sessionUserId: string | null;
}

/** What the register says of a leaf; instants in milliseconds since 1970. */
export interface LeafRecord {
  supersededAt: number | null;
  revokedAt: number | null;
}

/** The verdict. `deviceId` and `userId` are the certificate's, null when none of ours was shown. */
export interface Verdict {
  managed: boolean;
  reason: VerdictReason;
  /** What is the case and what to do next, for the person in front of the browser. */
  message: string;
  deviceId: string | null;
  userId: string | null;
  serial: string | null;
}

/**
 * Reads a presented certificate and checks that one of `intermediates` that is within its own
 * dates has signed it as a leaf (RFC 5280, 6.1, for a chain whose upper part is ours). The TLS
 * layer's own opinion is not asked: on a resumed session it is not formed at all.
 *
 * @param bytes DER, from anybody: anything is answered, nothing thrown
 */
export async function readLeaf(
  bytes: Uint8Array,
  intermediates: readonly Certificate[],
  now: number,
): Promise<{ leaf: TrustedLeaf } | { foreign: ForeignCertificate }> {
  let certificate: Certificate;
  try {
    certificate = parseCertificate(bytes);
  } catch (error) {
    if (error instanceof DerError) return { foreign: { serial: null } };
    throw error;
  }
  const { serial, notBefore, notAfter } = certificate;
  const owner = readOwner(certificate);
  if (!owner || !await isIssuedByLive(certificate, intermediates, now)) {
    return { foreign: { serial } };
  }
  return { leaf: { ...owner, sha256: await sha256Hex(bytes), serial, notBefore, notAfter } };
}

/** The verdict that `facts` give. */
export function judge(facts: VerdictFacts): Verdict {
  const reason = firstReason(facts);
  const { certificate } = facts;
  const leaf = typeof certificate === "object" && "leaf" in certificate
    ? certificate.leaf
    : undefined;
  const foreign = typeof certificate === "object" && "foreign" in certificate
    ? certificate.foreign
    : undefined;
  return {
    managed: reason === "ok",
    reason,
    message: message(reason, facts, leaf),
    deviceId: leaf?.deviceId ?? null,
    userId: leaf?.userId ?? null,
    serial: leaf?.serial ?? foreign?.serial ?? null,
  };
}

/** Whose leaf it is; undefined when it has not the profile of a leaf. */
function readOwner(certificate: Certificate): { deviceId: string; userId: string } | undefined {
  try {
    const use = certificateUse(certificate);
    const [uri] = use.uris;
    if (use.basicConstraints?.ca || use.alternativeNames !== 1 || uri === undefined) return;
    if (!use.keyUsage?.has(KEY_USAGE.digitalSignature)) return;
    if (!use.extendedKeyUsage?.includes(CLIENT_AUTH)) return;
    return parseLeafUri(uri);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

async function isIssuedByLive(
  certificate: Certificate,
  intermediates: readonly Certificate[],
  now: number,
): Promise<boolean> {
  for (const intermediate of intermediates) {
    const live = intermediate.notBefore.getTime() <= now && now < intermediate.notAfter.getTime();
    if (live && await isIssuedBy(certificate, intermediate)) return true;
  }
  return false;
}

function firstReason(facts: VerdictFacts): VerdictReason {
  const { certificate, now } = facts;
  if (!facts.distribution) return "distribution-off";
  if (certificate === "none") return "no-certificate";
  if (!("leaf" in certificate)) return "untrusted";
  if (now < certificate.leaf.notBefore.getTime()) return "not-yet-valid";
  if (now >= certificate.leaf.notAfter.getTime()) return "expired";
  if (!facts.deviceEnrolled) return "device-deleted";
  if (!facts.userManaged) return "user-not-managed";
  if (isRevoked(facts)) return "revoked";
  if (facts.sessionUserId === null) return "no-user";
  if (facts.sessionUserId !== certificate.leaf.userId) return "user-mismatch";
  return "ok";
}

/** A leaf that the register does not know cannot be shown to be good, so it is not. */
function isRevoked({ record, overlapSeconds, now }: VerdictFacts): boolean {
  if (!record || record.revokedAt !== null) return true;
  return record.supersededAt !== null && record.supersededAt + overlapSeconds * 1000 <= now;
}

function message(reason: VerdictReason, facts: VerdictFacts, leaf?: TrustedLeaf): string {
  switch (reason) {
    case "distribution-off":
      return "Device certificates are turned off for the whole organization, so every device " +
        "counts as unmanaged. Nothing is wrong with this computer; an administrator can turn " +
        "Global Certificate Distribution on in the settings of Conditional Policies.";
    case "no-certificate":
      return "Your browser presented no device certificate. If it asked you to choose one, open " +
        "this page again and choose the Device Trust Certificate; otherwise run " +
        "'device-trust doctor' on this computer, which finds the missing link.";
    case "untrusted":
      return "The certificate that your browser presented does not come from this " +
        "organization's device authority. Open this page again and, if you are asked, choose " +
        "the Device Trust Certificate; otherwise run 'device-trust doctor' on this computer.";
    case "not-yet-valid":
      return `This device's certificate is valid from ${time(leaf?.notBefore)} on, and the ` +
        `server's clock says ${time(new Date(facts.now))}. Ask your administrator to check the ` +
        "server's clock.";
    case "expired":
      return `This device's certificate ended at ${time(leaf?.notAfter)}. The agent replaces it ` +
        "as soon as it can reach its server; 'device-trust status' on this computer says what " +
        "keeps it from doing so.";
    case "device-deleted":
      return "This device was removed from the organization. If it is still in use, ask your " +
        "administrator for a connect key and enroll it again with 'device-trust enroll'.";
    case "user-not-managed":
      return "The user of this certificate is not managed on this device any more. Ask your " +
        "administrator to assign your account to this device again.";
    case "revoked":
      return "This device's certificate was revoked. The agent installs a new one when you are " +
        "entitled to it: run 'device-trust renew' on this computer, or ask your administrator.";
    case "no-user":
      return "Nobody whom this organization knows is signed in. Sign in with the e-mail address " +
        "that your administrator has registered.";
    case "user-mismatch":
      return "This device's certificate belongs to another user than the one who is signed in. " +
        "Sign in as the user of this computer account, or use your own account on it.";
    case "ok":
      return "This device is managed. There is nothing to do.";
  }
}

/** As people read it, in UTC to the second. */
function time(date: Date | undefined): string {
  return date ? `${date.toISOString().slice(0, 19).replace("T", " ")} UTC` : "an unknown time";
}
