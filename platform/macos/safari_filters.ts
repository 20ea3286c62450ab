/**
 * Safari's filters: identity preferences, which name one certificate for a service. They refer to
 * that very certificate, so they are set again for each leaf.
 */
import { Problem, toProblem } from "../errors.ts";
import type { DesiredFilters, FilterRemoval, FilterReport, UserFilterLedger } from "../filters.ts";
import { explainSecurity, ITEM_NOT_FOUND, OK } from "./keychain_trouble.ts";
import type { SecurityTool } from "./security_command.ts";
import { SECURITY } from "./security_commands.ts";

const LOCATION = "identity preferences in the login keychain";
const PLACE = "identity preference ";

/**
 * The services that stand for a pattern. macOS looks up a URL of an application by that
 * application's name too, and only names that are no URL without it (Apple's SecIdentity.cpp of
 * release 61901); earlier systems know the plain form alone, so both are there. A wildcard has no
 * place for a port.
 */
export function identityServices(pattern: string): string[] {
  const [, wildcard, host = "", port = ""] =
    /^https:\/\/(\[\*\.\])?([^:/]+)(:\d+)?$/.exec(pattern) ?? [];
  if (host === "") return [];
  const url = `https://${host}${port === ":443" ? "" : port}/`;
  const exact = [url, `${url} (com.apple.Safari)`];
  return wildcard === undefined ? exact : [...exact, `*.${host}`];
}

/**
 * {@link UserFilters.prefer}: a preference for another certificate, which somebody chose, is left
 * as it is and reported.
 *
 * @param keychain the one that holds the leaf
 */
export async function preferLeaf(
  { patterns }: DesiredFilters,
  leaf: string,
  { tool, keychain, ours, ledger }: {
    tool: SecurityTool;
    keychain: string;
    ours: readonly string[];
    ledger: UserFilterLedger;
  },
): Promise<FilterReport> {
  const services = [...new Set(patterns.flatMap(identityServices))];
  const report = { browser: "safari", location: LOCATION };
  try {
    for (const service of recorded(ledger)) {
      if (!services.includes(service)) await clear(service, tool, ours, ledger);
    }
    const taken: string[] = [];
    for (const service of services) {
      const now = await preferred(service, tool);
      if (now === leaf) continue;
      if (now !== undefined && !ours.includes(now)) {
        taken.push(service);
        continue;
      }
      ledger.record(PLACE + service);
      const doing = `Cannot set the identity preference for ${service}`;
      await tool.do(SECURITY.setIdentityPreference(service, leaf.toUpperCase(), keychain), doing);
      if (await preferred(service, tool) === leaf) continue;
      throw new Problem("internal", `${doing}: it is another one when read back.`);
    }
    if (taken.length === 0) return { ...report, state: "ok" };
    const hint = `somebody chose another certificate for ${taken.join(", ")}: remove that ` +
      "identity preference in Keychain Access, and ours is set";
    return { ...report, state: "managed-elsewhere", hint };
  } catch (error) {
    return { ...report, state: "missing", hint: toProblem(error).message };
  }
}

/** {@link UserFilters.remove}: what somebody changed since is theirs. */
export async function removePreferences(
  tool: SecurityTool,
  ledger: UserFilterLedger,
): Promise<Pick<FilterRemoval, "removed" | "left">> {
  const removal: Pick<FilterRemoval, "removed" | "left"> = { removed: [], left: [] };
  for (const service of recorded(ledger)) {
    try {
      if (await clear(service, tool, [], ledger)) removal.removed.push(PLACE + service);
    } catch (error) {
      const hint = toProblem(error).message;
      removal.left.push({ browser: "safari", location: PLACE + service, hint, mayGo: true });
    }
  }
  return removal;
}

function recorded(ledger: UserFilterLedger): string[] {
  return ledger.places().filter((place) => place.startsWith(PLACE))
    .map((place) => place.slice(PLACE.length));
}

/**
 * Clears a preference that we set. One whose certificate is gone, as ours is after a removal, names
 * nothing.
 *
 * @returns whether it was cleared, and not somebody else's by now
 */
async function clear(
  service: string,
  tool: SecurityTool,
  ours: readonly string[],
  ledger: UserFilterLedger,
): Promise<boolean> {
  const now = await preferred(service, tool);
  const isOurs = now === undefined || ours.includes(now);
  if (isOurs) {
    const command = SECURITY.clearIdentityPreference(service);
    const answer = await tool.attempt(command);
    const doing = `Cannot clear the identity preference for ${service}`;
    if (answer.code !== OK && answer.code !== ITEM_NOT_FOUND) {
      throw explainSecurity(doing, command.words[0], answer);
    }
    if (await preferred(service, tool) !== undefined) {
      throw new Problem("internal", `${doing}: it is there when read back.`);
    }
  }
  ledger.forget(PLACE + service);
  return isOurs;
}

/** SHA-256 of the certificate that is preferred, lower-case hexadecimal; undefined for none. */
async function preferred(service: string, tool: SecurityTool): Promise<string | undefined> {
  const command = SECURITY.identityPreference(service);
  const answer = await tool.attempt(command);
  if (answer.code === ITEM_NOT_FOUND) return undefined;
  if (answer.code === OK) {
    return /SHA-256 hash: ([0-9A-F]{64})/.exec(answer.stdout)?.[1]?.toLowerCase();
  }
  throw explainSecurity(
    `Cannot read the identity preference for ${service}`,
    command.words[0],
    answer,
  );
}
