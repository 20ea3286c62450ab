/** Agent and user-agent as units of this machine's systemd, where no package has brought them. */
import fs from "node:fs";
import { dirname, join } from "node:path";
import type { RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { checkRootOwnedDir, ensureRootOwnedDir, writeFileAtomic } from "../files.ts";
import type { ServiceStatus, SystemService } from "../platform.ts";
import { isThere } from "../presence.ts";
import {
  AGENT_UNIT,
  agentUnit,
  POLICY_FOLDERS,
  USER_AGENT_TEMPLATE,
  userAgentUnit,
} from "./service.ts";

/** What installing depends on. */
export interface ServiceWorld {
  run: RunCommand;
}

/** The service of this machine. */
export function systemdService(world: ServiceWorld): SystemService {
  const systemctl = async (...args: string[]) =>
    await world.run({
      argv: ["/usr/bin/systemctl", "--no-ask-password", ...args],
      env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" },
      timeoutMs: PATIENCE_MS,
    });
  const must = async (...args: string[]) => {
    const { code, stderrTail } = await systemctl(...args);
    if (code === 0) return;
    throw new Problem("internal", `Cannot ${args.join(" ")}: systemctl says ${stderrTail.trim()}`);
  };
  return {
    async install(binary) {
      refuseWithoutSystemd();
      refuseBesidePackage();
      refuseReplaceable(binary);
      // Before they are made: whatever interrupts this, uninstalling finds them.
      const made = new Set([...madeFolders(), ...missingPolicyFolders()]);
      write(
        AGENT_UNIT,
        `${agentUnit(binary)}${[...made].map((path) => MADE + path + "\n").join("")}`,
      );
      write(USER_AGENT_TEMPLATE, userAgentUnit(binary));
      for (const folder of POLICY_FOLDERS) ensureRootOwnedDir(folder, { mode: 0o755 });
      await must("daemon-reload");
      await must("enable", AGENT_UNIT);
      await must("restart", AGENT_UNIT);
    },
    async uninstall() {
      if (!isThere(unitFile(AGENT_UNIT)) && !isThere(unitFile(USER_AGENT_TEMPLATE))) return;
      const made = madeFolders();
      if (isThere(unitFile(AGENT_UNIT))) await must("disable", "--now", AGENT_UNIT);
      fs.rmSync(unitFile(USER_AGENT_TEMPLATE), { force: true });
      for (const path of made.toSorted((a, b) => b.length - a.length)) removeIfEmpty(path);
      // Last, for it says what else there was.
      fs.rmSync(unitFile(AGENT_UNIT), { force: true });
      await must("daemon-reload");
    },
    async status() {
      return [
        await statusOf(AGENT_UNIT),
        // It runs for moments, when there is something to do.
        { name: USER_AGENT_TEMPLATE, installed: isInstalled(USER_AGENT_TEMPLATE) },
      ];
    },
  };

  async function statusOf(name: string): Promise<ServiceStatus> {
    if (!isInstalled(name)) return { name, installed: false };
    return { name, installed: true, running: (await systemctl("is-active", name)).code === 0 };
  }
}

const PATIENCE_MS = 30_000;
/** Where administrators put units, and where packages do (systemd.unit(5)). */
const [OWN_UNITS, PACKAGE_UNITS] = ["/etc/systemd/system", "/usr/lib/systemd/system"] as const;
/** Before the path of each folder that was made for the unit: systemd takes it for a comment. */
const MADE = "# Made for it, to go with it: ";

function refuseWithoutSystemd(): void {
  if (isThere("/run/systemd/system")) return;
  throw new Problem(
    "internal",
    "systemd does not run here: have your own supervisor run 'device-trust agent' as root, and " +
      "start it again when it ends",
  );
}

function refuseBesidePackage(): void {
  if (!isThere(join(PACKAGE_UNITS, AGENT_UNIT))) return;
  throw new Problem(
    "internal",
    `A package has installed the service: systemctl enable --now ${AGENT_UNIT}`,
  );
}

/** Where only root can change what runs as root, and everybody can run it. @throws Problem */
function refuseReplaceable(binary: string): void {
  checkRootOwnedDir(dirname(binary));
  const info = fs.lstatSync(binary);
  if (info.isFile() && info.uid === 0 && (info.mode & 0o022) === 0 && (info.mode & 0o005) === 5) {
    return;
  }
  throw new Problem(
    "internal",
    `${binary} must be a file of root's that others can run and not change: install -o root -g ` +
      `root -m 0755 ${binary} /usr/local/bin/device-trust`,
  );
}

function unitFile(name: string): string {
  return join(OWN_UNITS, name);
}

function isInstalled(name: string): boolean {
  return [OWN_UNITS, PACKAGE_UNITS].some((folder) => isThere(join(folder, name)));
}

function write(unit: string, text: string): void {
  writeFileAtomic(unitFile(unit), new TextEncoder().encode(text), { mode: 0o644 });
}

/** What earlier installations made. */
function madeFolders(): string[] {
  if (!isThere(unitFile(AGENT_UNIT))) return [];
  return fs.readFileSync(unitFile(AGENT_UNIT), "utf8").split("\n")
    .filter((line) => line.startsWith(MADE)).map((line) => line.slice(MADE.length));
}

function missingPolicyFolders(): string[] {
  return POLICY_FOLDERS.flatMap((folder) => {
    const missing: string[] = [];
    for (let at = folder; !isThere(at); at = dirname(at)) missing.push(at);
    return missing;
  });
}

/** Others may use it by now, or have taken it away. */
function removeIfEmpty(path: string): void {
  if (isThere(path) && fs.readdirSync(path).length === 0) fs.rmdirSync(path);
}
