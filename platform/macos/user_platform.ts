/** What a user-agent needs of a macOS: the account is the one that this process runs as. */
import { ChallengeFailed } from "../challenge.ts";
import { type RunCommand, runCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { emptyMemoryStore, openMemoryStore } from "../memory_store.ts";
import { type Environment, systemPaths, userPaths } from "../paths.ts";
import type { OpenUserStore, UserPlatform } from "../platform.ts";
import { isThere } from "../presence.ts";
import type { CreatedPath } from "../trust_store.ts";
import { checkHome } from "./accounts.ts";
import type { RandomBytes } from "./encrypted_key.ts";
import { openKeychain, readKeychainPassword, removeCreatedKeychain } from "./keychain.ts";
import { passwordItemName } from "./keychain_password.ts";
import { findRunningBrowsers } from "./running_browsers.ts";
import type { SecurityFramework } from "./security_framework.ts";
import { loadSecurityFramework } from "./security_framework_ffi.ts";
import { userFilters } from "./selection_filters.ts";

/** Everything of the Mac that this depends on. */
export interface MacUser {
  run: RunCommand;
  /** `HOME` and `USER`, and under `--root` `DEVICE_TRUST_UID`. */
  env: Environment;
  uid: number;
  framework: () => SecurityFramework;
  random: RandomBytes;
  /** This program, which signs renewals. */
  ownProgram: string;
  /** Prefix of every path of the system, for tests. */
  systemRoot?: string;
}

/** The user-agent's platform. @throws Problem `home-missing` */
export function macosUser(root: string | undefined, mac: MacUser = thisMac()): UserPlatform {
  const under = root === undefined ? {} : { root };
  const { HOME: home, USER: name = "" } = mac.env;
  if (!home?.startsWith("/")) {
    throw new Problem("home-missing", "HOME is not set to an absolute path; nothing was done.");
  }
  // Under --root without root's rights, accounts are served by a uid that is not theirs.
  const uid = root === undefined ? String(mac.uid) : mac.env.DEVICE_TRUST_UID ?? String(mac.uid);
  const stateDir = userPaths({ os: "macos", home }).stateDir;
  const world = { ...mac, home, ...(mac.systemRoot ? { root: mac.systemRoot } : {}) };
  const keychain = (options: OpenUserStore) => ({
    ...world,
    framework: mac.framework(),
    stateDir,
    ...options,
  });
  const shared: Omit<UserPlatform, "openStore" | "inspectStores"> = {
    uid,
    paths: systemPaths({ os: "macos", ...under }),
    meeting: "sockets",
    stateDir,
    checkHome: () =>
      checkHome({ name, uid, home, runAs: "self" }, { ...under, uid: mac.uid, run: mac.run }),
    removeCreated: (created) => Promise.resolve(removeFolders(created)),
    runningBrowsers: () => findRunningBrowsers(String(mac.uid), mac.run),
    async unservedBrowsers() {
      const { findUnservedBrowsers } = await import("./unserved_browsers.ts");
      return findUnservedBrowsers(home, isThere);
    },
    answerChallenge: () => Promise.reject(onlyBrowsersAnswer()),
  };
  if (root !== undefined) {
    // Keychains and preferences are where macOS has them, and nowhere else.
    const held = emptyMemoryStore();
    return {
      ...shared,
      openStore: () => openMemoryStore(held),
      inspectStores: () => Promise.resolve([]),
    };
  }
  return {
    ...shared,
    openStore: (options) => openKeychain(keychain(options)),
    async removeStore(options) {
      const gone = await removeCreatedKeychain(keychain(options));
      return gone.flatMap((path) => [
        { kind: "keychain" as const, id: path },
        { kind: "password" as const, id: passwordItemName(options.brand) },
      ]);
    },
    filters: userFilters({ ...world, username: name }),
    keychainPassword: (brand) =>
      readKeychainPassword({ ...world, framework: mac.framework(), brand }),
    async inspectStores() {
      const { inspectKeychains } = await import("./keychain_inspection.ts");
      return await inspectKeychains(world);
    },
  };
}

function thisMac(): MacUser {
  let framework: SecurityFramework | undefined;
  return {
    run: runCommand,
    env: Deno.env.toObject(),
    uid: Deno.uid() ?? 0,
    framework: () => framework ??= loadSecurityFramework(),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    ownProgram: Deno.execPath(),
  };
}

/** Folders that were made for the ledger, the innermost first, when they are empty. */
function removeFolders(created: readonly CreatedPath[]): string[] {
  return created.toReversed().filter(({ path, kind }) => kind === "directory" && removeEmpty(path))
    .map(({ path }) => path);
}

/** @returns whether the folder is not there any more */
function removeEmpty(path: string): boolean {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (
      !(error instanceof Error && "code" in error && error.code === "ENOTEMPTY") && isThere(path)
    ) {
      throw error;
    }
  }
  return !isThere(path);
}

/** What cannot be done here, in words that `doctor` shows. */
function onlyBrowsersAnswer(): ChallengeFailed {
  return new ChallengeFailed(
    "handshake",
    "internal",
    "On macOS only a browser can present the leaf: no other program can do TLS with a key in the " +
      "keychain. Open the portal's page in the browser; it says what came of it.",
    { requested: false, caNames: [], candidates: [], serverVerified: false },
  );
}
