/** What a user-agent needs of a Linux: the account is the one that this process runs as. */
import { runCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { systemPaths, userPaths } from "../paths.ts";
import type { UserPlatform } from "../platform.ts";
import { checkHome } from "./accounts.ts";
import { fileSystemProbe, openNssdb, removeCreatedPaths } from "./nssdb.ts";
import { findRunningBrowsers } from "./running_browsers.ts";

/** The user-agent's platform. @throws Problem `home-missing` */
export function linuxUser(root: string | undefined): UserPlatform {
  const under = root === undefined ? {} : { root };
  const home = Deno.env.get("HOME");
  const ownUid = Deno.uid() ?? 0;
  // Under --root without root's rights, accounts are served by a uid that is not theirs.
  const uid = root === undefined ? ownUid : Number(Deno.env.get("DEVICE_TRUST_UID") ?? ownUid);
  if (!home?.startsWith("/")) {
    throw new Problem("home-missing", "HOME is not set to an absolute path; nothing was done.");
  }
  const xdgDataHome = Deno.env.get("XDG_DATA_HOME");
  const place = { home, ...(xdgDataHome?.startsWith("/") ? { xdgDataHome } : {}) };
  return {
    uid: String(uid),
    paths: systemPaths({ os: "linux", ...under }),
    meeting: "sockets",
    stateDir: userPaths({ os: "linux", home }).stateDir,
    checkHome: () =>
      checkHome(
        { name: Deno.env.get("USER") ?? "", uid: String(uid), home, runAs: "self" },
        { ...under, uid: ownUid, run: runCommand },
      ),
    openStore: (options) => openNssdb({ ...place, ...options }),
    removeCreated: (created) => removeCreatedPaths(created),
    runningBrowsers: () => Promise.resolve(findRunningBrowsers(ownUid)),
    async inspectStores(timeoutMs) {
      const { inspectStores } = await import("./nss_inspection.ts");
      return inspectStores({ ...place, uid: ownUid }, timeoutMs);
    },
    async unservedBrowsers() {
      const { findUnservedBrowsers } = await import("./unserved_browsers.ts");
      return findUnservedBrowsers(home, fileSystemProbe);
    },
    async answerChallenge(options) {
      const { challengeFromNss } = await import("./nss_handshake.ts");
      return await challengeFromNss(options);
    },
  };
}
