/** What a user-agent needs of a Windows: the account is the one that this process runs as. */
import { rmdirSync } from "node:fs";
import { ChallengeFailed } from "../challenge.ts";
import { Problem } from "../errors.ts";
import { emptyMemoryStore, openMemoryStore } from "../memory_store.ts";
import { systemPaths, userPaths } from "../paths.ts";
import type { UserPlatform } from "../platform.ts";
import { isThere } from "../presence.ts";
import type { CreatedPath } from "../trust_store.ts";
import { checkProfile } from "./accounts.ts";
import { openCertstore, USER_STORES } from "./certstore.ts";
import { holdFile } from "./folders.ts";
import { Registry } from "./registry.ts";
import { findRunningBrowsers } from "./running_browsers.ts";
import { ownIdentity } from "./security.ts";

/** The user-agent's platform. Under a root the store is in memory. @throws Problem `home-missing` */
export function windowsUser(root: string | undefined): UserPlatform {
  const env = Deno.env.toObject();
  const { USERPROFILE: home, APPDATA: roaming, LOCALAPPDATA: local } = env;
  if (!home || !roaming || !local) {
    throw new Problem(
      "home-missing",
      "USERPROFILE, APPDATA and LOCALAPPDATA are not set, as they are in every session; nothing " +
        "was done.",
    );
  }
  const { user: sid } = ownIdentity();
  const name = env.USERNAME ?? sid;
  return {
    uid: sid,
    paths: systemPaths({ os: "windows", env, ...(root === undefined ? {} : { root }) }),
    meeting: "folders",
    stateDir: userPaths({ os: "windows", home, env }).stateDir,
    // Beside the state folder, which comes and goes.
    claimResidence: () => holdFile(`${local}\\Device Trust user-agent.lock`) !== undefined,
    checkHome() {
      const profile = { name, sid, folders: [home, roaming, local] };
      return Promise.resolve().then(() => checkProfile(profile, new Registry()));
    },
    openStore: () => root === undefined ? openCertstore(USER_STORES) : openMemoryStore(MEMORY),
    removeCreated: (created) => Promise.resolve(removeEmptyFolders(created)),
    runningBrowsers: () => Promise.resolve(findRunningBrowsers()),
    async inspectStores() {
      const { inspectStores } = await import("./store_inspection.ts");
      return await inspectStores(USER_STORES);
    },
    async unservedBrowsers() {
      const { findUnservedBrowsers } = await import("./unserved_browsers.ts");
      return findUnservedBrowsers({ roaming, local }, isThere);
    },
    answerChallenge() {
      const nothing = { requested: false, caNames: [], candidates: [], serverVerified: false };
      return Promise.reject(
        new ChallengeFailed(
          "connect",
          "internal",
          "A browser's answer is not tried on Windows, whose keys this program's TLS cannot use: " +
            "open the portal in the browser",
          nothing,
        ),
      );
    },
  };
}

/** What lives as long as this process. */
const MEMORY = emptyMemoryStore();

/** Folders that we made and nobody uses; returns those that are gone now. */
function removeEmptyFolders(created: readonly CreatedPath[]): string[] {
  return created.toReversed().filter(({ path }) => {
    if (!isThere(path)) return false;
    try {
      rmdirSync(path);
    } catch {
      return false; // in use, or somebody's things are in it
    }
    return !isThere(path);
  }).map(({ path }) => path);
}
