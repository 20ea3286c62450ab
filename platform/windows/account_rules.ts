/** Which of Windows' accounts may hold certificates, and where they live. Pure. */
import { win32 } from "node:path";
import { Problem } from "../errors.ts";
import type { NamedAccount } from "./security.ts";

/** SID_NAME_USE (winnt.h). */
const USE = { user: 1, group: 2, alias: 4, wellKnownGroup: 5, computer: 9 } as const;

/** Relative ids below it are Windows' own: Administrator, Guest, DefaultAccount. */
const FIRST_PERSONAL_RID = 1000;

/**
 * The account that serves a user, when Windows understands a name as it.
 *
 * @throws Problem `no-local-account`, `system-account`
 */
export function judgeAccount(name: string, found: NamedAccount | undefined): { sid: string } {
  const { sid = "", use } = found ?? {};
  const person = /^S-1-(?:5-21|12-1)-\d+-\d+-\d+-(\d+)$/.exec(sid);
  // Services and virtual accounts are of no computer and of no directory.
  const isServices = use === USE.user && /^S-1-5-(?!21-)/.test(sid);
  if (use === USE.wellKnownGroup || use === USE.computer || isServices) {
    throw systemAccount(name, "is Windows' own");
  }
  if (use === USE.group || use === USE.alias) {
    throw new Problem(
      "no-local-account",
      `'${name}' is a group on this computer: bind the user to the account of a person`,
    );
  }
  if (use !== USE.user || !person) {
    throw new Problem(
      "no-local-account",
      `No account is named '${name}' on this computer: create it, or bind the user to another ` +
        "one (NAME, DOMAIN\\NAME, or AzureAD\\NAME@DOMAIN)",
    );
  }
  // Of computers and of services that a domain manages.
  if (name.endsWith("$")) throw systemAccount(name, "is a computer's or a service's");
  const isEntra = sid.startsWith("S-1-12-1-");
  if (!isEntra && Number(person[1]) < FIRST_PERSONAL_RID) {
    throw systemAccount(name, "came with Windows");
  }
  return { sid };
}

/** What is to be known of the profile that this process runs with. */
export interface ProfileFacts {
  /** Of `GetProfileType`: 1 temporary, 2 roaming, 4 mandatory. */
  kind: number;
  /** Where the profile is copied to and from, in the list of profiles; "" for nowhere. */
  central: string;
  /** Folders that keys, certificates and our ledger are in. */
  folders: readonly { path: string; isRemote: boolean; exists: boolean }[];
}

/**
 * Refuses a profile that another computer has too, or that is gone after the session.
 *
 * @throws Problem `shared-home`, `home-missing`
 */
export function judgeProfile(name: string, { kind, central, folders }: ProfileFacts): void {
  const shared =
    "every computer that it reaches would present this one's certificate, so none is " +
    "installed";
  if ((kind & ROAMING) !== 0 || central !== "") {
    const where = central === "" ? "" : ` (${central})`;
    throw new Problem(
      "shared-home",
      `The profile of '${name}' is a roaming one${where}: ${shared}`,
    );
  }
  const remote = folders.find(({ path, isRemote }) => isRemote || path.startsWith("\\\\"));
  if (remote) {
    throw new Problem(
      "shared-home",
      `The folder ${remote.path} of '${name}' is on another computer: ${shared}`,
    );
  }
  if ((kind & (TEMPORARY | MANDATORY)) !== 0) {
    const what = (kind & TEMPORARY) !== 0 ? "temporary" : "mandatory";
    throw new Problem(
      "home-missing",
      `'${name}' is signed on with a ${what} profile, which keeps nothing: have the account's own ` +
        "profile repaired; it is tried again at each sign-on",
    );
  }
  const missing = folders.find(({ exists }) => !exists);
  if (missing) {
    throw new Problem(
      "home-missing",
      `The folder ${missing.path} of '${name}' is not there; it is tried again later`,
    );
  }
}

/** A path of the registry with its variables (`%SystemDrive%\Users\ada`) put in; absolute or "". */
export function expandPath(path: string, env: Readonly<Record<string, string | undefined>>) {
  const expanded = path.replace(/%([^%]+)%/g, (whole, name: string) => {
    const found = Object.entries(env).find(([known]) => known.toLowerCase() === name.toLowerCase());
    return found?.[1] ?? whole;
  });
  return win32.isAbsolute(expanded) && !expanded.includes("%") ? win32.normalize(expanded) : "";
}

const TEMPORARY = 1;
const ROAMING = 2;
const MANDATORY = 4;

function systemAccount(name: string, why: string): Problem {
  return new Problem(
    "system-account",
    `The account '${name}' ${why}: bind the user to the account of a person`,
  );
}
