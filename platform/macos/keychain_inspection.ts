/** What `doctor` sees of a user's keychain: it is read, and neither opened nor made. */
import { basename } from "node:path";
import { Problem, toProblem } from "../errors.ts";
import type { InspectedStore } from "../findings.ts";
import { readKeychain } from "./keychain_contents.ts";
import { SecurityTool, type SecurityWorld } from "./security_command.ts";
import type { SecurityFramework } from "./security_framework.ts";

const NAME = /^[a-z0-9]{1,32}-device-trust-keychain(-db)?$/;

/** Every keychain of our kind in the home, whatever its brand; one that is not there without any. */
export async function inspectKeychains(
  world: SecurityWorld & { framework: () => Pick<SecurityFramework, "isLocked"> },
): Promise<InspectedStore[]> {
  const folder = `${world.home}/Library/Keychains`;
  const paths = [
    ...new Set(namesIn(folder).map((name) => `${folder}/${name.replace(/-db$/, "")}`)),
  ];
  if (paths.length === 0) {
    const path = `${folder}/*-device-trust-keychain`;
    return [{ path, usedBy: USED_BY, exists: false, certificates: [] }];
  }
  return await Promise.all(paths.map((path) => inspect(path, world)));
}

const USED_BY = "Safari and Chromium browsers";

async function inspect(
  path: string,
  world: SecurityWorld & { framework: () => Pick<SecurityFramework, "isLocked"> },
): Promise<InspectedStore> {
  const store = { path, usedBy: USED_BY, exists: true };
  try {
    const { certificates, privateKeys } = await readKeychain(new SecurityTool(world), path);
    const found = certificates.filter(({ removesKey }) => !removesKey).map((
      { der, sha256, key },
    ) => ({
      der: new Uint8Array(der),
      sha256,
      hasKey: key !== undefined && privateKeys.has(key.label),
      // Nothing here changes trust settings, and only people at a dialog can.
      trusted: false,
    }));
    const locked = world.framework().isLocked(path);
    return { ...store, certificates: found, ...(locked ? { problem: lockedProblem(path) } : {}) };
  } catch (error) {
    return { ...store, certificates: [], problem: toProblem(error) };
  }
}

function lockedProblem(path: string): Problem {
  return new Problem(
    "store-locked",
    `The keychain ${basename(path)} is locked, so browsers would ask for its password. The ` +
      "user-agent opens it at its next run; its password: device-trust keychain-password",
  );
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => NAME.test(name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
