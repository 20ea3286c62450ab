/**
 * The separate keychain itself: where it is, whose it is, made, opened, kept in the user's search
 * list and from locking by itself, and taken away.
 */
import { BRAND_PATTERN } from "../../ca/names.ts";
import { Problem } from "../errors.ts";
import type { CreatedPath } from "../trust_store.ts";
import type { RandomBytes } from "./encrypted_key.ts";
import { pathsIn, readItems } from "./keychain_contents.ts";
import { KeychainPassword } from "./keychain_password.ts";
import { LOGIN_KEYCHAIN_REMEDY, NO_SUCH_KEYCHAIN, OK } from "./keychain_trouble.ts";
import { SecurityTool, type SecurityWorld } from "./security_command.ts";
import { SECURITY } from "./security_commands.ts";
import type { SecurityFramework } from "./security_framework.ts";

/** Where a keychain's password is, and what reading it needs. */
export interface PasswordPlace extends SecurityWorld {
  brand: string;
  random: RandomBytes;
  framework: Pick<SecurityFramework, "isLocked">;
}

/** Which keychain, and what working with it needs. */
export interface KeychainPlace extends PasswordPlace {
  /** What the ledger says was made: a keychain of our name that is not in it is not ours. */
  created: readonly CreatedPath[];
  /** Called before the keychain is made; when it throws, it is not made. */
  recordPath: (created: CreatedPath) => void;
}

/** A keychain that is open. */
export interface OpenKeychainFile {
  path: string;
  password: string;
  passwords: KeychainPassword;
}

/** Where the keychain is; its file has `-db` behind. */
export function keychainPath(home: string, brand: string): string {
  if (!BRAND_PATTERN.test(brand)) throw new Problem("internal", `'${brand}' is no brand.`);
  return `${home}/Library/Keychains/${brand.toLowerCase()}-device-trust-keychain`;
}

/**
 * Opens the keychain. One of ours that none of the stored passwords opens is of no use to anybody:
 * its place is made free.
 *
 * @returns undefined when there is none, and `create` is false
 * @throws Problem `not-logged-on`, `store-locked`: wait, nothing was changed; `internal` when
 * somebody else's keychain has our name
 */
export async function openKeychainFile(
  tool: SecurityTool,
  place: KeychainPlace,
  create: boolean,
): Promise<OpenKeychainFile | undefined> {
  const path = keychainPath(place.home, place.brand);
  if (!create && !isThere(path)) return undefined;
  const passwords = await passwordsOf(tool, place);
  if (isThere(path)) {
    const password = await passwords.unlock(path);
    if (password !== undefined) {
      // The items are ours, so it is, even when the ledger was lost.
      record(place, path);
      return { path, password, passwords };
    }
    if (!isRecorded(place, path)) throw foreignKeychain(path);
    await deleteKeychain(tool, path);
  }
  if (!create) return undefined;
  record(place, path);
  const password = await passwords.create(async (password) => {
    await tool.do(SECURITY.createKeychain(path, password), `Cannot make the keychain ${path}`);
  });
  return { path, password, passwords };
}

/** The passwords in the login keychain. @throws Problem `not-logged-on`, `store-locked` */
export async function passwordsOf(
  tool: SecurityTool,
  place: PasswordPlace,
): Promise<KeychainPassword> {
  const login = await loginKeychain(tool, place);
  return new KeychainPassword(tool, { ...place, login });
}

/**
 * Sees that the keychain is in the user's search list, where browsers look, and that it does not
 * lock by itself. All other entries keep their places.
 */
export async function keepInUse(
  tool: SecurityTool,
  place: KeychainPlace,
  path: string,
): Promise<void> {
  await tool.do(SECURITY.neverLock(path), `Cannot keep ${path} from locking`);
  const before = await searchList(tool);
  const found = before.filter((entry) => withoutSuffix(entry) !== path);
  if (found.length > 0 && found.length < before.length) return;
  // A list that was never set stands for the login keychain; ours alone would end that.
  const others = found.length > 0 ? found : [await loginKeychain(tool, place)];
  const doing = "Cannot add to the keychain search list";
  await tool.do(SECURITY.setSearchList([...others, path]), doing);
  const after = await searchList(tool);
  if (!includes(after, path) || others.some((other, index) => after[index] !== other)) {
    throw new Problem("internal", `${doing}: it is another one when read back. Try again.`);
  }
}

/**
 * Removes the keychain and its password items when they are ours and the keychain is empty; reads
 * back. Absent is success. What somebody keeps in it stays, and with it the password that opens it.
 *
 * @returns what went, for the receipt
 */
export async function removeKeychain(tool: SecurityTool, place: KeychainPlace): Promise<string[]> {
  const path = keychainPath(place.home, place.brand);
  if (!isRecorded(place, path)) return [];
  if (isThere(path)) {
    const { items } = await readItems(tool, path);
    if (items > 0) return [];
    await deleteKeychain(tool, path);
  }
  const passwords = await passwordsOf(tool, place);
  await passwords.remove();
  return [path];
}

async function deleteKeychain(tool: SecurityTool, path: string): Promise<void> {
  const doing = `Cannot remove the keychain ${path}`;
  const answer = await tool.attempt(SECURITY.deleteKeychain(path));
  const gone = !isThere(path) && !includes(await searchList(tool), path);
  if (gone && (answer.code === OK || answer.code === NO_SUCH_KEYCHAIN)) return;
  const reason = answer.stderr.trim().split("\n").at(-1);
  throw new Problem("internal", `${doing}: it is there when looked for again (${reason}).`);
}

async function loginKeychain(
  tool: SecurityTool,
  { framework }: PasswordPlace,
): Promise<string> {
  const { code, stdout } = await tool.attempt(SECURITY.loginKeychain());
  const [path] = pathsIn(stdout);
  if (code !== OK || path === undefined || !isThere(withoutSuffix(path))) {
    throw new Problem(
      "not-logged-on",
      "This user has no login keychain yet. It is made at the first login at the screen; then " +
        "it goes on by itself.",
    );
  }
  if (framework.isLocked(path)) {
    throw new Problem("store-locked", `The login keychain is locked. ${LOGIN_KEYCHAIN_REMEDY}`);
  }
  return path;
}

async function searchList(tool: SecurityTool): Promise<string[]> {
  return pathsIn(await tool.do(SECURITY.searchList(), "Cannot read the keychain search list"));
}

function record(place: KeychainPlace, path: string): void {
  if (!isRecorded(place, path)) place.recordPath({ path, kind: "database" });
}

function isRecorded({ created }: KeychainPlace, path: string): boolean {
  return created.some((thing) => thing.path === path);
}

function includes(list: readonly string[], path: string): boolean {
  return list.some((entry) => withoutSuffix(entry) === path);
}

/** `security` names a keychain with or without what macOS puts behind its file's name. */
function withoutSuffix(path: string): string {
  return path.replace(/-db$/, "");
}

function isThere(path: string): boolean {
  return [`${path}-db`, path].some((file) => {
    try {
      return Deno.lstatSync(file).isFile;
    } catch {
      return false;
    }
  });
}

function foreignKeychain(path: string): Problem {
  return new Problem(
    "internal",
    `There is a keychain ${path} that this program did not make and cannot open. It is left ` +
      "alone. Rename or remove it in Keychain Access, and ours is made.",
  );
}
