/** What `doctor` says of one managed user: account, state, stores, browsers, challenge. Pure. */
import { INTERMEDIATE_NAME } from "../ca/names.ts";
import { asUser, type Check, failed, LOOK_AGAIN, passed, remedy } from "./doctor_check.ts";
import { challengeCheck, type TriedChallenge } from "./doctor_challenge.ts";
import type { UserRow } from "./state.ts";
import { span } from "./time_text.ts";
import type {
  FoundCertificate,
  FoundProblem,
  FoundStore,
  UserInspection,
} from "./user_inspection.ts";

/** What is known of one managed user on this device. */
export interface UserFacts {
  username: string;
  /** Whether the desired state wants a leaf for this user. */
  wanted: boolean;
  row: Pick<UserRow, "state" | "details" | "error">;
  /** Why there is no account that could be served. */
  account?: FoundProblem;
  /** What that user's own process found; absent where nobody could look, with why. */
  inspection: UserInspection | FoundProblem;
  challenges: TriedChallenge[];
}

/** What the user's certificates are judged by. */
export interface PinnedAuthorities {
  /** SHA-256 of root and intermediate; absent where only root may read them. */
  root?: string;
  intermediate?: string;
}

/** From the user's account to what the databases hold. */
export function storeChecks(facts: UserFacts, pinned: PinnedAuthorities, now: number): Check[] {
  const { username, account, inspection, wanted } = facts;
  if (account) {
    return [failed(`account:${username}`, account.message, remedy(account.code, username))];
  }
  const checks = [
    passed(`account:${username}`, `'${username}' is a local account`),
    homeCheck(username, inspection),
    stateCheck(facts),
  ];
  if (!wanted || !("stores" in inspection)) return checks;
  return [
    ...checks,
    ...inspection.stores.map((store, at) => storeCheck(facts, store, at, pinned, now)),
    ...inspection.stores.flatMap((store) => trustCheck(username, store)),
    ...unservedCheck(username, inspection),
  ];
}

/** The user's running browsers, and what the portal says to what they would present. */
export function browserChecks(facts: UserFacts): Check[] {
  const { username, inspection, wanted } = facts;
  if (!wanted || !("stores" in inspection) || inspection.home) return [];
  const leaves = ownLeaves(facts);
  const user = { username, leaves: leaves.map(({ sha256 }) => sha256) };
  return [
    browserCheck(username, inspection, leaves[0]),
    ...unaskedCheck(facts),
    ...facts.challenges.map((tried) => challengeCheck(user, tried)),
  ];
}

/** The user's leaves in the store, the current one first. */
export function ownLeaves(
  { row, inspection }: Pick<UserFacts, "row" | "inspection">,
): FoundCertificate[] {
  const serials = [row.details.serial, ...row.details.held ?? []];
  const stores = "stores" in inspection ? inspection.stores : [];
  const found =
    stores[0]?.certificates.filter(({ serial, issuerCommonName }) =>
      issuerCommonName === INTERMEDIATE_NAME && serials.includes(serial)
    ) ?? [];
  return found.toSorted((a, b) => serials.indexOf(a.serial) - serials.indexOf(b.serial));
}

function homeCheck(username: string, inspection: UserFacts["inspection"]): Check {
  const id = `home:${username}`;
  if (!("stores" in inspection)) {
    const fix = `Try it as that user: ${asUser(username, "device-trust agent-inspect")}`;
    return failed(id, inspection.message, fix);
  }
  if (!inspection.home) return passed(id, "the home is there and the user's own");
  const { code, message } = inspection.home;
  const own = `chown -R ${username}: HOME, or usermod -d ANOTHER ${username}`;
  return failed(id, message, code === "system-account" ? own : remedy(code, username));
}

function stateCheck({ username, row, wanted }: UserFacts): Check {
  const id = `state:${username}`;
  const { state, error, details } = row;
  if (error) {
    return failed(
      id,
      `${state}: ${error.message}`,
      remedy(error.code, username, details.store?.location),
    );
  }
  if (wanted ? state === "installed" || state === "renewing" : GONE.has(state)) {
    const until = details.notAfter ? `, valid until ${details.notAfter}` : "";
    const renewal = details.renewAt ? `, renewal ${details.renewAt}` : "";
    return passed(
      id,
      `${state}${details.leafName ? `: ${details.leafName}${until}${renewal}` : ""}`,
    );
  }
  return failed(id, `${state}, and ${wanted ? "installed" : "removed"} is wanted`, LOOK_AGAIN);
}

const GONE: ReadonlySet<string> = new Set(["removed", "absent"]);

function storeCheck(
  { username, row }: UserFacts,
  store: FoundStore,
  at: number,
  pinned: PinnedAuthorities,
  now: number,
): Check {
  const id = at === 0 ? `store:${username}` : `store:${username}:${store.usedBy}`;
  const where = `${store.path} (${store.usedBy})`;
  if (store.problem) {
    return failed(id, store.problem.message, remedy(store.problem.code, username, store.path));
  }
  if (!store.exists) return failed(id, `${where} is not there`, LOOK_AGAIN);
  const { serial } = row.details;
  const leaf = store.certificates.find((one) =>
    one.serial === serial && one.issuerCommonName === INTERMEDIATE_NAME
  );
  if (!leaf) return failed(id, `${where} has no leaf ${serial ?? ""}`.trimEnd(), LOOK_AGAIN);
  if (!leaf.hasKey) return failed(id, `${where} has the leaf without its key`, LOOK_AGAIN);
  const dates = outside(leaf, now);
  if (dates) return failed(id, `${where}: the leaf ${dates}`, "device-trust renew");
  const hashes = new Set(store.certificates.map(({ sha256 }) => sha256));
  for (const role of ["intermediate", "root"] as const) {
    const sha256 = pinned[role];
    if (sha256 === undefined || hashes.has(sha256)) continue;
    return failed(id, `${where} lacks the ${role}, so browsers offer no leaf`, LOOK_AGAIN);
  }
  const expired = store.certificates.filter((one) =>
    one.issuerCommonName === INTERMEDIATE_NAME && one.notAfter < now
  );
  if (expired.length > 0) {
    return failed(id, `${where} still has ${expired.length} expired of our leaves`, LOOK_AGAIN);
  }
  return passed(
    id,
    `${where} has ${leaf.commonName} and its key, for ${span(leaf.notAfter - now)}`,
  );
}

/** Invariant 9: what devices are known by must not vouch for web sites. */
function trustCheck(username: string, { path, certificates }: FoundStore): Check[] {
  const trusted = certificates.filter((one) => one.trusted);
  return trusted.map(({ commonName }) =>
    failed(
      `trust:${username}`,
      `${path} trusts '${commonName}', which nothing here needs and nobody should`,
      `As ${username}: certutil -M -d 'sql:${path}' -n '${commonName}' -t ,,`,
    )
  );
}

function browserCheck(
  username: string,
  { browsers }: UserInspection,
  leaf: FoundCertificate | undefined,
): Check {
  const id = `browsers:${username}`;
  if (browsers.length === 0) return passed(id, "no browser runs");
  const names = browsers.map(({ name, pid }) => `${name} (${pid})`).join(", ");
  // notBefore lies an hour before the leaf was issued.
  const older = browsers.filter(({ startedAt }) => leaf && startedAt < leaf.notBefore + 3_600_000);
  if (older.length === 0) return passed(id, `running: ${names}`);
  const which = older.map(({ name, pid }) => `${name} (${pid})`).join(", ");
  return passed(
    id,
    `running: ${names}; since before the leaf came: ${which}. It keeps its earlier answer for ` +
      "hosts that it met before, until it is restarted; the portal's page needs no restart",
  );
}

/** Whether this program could present the user's leaf itself: with keys of NSS databases alone. */
export function canPresent({ row: { details } }: Pick<UserFacts, "row">): boolean {
  return (details.store?.kind ?? "nssdb") === "nssdb";
}

function unaskedCheck(facts: UserFacts): Check[] {
  if (canPresent(facts)) return [];
  const why =
    `only a browser can do TLS with a key of this system's ${facts.row.details.store?.kind}`;
  return [
    passed(
      `challenge:${facts.username}`,
      `not made: ${why}. Open the portal's page in one; it says what came of it`,
    ),
  ];
}

function unservedCheck(username: string, { unserved }: UserInspection): Check[] {
  if (unserved.length === 0) return [];
  const list = unserved.map(({ browser, location, reason }) =>
    `${browser} (${location}): ${reason}`
  );
  return [passed(`unserved:${username}`, `not served: ${list.join("; ")}`)];
}

function outside({ notBefore, notAfter }: FoundCertificate, now: number): string | undefined {
  if (now < notBefore) return `is valid only in ${span(notBefore - now)}: this clock may be wrong`;
  return now > notAfter ? `expired ${span(now - notAfter)} ago` : undefined;
}
