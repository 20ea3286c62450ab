/**
 * What agent and user-agent say to each other over the user's own channel (DESIGN section 6). The
 * same program speaks at both ends, but perhaps of two versions, and one end may be anybody who
 * runs as that user: so both sides parse.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { PROBLEM_CODES } from "../platform/errors.ts";
import {
  CertificateRequest,
  FilterReport,
  Instant,
  LeafKeyAlgorithm,
  LIMITS,
  LiveLeaf,
  Pem,
  RemovedItem,
  RenewalWindow,
  Serial,
  TrustAnchors,
  Uuid,
} from "./contract.ts";
import { oneLine } from "./text_lines.ts";

/** A code that this version does not know (the other end may be newer) counts as `internal`. */
const PROBLEM_CODE = z.enum(PROBLEM_CODES).catch("internal");

/** Bounds of the channel: requests in flight and requests a minute, for one user. */
export const CHANNEL_LIMITS = { inFlight: 1, perMinute: 30, bodyBytes: 64 * 1024 } as const;

const Anchors = TrustAnchors.pick({ root: true, intermediate: true });

/** One user's slice of the desired state, and what the user-agent needs to act on it. */
export const UserSlice = z.object({
  deviceId: Uuid,
  userId: Uuid,
  publicUrl: z.string(),
  brand: z.string(),
  /** Whether the user is to hold a leaf; false is OFF, unmanaged, deleted or unenrolled. */
  wanted: z.boolean(),
  /** Whether nothing of us is to stay, not even the ledger. */
  final: z.boolean(),
  keyAlgorithm: LeafKeyAlgorithm,
  overlapSeconds: z.number(),
  /** The pinned ones. */
  trustAnchors: Anchors,
  /** Pinned before these, newest first: what their keys signed is ours too. */
  formerAnchors: z.array(Anchors).max(16).optional(),
  renewal: RenewalWindow.optional(),
  /** An administrator wants the current leaf renewed now, whatever its window. */
  renewNow: z.boolean().optional(),
  leaves: z.array(LiveLeaf),
  /** Server time minus local time in milliseconds, and whether it was told since boot. */
  clock: z.object({ offset: z.number(), known: z.boolean() }),
  /** When the newest selection filter was written, local milliseconds; absent without one. */
  filterWrittenAt: z.number().optional(),
  /** What the user's own browsers are to be told, where that is the user-agent's work (macOS). */
  selection: z.object({ patterns: z.array(z.string()), macosApplications: z.array(z.string()) })
    .optional(),
});

/** `POST /certificates` on the channel: the CSR, and at a renewal the leaf's own signature. */
export const LocalCertificateRequest = CertificateRequest.extend({
  leafSignature: z.object({
    "signature-input": z.string().max(4096),
    signature: z.string().max(4096),
  }).optional(),
});

/** Text of a user's: it can neither steer a terminal nor grow when it is told further in JSON. */
const Line = (most: number) => z.string().max(most).transform(oneLine);

/** What a user-agent reports after a run. */
export const UserAgentReport = z.object({
  userId: Uuid,
  /** `renewing` is a leaf that still counts, whose renewal failed with `error`. */
  state: z.enum(["installed", "renewing", "waiting", "removing", "removed", "failed"]),
  serial: Serial.optional(),
  leafName: Line(256).optional(),
  notAfter: Instant.optional(),
  renewAt: Instant.optional(),
  /** The window that `renewAt` was drawn in. */
  renewal: RenewalWindow.optional(),
  store: z.object({ kind: Line(32), location: Line(1024) }).optional(),
  /** {@link anchorsDigest} of the anchors that are in the store. */
  anchors: z.string().max(64).optional(),
  /** Filters in the user's own settings, and what a person can do about one that is not `ok`. */
  filters: z.array(
    FilterReport.extend({ location: Line(1024), browser: Line(64), hint: Line(4096).optional() }),
  ).max(16).optional(),
  /** {@link selectionDigest} of what the browsers were told. */
  selection: z.string().max(64).optional(),
  /** Serials of our leaves in the store. */
  held: z.array(Serial).max(16),
  error: z.object({ code: PROBLEM_CODE, message: Line(2000) }).optional(),
  removed: z.array(RemovedItem.extend({ id: Line(1024) })).max(LIMITS.removedItems),
});

/** What a user's ledger keeps of the last run, for that user's own `status`. */
export const LedgerSummary = UserAgentReport.extend({ deviceId: Uuid, publicUrl: z.string() });

/** An error on the channel: a {@link ../platform/errors.ts Problem}'s code and message. */
export const LocalProblem = z.object({
  code: PROBLEM_CODE,
  message: z.string().max(4000),
  /** Set when the key that a certificate was asked for with is of no use any more. */
  keyRefused: z.boolean().optional(),
});

/** The agent's answer to a certificate request: the server's bundle, bounded. */
export const LocalBundle = z.object({
  serial: Serial,
  notAfter: Instant,
  leaf: Pem,
  intermediate: Pem,
  root: Pem,
  renewal: RenewalWindow,
});

/** What became of one user's renewal that an administrator asked for. */
export const RenewalOutcome = z.object({
  username: z.string(),
  renewed: z.boolean(),
  serial: Serial.optional(),
  message: z.string().optional(),
});

/** `POST /renew` on the administrator's channel. */
export const RenewalRequest = z.strictObject({ username: z.string().max(256).optional() });

/** Which anchors a store was brought to: SHA-256 of both PEM texts, hexadecimal. */
export function anchorsDigest(
  { root, intermediate }: { root: string; intermediate: string },
): string {
  return createHash("sha256").update(`${root}\0${intermediate}`).digest("hex");
}

/** What a user's browsers were told: SHA-256, hexadecimal. */
export function selectionDigest(selection: NonNullable<UserSlice["selection"]>): string {
  const { patterns, macosApplications } = selection;
  return createHash("sha256").update(JSON.stringify([patterns, macosApplications])).digest("hex");
}

/** Where the agent sends a user's certificate requests, below the public URL: a leaf signs it too. */
export function certificatesPath(
  { deviceId, userId }: { deviceId: string; userId: string },
): string {
  return `/v1/devices/${deviceId}/users/${userId}/certificates`;
}

/** The bytes that it sends: a leaf signs their digest. */
export function certificateRequestBody(csr: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ csr }));
}

export type RenewalOutcome = z.infer<typeof RenewalOutcome>;
export type UserSlice = z.infer<typeof UserSlice>;
export type UserAgentReport = z.infer<typeof UserAgentReport>;
export type LedgerSummary = z.infer<typeof LedgerSummary>;
export type LocalCertificateRequest = z.infer<typeof LocalCertificateRequest>;
export type LocalBundle = z.infer<typeof LocalBundle>;
