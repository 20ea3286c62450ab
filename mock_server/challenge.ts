/**
 * A challenge from end to end: everything that the verdict needs is looked up now, the policies
 * are asked what follows from it, and what was answered is put on record.
 */
import { z } from "@hono/zod-openapi";
import { Serial, Uuid } from "../agent/contract.ts";
import { parseCertificate } from "../ca/certificate.ts";
import type { PresentedCertificate } from "./client_cert.ts";
import { recordEvent, type ServerContext } from "./context.ts";
import { Decision, evaluate, type RequestOs, storedPolicy } from "./policy.ts";
import type { User } from "./fleet.ts";
import type { ChallengeDetail } from "./policy_replay.ts";
import { judge, readLeaf, type VerdictFacts, VerdictReason } from "./verdict.ts";

/** The event of a challenge; replays of draft policies read these. */
export const CHALLENGE_EVENT = "portal.challenge";

/** `GET /challenge`. `deviceId`, `userId` and `serial` are those of the certificate. */
export const ChallengeAnswer = z.object({
  managed: z.boolean(),
  reason: VerdictReason,
  message: z.string(),
  eventId: Uuid,
  deviceId: Uuid.nullable(),
  userId: Uuid.nullable(),
  serial: Serial.nullable(),
  decision: Decision,
  policy: Uuid.nullable(),
}).openapi("ChallengeAnswer");
export type ChallengeAnswer = z.infer<typeof ChallengeAnswer>;

/** What somebody asks of the portal. */
export interface Asked {
  /** E-mail address that stands in for a real session's user. */
  user: string;
  resource: string;
}

/** Where a request comes from, as policies look at it. */
export interface Origin {
  ip: string;
  /** What the request's header fields say. */
  os: RequestOs;
}

/** Judges a presented certificate at this instant and records the answer as an event. */
export async function answerChallenge(
  context: ServerContext,
  asked: Asked,
  presented: PresentedCertificate,
  origin: Origin,
): Promise<ChallengeAnswer> {
  const certificate = await readPresented(context, presented);
  const { store } = context;
  const user = store.users.byEmail(asked.user);
  const verdict = judge({ ...lookUp(context, certificate, user), certificate });
  const os = requestOs(context, origin.os, verdict.deviceId);
  const groups = user?.groups ?? [];
  const { decision, policy, why } = evaluate(
    store.policies.all().map(storedPolicy),
    {
      userId: user?.userId ?? null,
      groups,
      resource: asked.resource,
      device: verdict.managed ? "managed" : "unmanaged",
      os,
      ip: origin.ip,
    },
    store.settings.current.defaultDecision,
  );
  const { managed, reason, message, deviceId, userId, serial } = verdict;
  const subject = {
    ...(deviceId === null ? {} : { deviceId }),
    ...(user ? { userId: user.userId } : {}),
  };
  const seen = { ...asked, groups, managed, os, ip: origin.ip, decision, policy };
  const detail = { reason, serial, why, ...seen satisfies z.infer<typeof ChallengeDetail> };
  const eventId = recordEvent(context, CHALLENGE_EVENT, subject, detail);
  return { managed, reason, message, eventId, deviceId, userId, serial, decision, policy };
}

async function readPresented(
  context: ServerContext,
  presented: PresentedCertificate,
): Promise<VerdictFacts["certificate"]> {
  if (presented.kind === "none") return "none";
  if (presented.kind === "unreadable") return { foreign: { serial: null } };
  const { authority } = context;
  const intermediates = [authority, ...authority.elders]
    .map(({ intermediate }) => parseCertificate(intermediate.der));
  return await readLeaf(presented.der, intermediates, context.now().getTime());
}

/** Everything but the certificate itself; after the last `await`, so that it is all of one instant. */
function lookUp(
  { store, now }: ServerContext,
  certificate: VerdictFacts["certificate"],
  user: User | undefined,
): Omit<VerdictFacts, "certificate"> {
  const leaf = typeof certificate === "object" && "leaf" in certificate
    ? certificate.leaf
    : undefined;
  const device = leaf && store.devices.get(leaf.deviceId);
  const binding = leaf && store.bindings.get(leaf.deviceId, leaf.userId);
  return {
    now: now().getTime(),
    distribution: store.settings.current.globalCertificateDistribution,
    deviceEnrolled: device?.deletedAt === null,
    userManaged: binding?.removedAt === null,
    record: leaf && store.certificates.bySha256(leaf.sha256),
    overlapSeconds: store.settings.current.overlapSeconds,
    sessionUserId: user?.userId ?? null,
  };
}

/** The device's own record stands in where no header field names the system. */
function requestOs(
  { store }: ServerContext,
  os: RequestOs,
  deviceId: string | null,
): RequestOs {
  if (os !== "other" || deviceId === null) return os;
  return store.devices.get(deviceId)?.os ?? os;
}
