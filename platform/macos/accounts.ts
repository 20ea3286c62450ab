/** Accounts on macOS: the directory, or a `passwd` file under `--root`. */
import type { Account, AccountWorld } from "../accounts.ts";
import { Problem } from "../errors.ts";
import { checkRootOwnedDir, readRegularFile } from "../files.ts";
import { findPasswdEntry, type PasswdEntry } from "../passwd.ts";
import { checkHomeBy, notServable, personalAccount, sharedHome } from "../unix_accounts.ts";
import { fileSystemType, isNetworkFileSystem } from "./mounts.ts";
import { memberOf, type ReadPropertyList, readPropertyList } from "./property_list.ts";
import { MACOS, systemEnvironment } from "./system_commands.ts";

/** See `LookUpAccount` in platform/accounts.ts. Says nothing of the home: see {@link checkHome}. */
export async function lookUpAccount(name: string, world: AccountWorld): Promise<Account> {
  const passwd = world.root === undefined ? undefined : passwdUnder(world.root);
  const entry = passwd === undefined
    ? await askDirectory(name, world)
    : findPasswdEntry(passwd, name);
  const isKnown = passwd === undefined;
  return personalAccount(name, entry, world, {
    where: isKnown ? "on this Mac" : `in ${world.root}/etc/passwd`,
    systemReason: systemAccountReason,
    hasHome: ({ home }) => home.startsWith("/") && !NO_HOMES.has(home),
    giveHome: "Users",
    isKnown,
    rights: (found) => rights(found, world, isKnown),
  });
}

/** See `CheckHome` in platform/accounts.ts. Works in the user-agent, which may enter the home. */
export async function checkHome(account: Account, world: AccountWorld): Promise<void> {
  await checkHomeBy(account, {
    async refuseShared(path) {
      const type = fileSystemType(await (world.mounts ?? readMounts(world))(), path);
      if (type !== undefined && isNetworkFileSystem(type)) throw sharedHome(account, type, "Mac");
    },
    owner: world.uid,
    // Under --root the caller serves every account with its own rights.
    mayOwn: (uid) => world.root !== undefined && String(uid) === account.uid,
    giveHome: "give the account a home of its own",
  });
}

function readMounts({ run }: AccountWorld): () => Promise<string> {
  return async () => {
    const how = { env: systemEnvironment(), timeoutMs: 10_000 };
    const { code, stdoutTail } = await run({ argv: MACOS.mounts(), ...how });
    if (code === 0) return stdoutTail;
    throw new Problem("internal", `Cannot tell what is mounted: 'mount' ended with ${code}.`);
  };
}

/** Why an account is no person's, or undefined when it may be one's. */
function systemAccountReason({ name, uid }: PasswdEntry): string | undefined {
  if (uid === 0) return "is root's";
  if (name.startsWith("_")) return "is one of the system's own, whose names begin with '_'";
  if (uid >= HIGHEST_UID) return `has uid ${uid}, which stands for nobody`;
  return uid < LOWEST_PERSONAL_UID
    ? `has uid ${uid}, below ${LOWEST_PERSONAL_UID}, where people's accounts begin`
    : undefined;
}

/** macOS gives the first account of a person uid 501. */
const LOWEST_PERSONAL_UID = 500;
/** Uids are signed here; `nobody` is -2. */
const HIGHEST_UID = 0x7fffffff;

/** What stands for no home. */
const NO_HOMES: ReadonlySet<string> = new Set(["/var/empty", "/dev/null", "/99"]);

function rights(entry: PasswdEntry, world: AccountWorld, known: boolean): Account["runAs"] {
  const { uid, gid } = entry;
  if (!known || (uid === world.uid && world.uid !== 0)) return "self";
  if (world.uid === 0) return { uid, gid, groups: "own" };
  throw notServable(entry, world);
}

/** Asks for exactly this name: the directory itself knows accounts by other names as well. */
async function askDirectory(name: string, world: AccountWorld): Promise<PasswdEntry | undefined> {
  // deno-lint-ignore no-control-regex
  if (!/^[^\0-\x1f\x7f:/]+$/.test(name)) return undefined;
  const { code, timedOut, stdoutTail, stderrTail } = await world.run({
    argv: MACOS.account(name),
    env: systemEnvironment(),
    timeoutMs: 10_000,
  });
  if (code !== 0) {
    // It has no exit status of its own for this, only its name.
    if (stderrTail.includes("eDSRecordNotFound")) return undefined;
    const why = timedOut ? "the directory did not answer in 10 s" : stderrTail.trim();
    throw new Problem("internal", `Cannot look up the account '${name}': ${why || `exit ${code}`}`);
  }
  const record = readPropertyList(stdoutTail);
  const [recordName, uid, gid, home] = [
    ...["RecordName", "UniqueID", "PrimaryGroupID", "NFSHomeDirectory"],
  ].map((attribute) => firstOf(memberOf(record, `dsAttrTypeStandard:${attribute}`)));
  if (recordName !== name || !isId(uid) || !isId(gid)) return undefined;
  return { name, uid: unsigned(uid), gid: unsigned(gid), home: home ?? "" };
}

function firstOf(values: ReadPropertyList | undefined): string | undefined {
  const [first] = Array.isArray(values) ? values : [];
  return typeof first === "string" ? first : undefined;
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^-?\d{1,10}$/.test(text);
}

function unsigned(id: string): number {
  return Number(id) >>> 0;
}

/** The `passwd` file under a root that only root (or we) can change; undefined where it is none. */
function passwdUnder(root: string): string | undefined {
  if (!checkRootOwnedDir(`${root}/etc`, root)) return undefined;
  const bytes = readRegularFile(`${root}/etc/passwd`, 16 * 1024 * 1024);
  return bytes && new TextDecoder().decode(bytes);
}
