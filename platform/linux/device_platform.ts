/** What the agent needs of a Linux. */
import type { Account } from "../accounts.ts";
import { runCommand } from "../command.ts";
import { readUserFile } from "../files.ts";
import { hashedMachineId } from "../machine_id.ts";
import { systemPaths } from "../paths.ts";
import type { DoctorPlatform, SelfProgram } from "../platform.ts";
import { makeRunFolders, makeStateFolder } from "../run_folders.ts";
import { lookUpAccount } from "./accounts.ts";
import { inspectFilters, removeFilters, touchFilters, writeFilters } from "./selection_filters.ts";
import { readSystemInfo } from "./system_info.ts";
import { systemdService } from "./systemd_service.ts";
import { canExecute, hasUserAgentUnit, startAsUser, startUserAgentUnit } from "./user_process.ts";

/** The agent's platform on this machine. */
export function linuxDevice(root: string | undefined): DoctorPlatform {
  const paths = systemPaths({ os: "linux", ...(root === undefined ? {} : { root }) });
  const uid = Deno.uid() ?? 0;
  const under = root === undefined ? {} : { root };
  const accounts = { ...under, uid, run: runCommand };
  return {
    ...under,
    os: "linux",
    paths,
    privileged: uid === 0,
    meeting: "sockets",
    async system() {
      const { hostname, osVersion, machineId } = readSystemInfo(root);
      const machine = machineId === undefined ? {} : { machine: await hashedMachineId(machineId) };
      return { os: "linux", hostname, osVersion, ...machine };
    },
    account: (username) => lookUpAccount(username, accounts),
    writeFilters: (desired, ledger) => writeFilters(desired, { ...ledger, ...under }),
    inspectFilters: (desired) => inspectFilters(desired, under),
    touchFilters: (desired) => touchFilters(desired, under),
    removeFilters: (brand, ledger) => removeFilters(brand, { ...ledger, ...under }),
    ...(root === undefined ? { service: systemdService({ run: runCommand }) } : {}),
    makeStateFolder: () => makeStateFolder(paths, root),
    makeRunFolders: (uid) => makeRunFolders(paths, root, uid),
    readUserFile,
    async startUserAgent(account, program, signal) {
      const world = { run: runCommand, ...under };
      const result = hasUserAgentUnit(world)
        ? await startUserAgentUnit(account, { signal }, world)
        : await startAsUser(
          await reachable(account, program, root),
          program.argv,
          { env: { ...program.env, ...accountOf(account, root) }, signal },
          world,
        );
      return { code: result.code, timedOut: result.timedOut, errors: result.stderrTail };
    },
    async runAsUser(account, program, timeoutMs) {
      const able = await reachable(account, program, root);
      const env = { ...program.env, ...accountOf(account, root) };
      return await startAsUser(
        able,
        program.argv,
        { env, timeoutMs },
        { run: runCommand, ...under },
      );
    },
    async hasCertificateLibrary() {
      const { isOnThisMachine, LIBNSS3 } = await import("./packages.ts");
      return isOnThisMachine(LIBNSS3);
    },
    async installedPatterns(brand) {
      const { installedPatterns } = await import("./installed_patterns.ts");
      return installedPatterns(brand, root);
    },
    async supportFacts() {
      const { gatherSupportFacts } = await import("./support_facts.ts");
      return await gatherSupportFacts({ root, paths });
    },
  };

  /**
   * Under `--root` this program may lie where the account cannot read it (run from source in
   * root's own home): then the caller's own rights serve it. An installed agent never does that.
   */
  async function reachable(
    account: Account,
    program: SelfProgram,
    root: string | undefined,
  ): Promise<Account> {
    if (root === undefined || account.runAs === "self") return account;
    const able = await canExecute(account, program.files, { run: runCommand, root });
    return able ? account : { ...account, runAs: "self" };
  }
}

/** Under `--root` a user-agent may run with a uid that is not its account's, so it is told. */
function accountOf(account: Account, root: string | undefined): Record<string, string> {
  return root === undefined ? {} : { DEVICE_TRUST_UID: account.uid };
}
