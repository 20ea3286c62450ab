/** What Linux and macOS have in common of accounts and homes; where they are looked up is each one's. */
import { join, posix } from "node:path";
import type { Account, AccountWorld } from "./accounts.ts";
import { Problem } from "./errors.ts";
import type { PasswdEntry } from "./passwd.ts";

/** What one system holds of accounts. */
export interface AccountRules {
  /** Where they were looked up, for people: "on this computer". */
  where: string;
  /** Why an account is no person's, as in "is root's"; undefined when it may be one's. */
  systemReason: (entry: PasswdEntry) => string | undefined;
  hasHome: (entry: PasswdEntry) => boolean;
  /** How a person gives an account a home. */
  giveHome: string;
  /** Whether the system itself knows the account; if not, it is from a `passwd` file under `--root`. */
  isKnown: boolean;
  /** Whose rights its processes get. @throws Problem `internal` */
  rights: (entry: PasswdEntry) => Account["runAs"];
}

/**
 * The account of this entry, if it is a person's.
 *
 * @throws Problem `no-local-account`, `system-account`, `home-missing`, and what `rights` throws
 */
export function personalAccount(
  name: string,
  entry: PasswdEntry | undefined,
  { root }: AccountWorld,
  rules: AccountRules,
): Account {
  if (!entry) {
    throw new Problem(
      "no-local-account",
      `No account is named exactly '${name}' ${rules.where}: create it, or bind the user to ` +
        "another one",
    );
  }
  const reason = rules.systemReason(entry);
  if (reason) {
    throw new Problem(
      "system-account",
      `The account '${name}' ${reason}: bind the user to the account of a person`,
    );
  }
  if (!rules.hasHome(entry)) {
    throw new Problem(
      "home-missing",
      `The account '${name}' has no home: give it one (${rules.giveHome})`,
    );
  }
  const home = posix.resolve(entry.home);
  return {
    name,
    uid: String(entry.uid),
    home: rules.isKnown ? home : join(root ?? "/", home),
    runAs: rules.rights(entry),
  };
}

/** The caller's own rights cannot serve this account. */
export function notServable(entry: PasswdEntry, world: AccountWorld): Problem {
  return new Problem(
    "internal",
    `Without root rights only uid ${world.uid} can be served, and '${entry.name}' is uid ` +
      `${entry.uid}: run the agent as root`,
  );
}

/** What one system holds of homes. */
export interface HomeRules {
  /** Refuses a path on a file system of the network. @throws Problem `shared-home` */
  refuseShared: (path: string) => Promise<void>;
  /** Who may own it: a uid, and whether it may be this one's instead. */
  owner: number;
  mayOwn: (uid: number | null) => boolean;
  /** How a person gives an account a home of its own. */
  giveHome: string;
}

/** See `CheckHome` in platform/accounts.ts. */
export async function checkHomeBy(
  { name, home }: Account,
  { refuseShared, owner, mayOwn, giveHome }: HomeRules,
): Promise<void> {
  // Before anything else: a server that is down would keep whoever touches its files.
  await refuseShared(home);
  let real: string;
  let info: Deno.FileInfo;
  try {
    real = await Deno.realPath(home);
    info = await Deno.stat(real);
  } catch (cause) {
    throw new Problem(
      "home-missing",
      `The home ${home} of '${name}' is not there (not mounted yet?); it is tried again later`,
      { cause },
    );
  }
  if (!info.isDirectory) {
    throw new Problem("home-missing", `The home ${home} of '${name}' is not a directory`);
  }
  await refuseShared(real);
  if (info.uid === owner || mayOwn(info.uid)) return;
  throw new Problem(
    "system-account",
    `The home ${home} of '${name}' belongs to uid ${info.uid}, not to uid ${owner}: ${giveHome}`,
  );
}

/** The home is one that several computers have. */
export function sharedHome({ name, home }: Account, type: string, computers: string): Problem {
  return new Problem(
    "shared-home",
    `The home ${home} of '${name}' is on a network file system (${type}): every ${computers} that ` +
      "mounts it would present this one's certificate, so none is installed",
  );
}
