/** How a certificate request is answered: with which leaf, or why with none. */
import type { CertificateAnswer } from "../agent/contract.ts";
import { type Authority, type Generation, generationOf } from "../ca/authority.ts";
import { checkCsr, CsrError } from "../ca/csr.ts";
import { type IssuedLeaf, issueLeaf } from "../ca/issue.ts";
import { leafName } from "../ca/names.ts";
import { sha256Hex } from "../ca/signature.ts";
import type { Certificate, IssuedCertificate } from "./certificates.ts";
import { instant, recordEvent, type ServerContext } from "./context.ts";
import { renewalWindow } from "./desired_state.ts";
import { settleLeaves } from "./fleet_changes.ts";
import { revocationListUrl } from "./revocation_list.ts";
import { RequestProblem, tooMany } from "./problems.ts";

/** A request for a leaf, its signatures verified. */
export interface LeafApplication {
  deviceId: string;
  userId: string;
  /** PKCS#10, PEM. */
  csr: string;
  /** The leaf that signed too, whosever it is; `"foreign"` for one that is not of this server. */
  signedBy: Certificate | "foreign" | undefined;
}

/** Re-issues that a user has on a device in an hour. */
const REISSUES_PER_HOUR = 3;
const HOUR_MS = 3_600_000;

/** The share of what is left of a leaf's life, once it may be renewed, that its window takes. */
const WINDOW_SHARE = 1 / 8;

const EVENT = {
  first: "certificate.issued",
  renewal: "certificate.renewed",
  reissue: "certificate.reissued",
} as const;

/**
 * Issues a leaf, or finds the live one that this key already has (`fresh` is false then). Throws
 * `not-found`, `distribution-off`, `csr-refused`, `leaf-not-current` and `too-many-requests`.
 */
export async function obtainLeaf(
  context: ServerContext,
  application: LeafApplication,
): Promise<{ certificate: IssuedCertificate; fresh: boolean }> {
  requireManaged(context, application);
  const { spki } = await acceptedCsr(application.csr);
  const spkiSha256 = await sha256Hex(spki);
  const before = decide(context, application, spkiSha256);
  if (typeof before !== "string") return { certificate: before, fresh: false };
  const { authority } = context;
  const leaf = await issueLeaf(authority, {
    spki,
    deviceId: application.deviceId,
    userId: application.userId,
    nameSuffix: freeSuffix(context),
    crlUrl: revocationListUrl(context, authority),
    now: context.now(),
    ttlSeconds: context.leafTtlSeconds,
  });
  // Signing let others in: distribution may be OFF by now, or this key may have its leaf.
  const outcome = context.store.transaction(() => {
    const kind = decide(context, application, spkiSha256);
    if (typeof kind !== "string") return { certificate: kind, fresh: false };
    const issued = { ...leaf, issuerKeyIdentifier: authority.intermediate.keyIdentifier };
    return { certificate: register(context, application, issued, spkiSha256, kind), fresh: true };
  });
  if (outcome.fresh) context.changes.wake(application.deviceId);
  return outcome;
}

/** A leaf as the device is given it. */
export function certificateAnswer(
  context: ServerContext,
  certificate: IssuedCertificate,
): CertificateAnswer {
  const { root, intermediate } = issuerOf(context.authority, certificate);
  return {
    serial: certificate.serial,
    leaf: certificate.pem,
    intermediate: intermediate.pem,
    root: root.pem,
    notAfter: instant(certificate.notAfter),
    renewal: renewalWindow(certificate),
    overlapSeconds: context.store.settings.current.overlapSeconds,
  };
}

/** The generation that issued a leaf, which is not the newest for a request of earlier. */
function issuerOf(authority: Authority, certificate: IssuedCertificate): Generation {
  const { issuerKeyIdentifier } = certificate;
  const issuer = issuerKeyIdentifier === null
    ? authority.elders.at(-1)
    : generationOf(authority, issuerKeyIdentifier);
  return issuer ?? authority;
}

function requireManaged({ store }: ServerContext, application: LeafApplication): void {
  const { deviceId, userId } = application;
  const binding = store.bindings.get(deviceId, userId);
  if (!binding || binding.removedAt !== null) {
    throw new RequestProblem("not-found", `User ${userId} is not managed on this device`);
  }
  if (!store.settings.current.globalCertificateDistribution) {
    throw new RequestProblem("distribution-off", "No certificate is issued until it is ON");
  }
}

async function acceptedCsr(csr: string) {
  try {
    return await checkCsr(csr);
  } catch (cause) {
    if (!(cause instanceof CsrError)) throw cause;
    throw new RequestProblem("csr-refused", cause.message, {}, { cause });
  }
}

/** The live leaf that this key has, or what issuing one would be; throws when it may not be. */
function decide(
  context: ServerContext,
  application: LeafApplication,
  spkiSha256: string,
): Certificate | Certificate["kind"] {
  settleLeaves(context);
  requireManaged(context, application);
  const { certificates } = context.store;
  const { deviceId, userId, signedBy } = application;
  const now = context.now().getTime();
  const live = certificates.live(deviceId, userId, now);
  const same = live.find((leaf) => leaf.spkiSha256 === spkiSha256);
  if (same) return same;
  requireUsableKey(certificates.byKey(spkiSha256), deviceId, userId);
  if (signedBy === undefined) {
    if (live.length === 0) return "first";
    requireReissueLeft(certificates.reissues(deviceId, userId, now - HOUR_MS), now);
    return "reissue";
  }
  if (signedBy === "foreign" || !live.some(({ serial }) => serial === signedBy.serial)) {
    throw new RequestProblem(
      "leaf-not-current",
      "Sign with a live leaf of this user on this device, or without one for a re-issue",
    );
  }
  return "renewal";
}

function requireUsableKey(known: Certificate[], deviceId: string, userId: string): void {
  if (known.some((leaf) => leaf.deviceId !== deviceId || leaf.userId !== userId)) {
    throw new RequestProblem("csr-refused", "This key belongs to another user; make a new one");
  }
  if (known.some(({ reason }) => reason === "keyCompromise")) {
    throw new RequestProblem("csr-refused", "This key was compromised; make a new one");
  }
}

function requireReissueLeft(reissues: number[], now: number): void {
  const oldestThatCounts = reissues.at(-REISSUES_PER_HOUR);
  if (oldestThatCounts === undefined) return;
  throw tooMany(
    `A user has ${REISSUES_PER_HOUR} re-issues an hour on a device; renew with the current leaf`,
    (oldestThatCounts + HOUR_MS - now) / 1000,
  );
}

function freeSuffix({ authority, random, store }: ServerContext): string {
  for (;;) {
    const suffix = random(4).toHex();
    if (!store.certificates.hasName(leafName(authority.brand, suffix))) return suffix;
  }
}

function register(
  context: ServerContext,
  { deviceId, userId }: LeafApplication,
  leaf: IssuedLeaf & Pick<IssuedCertificate, "issuerKeyIdentifier">,
  spkiSha256: string,
  kind: Certificate["kind"],
): IssuedCertificate {
  const { certificates } = context.store;
  const now = context.now().getTime();
  const live = certificates.live(deviceId, userId, now);
  // At a re-issue the keys are lost; at a renewal the newest elder stays for the overlap.
  const revoked = (kind === "reissue" ? live : live.slice(1)).map(({ serial }) => serial);
  for (const serial of revoked) certificates.revoke(serial, "superseded", now);
  const notAfter = leaf.notAfter.getTime();
  const renewalStart = Math.min(now + context.renewAfterSeconds * 1000, notAfter - 1000);
  const certificate: IssuedCertificate = {
    serial: leaf.serial,
    sha256: leaf.sha256,
    commonName: leaf.commonName,
    deviceId,
    userId,
    spkiSha256,
    pem: leaf.pem,
    issuerKeyIdentifier: leaf.issuerKeyIdentifier,
    kind,
    issuedAt: now,
    notBefore: leaf.notBefore.getTime(),
    notAfter,
    renewalStart,
    renewalEnd: renewalStart + Math.ceil((notAfter - renewalStart) * WINDOW_SHARE),
  };
  certificates.add(certificate);
  const { serial, commonName } = leaf;
  recordEvent(context, EVENT[kind], { deviceId, userId }, { serial, commonName, revoked });
  return certificate;
}
