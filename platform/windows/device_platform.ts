/** What the agent needs of a Windows. */
import { runCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { systemPaths } from "../paths.ts";
import type { DoctorPlatform } from "../platform.ts";
import { lookUpAccount } from "./accounts.ts";
import { type CertstoreStores, MACHINE_STORES, openCertstore } from "./certstore.ts";
import { readSecurity, readUserFile } from "./folders.ts";
import { refreshPolicies } from "./policy_refresh.ts";
import { Registry } from "./registry.ts";
import {
  makeFoldersUnderRoot,
  makeLogFolder,
  makeRunFolders,
  makeStateFolder,
} from "./run_folders.ts";
import { ownIdentity } from "./security.ts";
import { taskService } from "./service.ts";
import {
  inspectFilters,
  installedPatterns,
  removeFilters,
  touchFilters,
  writeFilters,
} from "./selection_filters.ts";
import { readSystemInfo } from "./system_info.ts";

/**
 * The agent's platform on this machine. Under a root it has no filters and no store of the device,
 * for these cannot be moved.
 *
 * @param stores where the device's root goes
 */
export function windowsDevice(
  root: string | undefined,
  stores: CertstoreStores = MACHINE_STORES,
): DoctorPlatform {
  const env = Deno.env.toObject();
  const paths = systemPaths({ os: "windows", env, ...(root === undefined ? {} : { root }) });
  const registry = new Registry();
  const filters = { registry, announce: refreshPolicies };
  const identity = ownIdentity();
  const ofThisComputer = {
    openDeviceStore: () => openCertstore(stores),
    makeLogFolder() {
      makeLogFolder(paths);
      return paths.logDir;
    },
    service: taskService({
      run: runCommand,
      windows: env.SystemRoot ?? "C:\\Windows",
      stateDir: paths.stateDir,
      security: readSecurity,
    }),
  };
  return {
    ...(root === undefined ? ofThisComputer : { root }),
    os: "windows",
    paths,
    privileged: identity.isElevated && root === undefined,
    meeting: "folders",
    system() {
      const { machine, ...facts } = readSystemInfo(registry);
      // A device under a root is none of this computer's.
      return Promise.resolve(root === undefined && machine ? { ...facts, machine } : facts);
    },
    account(username) {
      return Promise.resolve().then(() => lookUpAccount(username, registry));
    },
    writeFilters(desired, ledger) {
      return root === undefined ? writeFilters(desired, ledger, filters) : [];
    },
    inspectFilters: (desired) => root === undefined ? inspectFilters(desired, filters) : [],
    touchFilters: (desired) => root === undefined ? touchFilters(desired, filters) : [],
    removeFilters(_brand, ledger) {
      if (root === undefined) return removeFilters(ledger, filters);
      return { removed: [], removedDirectories: [], left: [] };
    },
    makeStateFolder() {
      if (root === undefined) makeStateFolder(paths);
      else makeFoldersUnderRoot(paths);
    },
    makeRunFolders(sid) {
      if (root === undefined) makeRunFolders(paths, sid);
      else makeFoldersUnderRoot(paths, sid);
    },
    readUserFile,
    // It lives in its user's session, and is told by its channel.
    startUserAgent: () => Promise.resolve(undefined),
    async runAsUser(account, program, timeoutMs) {
      if (account.uid !== identity.user) {
        throw new Problem(
          "not-logged-on",
          `Nobody but '${account.name}' can look at what is theirs: have '${account.name}' run ` +
            "device-trust doctor",
        );
      }
      const own = { ...env, ...program.env };
      return await runCommand({ argv: program.argv, env: own, timeoutMs });
    },
    hasCertificateLibrary: () => Promise.resolve(true),
    installedPatterns: () => Promise.resolve(installedPatterns(registry)),
    async supportFacts() {
      const { gatherSupportFacts } = await import("./support_facts.ts");
      return gatherSupportFacts(registry, paths);
    },
  };
}
