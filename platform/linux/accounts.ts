/** Accounts on Linux: the name service, or a `passwd` file under `--root`. */
import { dirname, join } from "node:path";
import type { Account, AccountWorld } from "../accounts.ts";
import { Problem } from "../errors.ts";
import { checkRootOwnedDir, readRegularFile } from "../files.ts";
import {
  findPasswdEntry,
  lowestPersonalUid,
  type PasswdEntry,
  systemAccountReason,
} from "../passwd.ts";
import { checkHomeBy, notServable, personalAccount, sharedHome } from "../unix_accounts.ts";
import { fileSystemType, isNetworkFileSystem } from "./mounts.ts";

/** See `LookUpAccount` in platform/accounts.ts. Says nothing of the home: see {@link checkHome}. */
export async function lookUpAccount(name: string, world: AccountWorld): Promise<Account> {
  const passwd = world.root === undefined ? undefined : readUnder(world.root, "etc/passwd");
  const entry = passwd === undefined
    ? await askNameService(name, world)
    : findPasswdEntry(passwd, name);
  const lowest = lowestPersonalUid(await readLoginDefs(world.root));
  const isKnown = passwd === undefined;
  return personalAccount(name, entry, world, {
    where: isKnown ? "on this computer" : `in ${world.root}/etc/passwd`,
    systemReason: ({ uid }) => systemAccountReason(uid, lowest),
    hasHome: ({ home }) => home.startsWith("/"),
    giveHome: "usermod -d",
    isKnown,
    rights: (found) => rights(found, world, isKnown),
  });
}

/**
 * See `CheckHome` in platform/accounts.ts. Works in the agent, and in the user-agent, which is
 * the one to ask where the agent's unit hides homes (`ProtectHome=yes`).
 */
export async function checkHome(account: Account, world: AccountWorld): Promise<void> {
  const isOwn = account.runAs === "self";
  await checkHomeBy(account, {
    async refuseShared(path) {
      const mounts = await (world.mounts?.() ?? Deno.readTextFile("/proc/self/mountinfo"));
      const type = fileSystemType(mounts, path);
      if (type !== undefined && isNetworkFileSystem(type)) {
        throw sharedHome(account, type, "computer");
      }
    },
    owner: isOwn && world.uid !== 0 ? world.uid : Number(account.uid),
    // Under --root the caller may serve the account with its own rights, in a home of its own.
    mayOwn: (uid) => world.root !== undefined && isOwn && uid === world.uid,
    giveHome: "give the account a home of its own (usermod -d, chown)",
  });
}

function rights(entry: PasswdEntry, world: AccountWorld, known: boolean): Account["runAs"] {
  const { uid, gid } = entry;
  if (world.uid === 0) return { uid, gid, groups: known ? "own" : "none" };
  if (!known || uid === world.uid) return "self";
  throw notServable(entry, world);
}

/** Asks for exactly this name: `getent` itself would take a number for a uid. */
async function askNameService(name: string, world: AccountWorld): Promise<PasswdEntry | undefined> {
  // deno-lint-ignore no-control-regex
  if (!/^[^\0-\x1f\x7f:/]+$/.test(name)) return undefined;
  const { code, timedOut, stdoutTail, stderrTail } = await world.run({
    argv: ["/usr/bin/getent", "passwd", "--", name],
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8" },
    timeoutMs: 10_000,
  });
  if (code === NOT_FOUND) return undefined;
  if (code !== 0) {
    const why = timedOut ? "the name service did not answer in 10 s" : stderrTail.trim();
    throw new Problem("internal", `Cannot look up the account '${name}': ${why || `exit ${code}`}`);
  }
  return findPasswdEntry(stdoutTail, name);
}

/** Exit code of `getent` for a key that no database has (getent(1)). */
const NOT_FOUND = 2;

/** The system's own may be a link, as some distributions have it; nobody but root can set it. */
async function readLoginDefs(root: string | undefined): Promise<string | undefined> {
  if (root !== undefined) return readUnder(root, "etc/login.defs");
  try {
    return await Deno.readTextFile("/etc/login.defs");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A text under a root that only root (or we) can change; undefined where it is not there. */
function readUnder(root: string, path: string): string | undefined {
  const file = join(root, path);
  if (!checkRootOwnedDir(dirname(file), root)) return undefined;
  const bytes = readRegularFile(file, MAX_BYTES);
  return bytes && new TextDecoder().decode(bytes);
}

const MAX_BYTES = 16 * 1024 * 1024;
