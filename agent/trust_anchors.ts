/**
 * How the pinned trust anchors are followed to their successors (DESIGN invariant 9): a new
 * intermediate under the pinned root, or a new root that the pinned one has cross-signed.
 */
import { certificateUse, parseCertificatePem } from "../ca/certificate.ts";
import { DerError, sameBytes } from "../ca/der.ts";
import { Problem } from "../platform/errors.ts";
import { checkAuthority, checkIssuer, Rejection } from "./certificate_rules.ts";
import type { TrustAnchors } from "./contract.ts";
import { type Anchors, certificateDer, verifyAnchors } from "./verify.ts";

/** The anchors that a device pins, and those that it pinned before, newest first. PEM. */
export interface PinnedAnchors extends Anchors {
  former: Anchors[];
}

/** Generations that are remembered: leaves of older ones have long expired. */
const MOST_FORMER = 8;

/**
 * What to pin when the agent server names `offered`: `pinned` itself while that is the same, else
 * the successor, proved.
 *
 * @param now server time
 * @throws Problem `bundle-rejected` when it is no successor of what is pinned
 */
export async function followAnchors(
  pinned: PinnedAnchors,
  offered: TrustAnchors,
  now: Date,
): Promise<PinnedAnchors> {
  const { root, intermediate } = offered;
  const sameRoot = isSame(root, pinned.root);
  if (sameRoot && isSame(intermediate, pinned.intermediate)) return pinned;
  if (!sameRoot && !await isCrossSigned(offered, pinned.root, now)) {
    throw new Problem(
      "bundle-rejected",
      "The desired state was refused and nothing changed: its trust anchors are not the ones that " +
        "were pinned at enrolment, nor a successor that the pinned root has signed. If the agent " +
        "server was set up anew, run 'device-trust unenroll' and enrol this device again.",
    );
  }
  await verifyAnchors({ root, intermediate }, now).catch((cause) => {
    if (!(cause instanceof Problem)) throw cause;
    const words = `The desired state was refused and nothing changed. ${cause.message}`;
    throw new Problem(cause.code, words, { cause });
  });
  const before = { root: pinned.root, intermediate: pinned.intermediate };
  return { root, intermediate, former: [before, ...pinned.former].slice(0, MOST_FORMER) };
}

/** Whether two PEM texts, however they are broken into lines, are one certificate. */
function isSame(one: string, other: string): boolean {
  try {
    return one === other || sameBytes(certificateDer(one), certificateDer(other));
  } catch (error) {
    if (error instanceof DerError) return false;
    throw error;
  }
}

/** Whether one of the certificates sent along is the new root's, by the key of the pinned root. */
async function isCrossSigned(
  { root, crossSigned = "" }: TrustAnchors,
  pinnedRoot: string,
  now: Date,
): Promise<boolean> {
  const sent = crossSigned.match(PEM_BLOCKS) ?? [];
  for (const pem of sent.slice(0, MOST_FORMER)) {
    if (await certifies(pem, root, pinnedRoot, now)) return true;
  }
  return false;
}

const PEM_BLOCKS = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

async function certifies(pem: string, root: string, by: string, now: Date): Promise<boolean> {
  try {
    const [certificate, successor, issuer] = [
      parseCertificatePem(pem),
      parseCertificatePem(root),
      parseCertificatePem(by),
    ];
    // It is no self-signed certificate, so it is held to what an intermediate is held to.
    const use = checkAuthority("intermediate", certificate, now);
    await checkIssuer("intermediate", certificate, issuer, certificateUse(issuer));
    return sameBytes(certificate.subject, successor.subject) &&
      sameBytes(certificate.spki, successor.spki) && use.basicConstraints?.pathLength !== 0;
  } catch (error) {
    if (error instanceof Rejection || error instanceof DerError) return false;
    throw error;
  }
}
