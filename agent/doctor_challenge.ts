/** What `doctor` asks of a portal, and what its answer means. Pure. */
import type { ChallengeOutcome } from "./challenge.ts";
import { INTERMEDIATE_NAME } from "../ca/names.ts";
import { type Check, failed, passed } from "./doctor_check.ts";

/** Where a selection pattern leads. */
export interface ChallengeTarget {
  host: string;
  port: number;
}

/** A challenge that was tried for one user. */
export interface TriedChallenge {
  pattern: string;
  target: ChallengeTarget;
  /** Whether the portal was told the user; if not, it judges the device alone. */
  signedIn: boolean;
  outcome: ChallengeOutcome;
}

/** What the challenge is judged by. */
export interface ChallengedUser {
  username: string;
  /** SHA-256 of the user's leaves in the store, the current one first. */
  leaves: readonly string[];
}

/**
 * The host and port that a selection pattern names. A wildcard means a name that no browser has
 * met, as the portal's own page uses (S17).
 *
 * @param fresh a label that was never used
 */
export function challengeTarget(pattern: string, fresh: string): ChallengeTarget {
  const { hostname, port } = new URL(pattern.replace("[*.]", `${fresh}.`));
  return { host: hostname, port: port === "" ? 443 : Number(port) };
}

/** Whether the portal would call this user's device managed, and if not what to do about it. */
export function challengeCheck(user: ChallengedUser, tried: TriedChallenge): Check {
  const id = `challenge:${user.username}:${tried.pattern}`;
  const where = `${tried.target.host}:${tried.target.port}`;
  const { outcome } = tried;
  if (!outcome.answered) return failed(id, ...unanswered(outcome, where));
  const wrong = wrongCertificate(user, outcome, where);
  if (wrong) return failed(id, ...wrong);
  const leaf = `leaf ${outcome.presented?.sha256.slice(0, 16)} over ${outcome.protocol}`;
  const notes = [
    outcome.caNames.length === 0
      ? "; it names no authority, so browsers send the leaf without the intermediate"
      : "",
    outcome.serverVerified ? "" : "; nothing here can tell whether it is the right server",
  ].join("");
  const verdict = readVerdict(outcome.body);
  if (verdict?.managed) return passed(id, `${where} accepted ${leaf}: managed${notes}`);
  // The reason that comes after all that a certificate can be wrong in.
  if (verdict?.reason === "no-user" && !tried.signedIn) {
    return passed(id, `${where} accepted ${leaf}; whose session it would be was not asked${notes}`);
  }
  if (verdict) {
    return failed(
      id,
      `${where} was shown ${leaf} and calls the device unmanaged (${verdict.reason}, event ` +
        `${verdict.eventId}): ${verdict.message}${notes}`,
      VERDICT_FIXES[verdict.reason] ?? "Give the event id to the portal's administrator.",
    );
  }
  const detail = `${where} was shown ${leaf} and answered ${outcome.status}${notes}`;
  return outcome.status < 400
    ? passed(id, detail)
    : failed(id, detail, "Look at the portal's log for this request.");
}

type Answered = Extract<ChallengeOutcome, { answered: true }>;
type Unanswered = Extract<ChallengeOutcome, { answered: false }>;
type Wrong = [detail: string, fix: string];

/** Why there is no answer at all. */
function unanswered(outcome: Unanswered, where: string): Wrong {
  const url = `https://${where}/`;
  switch (outcome.stage) {
    case "connect":
      return [
        outcome.message,
        `Check the portal's name, the network and firewalls: curl -v ${url}`,
      ];
    case "server":
      return [
        outcome.message,
        "Browsers will warn of it too: give the portal a certificate for this name from an " +
        `authority that browsers trust, then: curl -v ${url}`,
      ];
    case "handshake":
    case "answer":
      return [
        outcome.presented
          ? `${outcome.message} It was shown leaf ${outcome.presented.sha256.slice(0, 16)}.`
          : outcome.message,
        "Look at the portal's TLS log; its client authorities must hold the pinned root, and TLS " +
        "1.2 or 1.3 be on.",
      ];
    case undefined:
      return [outcome.message, "Repair the database as said, then run doctor again."];
  }
}

/** Why what a browser would present is not the leaf. */
function wrongCertificate(
  { username, leaves }: ChallengedUser,
  { requested, caNames, candidates, presented }: Answered,
  where: string,
): Wrong | undefined {
  if (!requested) {
    return [
      `${where} asked for no certificate`,
      "Turn on optional client certificates for this name at the portal (or the proxy before it); " +
      "if the pattern is not the portal's, correct selectionPatterns at the agent server.",
    ];
  }
  if (presented && leaves.includes(presented.sha256)) return undefined;
  if (presented) {
    return [
      `${username}'s browser would present another certificate of ${INTERMEDIATE_NAME} (SHA-256 ` +
      `${presented.sha256}) than this device's leaf`,
      "Remove it if nobody needs it: list with certutil -L, remove with certutil -D.",
    ];
  }
  const asked = caNames.length === 0 ? "any authority" : caNames.join("; ");
  return [
    candidates.length === 0
      ? `nothing of ${username}'s store answers the request of ${where}, which takes: ${asked}`
      : `of what ${where} takes (${asked}), ${username}'s store has only certificates of other ` +
        `issuers (${[...new Set(candidates.map((one) => one.issuerCommonName))].join(", ")}): ` +
        "the browser would ask",
    "The portal's certificate request must name the pinned root: add it to the portal's client " +
    "authorities. If it does, repair the store (see the checks above).",
  ];
}

interface PortalVerdict {
  managed: boolean;
  reason: string;
  message: string;
  eventId: string;
}

/** What the portal says; undefined for a portal that speaks otherwise. */
function readVerdict(body: string): PortalVerdict | undefined {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  if (!("managed" in json) || typeof json.managed !== "boolean") return undefined;
  const text = (name: string) => {
    const value: unknown = Object.getOwnPropertyDescriptor(json, name)?.value;
    return typeof value === "string" ? value.slice(0, 2000) : "";
  };
  return {
    managed: json.managed,
    reason: text("reason"),
    message: text("message"),
    eventId: text("eventId"),
  };
}

/** What to do about the portal's reasons (DESIGN section 5). */
const VERDICT_FIXES: Readonly<Record<string, string>> = {
  "distribution-off": "An administrator turns Global Certificate Distribution on.",
  "no-certificate": "Run doctor again; if it stays, the portal's proxy drops the certificate.",
  "untrusted": "The portal trusts another device authority: give it this agent server's root.",
  "not-yet-valid": "Correct the portal's clock: timedatectl set-ntp true",
  "expired": "device-trust renew",
  "device-deleted": "device-trust unenroll, then enrol this device again.",
  "user-not-managed": "An administrator binds the user to this device.",
  "revoked": "device-trust renew; the agent server's events say who revoked it and why.",
  "no-user": "The portal does not know this user: add the user at the agent server.",
  "user-mismatch": "Sign in as the user whose certificate this account holds.",
};
