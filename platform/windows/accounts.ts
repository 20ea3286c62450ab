/** Accounts on Windows: local ones, a domain's and Entra's, as its security authority knows them. */
import { win32 } from "node:path";
import type { Account } from "../accounts.ts";
import { expandPath, judgeAccount, judgeProfile } from "./account_rules.ts";
import type { Registry } from "./registry.ts";
import { findAccount } from "./security.ts";
import { toStoreProblem } from "./windows_errors.ts";
import { dword, wide } from "./windows_memory.ts";

/**
 * Finds the account of this name: `NAME`, `DOMAIN\NAME`, `AzureAD\NAME@DOMAIN`, as Windows itself
 * understands it. Its home is "" until its first sign-on here.
 *
 * @throws Problem `no-local-account`, `system-account`; `internal` when Windows cannot be asked
 */
export function lookUpAccount(name: string, registry: Registry): Account {
  // deno-lint-ignore no-control-regex
  const askable = /^[^\0-\x1f\x7f/:]+$/.test(name);
  try {
    const { sid } = judgeAccount(name, askable ? findAccount(name) : undefined);
    return { name, uid: sid, home: profileFolder(sid, registry), runAs: "session" };
  } catch (error) {
    throw toStoreProblem(error, `Cannot look up the account '${name}'`);
  }
}

/**
 * Checks the profile that this process runs with, changing nothing.
 *
 * @throws Problem `home-missing`, `shared-home`
 */
export function checkProfile(
  { name, sid, folders }: { name: string; sid: string; folders: readonly string[] },
  registry: Registry,
): void {
  judgeProfile(name, {
    kind: profileType(),
    central: registry.value(profileKey(sid), "CentralProfile")?.text ?? "",
    folders: folders.map((path) => ({ path, isRemote: isRemote(path), exists: isFolder(path) })),
  });
}

function profileFolder(sid: string, registry: Registry): string {
  const path = registry.value(profileKey(sid), "ProfileImagePath")?.text ?? "";
  return expandPath(path, Deno.env.toObject());
}

function profileKey(sid: string) {
  return `HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\${sid}` as const;
}

const DRIVE_REMOTE = 4;

function isRemote(path: string): boolean {
  const kernel32 = Deno.dlopen("kernel32.dll", {
    GetDriveTypeW: { parameters: ["buffer"], result: "u32" },
  });
  const type = kernel32.symbols.GetDriveTypeW(wide(win32.parse(path).root));
  kernel32.close();
  return type === DRIVE_REMOTE;
}

/** 0, an ordinary profile, where Windows does not say. */
function profileType(): number {
  const userenv = Deno.dlopen("userenv.dll", {
    GetProfileType: { parameters: ["buffer"], result: "i32" },
  });
  const flags = dword();
  const known = userenv.symbols.GetProfileType(flags) !== 0;
  userenv.close();
  return known ? flags[0] ?? 0 : 0;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false; // not there, or not for this account
  }
}
