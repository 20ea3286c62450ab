/** Why `security` would not do what it was asked, and what to do about it. */
import { Problem, type ProblemCode } from "../errors.ts";
import type { SecurityAnswer } from "./security_command.ts";

/** Exit statuses of `security`: the low eight bits of the OSStatus that is named beside. */
export const OK = 0;
/** errSecItemNotFound, -25300 */
export const ITEM_NOT_FOUND = 44;
/** errSecAuthFailed, -25293: not the password */
export const AUTH_FAILED = 51;
/** errSecNoSuchKeychain, -25294 */
export const NO_SUCH_KEYCHAIN = 50;
/** errSecInteractionNotAllowed, -25308: locked, or right after wake; it passes */
export const INTERACTION_NOT_ALLOWED = 36;

const INTERACTION_REQUIRED = 29; // errSecInteractionRequired, -25315
const USER_CANCELED = 128; // errSecUserCanceled, -128
const NO_DEFAULT_KEYCHAIN = 37; // errSecNoDefaultKeychain, -25307
const INVALID_KEYCHAIN = 49; // errSecInvalidKeychain, -25295
const DUPLICATE_ITEM = 45; // errSecDuplicateItem, -25299
const DISK_FULL = 222; // dskFulErr, -34

/**
 * The Problem behind a command that failed. What passes by itself (a locked keychain, the minutes
 * after wake, no login yet) waits and never counts as "lost".
 *
 * @param doing what was tried, as in "Cannot unlock the keychain"
 */
export function explainSecurity(doing: string, command: string, answer: SecurityAnswer): Problem {
  const [code, remedy] = remedyOf(answer.code);
  const reason = answer.stderr.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
  return new Problem(
    code,
    `${doing}: 'security ${command}' ended with ${answer.code}` +
      `${reason === "" ? "" : ` (${reason})`}. ${remedy}`,
  );
}

function remedyOf(code: number): [ProblemCode, string] {
  switch (code) {
    case INTERACTION_NOT_ALLOWED:
    case INTERACTION_REQUIRED:
    case USER_CANCELED:
    case AUTH_FAILED:
      return ["store-locked", LOGIN_KEYCHAIN_REMEDY];
    case NO_SUCH_KEYCHAIN:
    case NO_DEFAULT_KEYCHAIN:
      return ["not-logged-on", "Log in at the screen once, which makes the login keychain."];
    case INVALID_KEYCHAIN:
      return [
        "internal",
        "The file is damaged: open Keychain Access, delete this keychain there, and it is made anew.",
      ];
    case DUPLICATE_ITEM:
      return [
        "internal",
        "Something of that name is there that is not ours; rename or remove it in Keychain Access.",
      ];
    case DISK_FULL:
      return ["disk-full", "Free some space; it is tried again."];
    default:
      return ["internal", "It is tried again; if this stays, the macOS log tells more."];
  }
}

/** What opens a login keychain that stays locked. */
export const LOGIN_KEYCHAIN_REMEDY =
  "It is tried again; if this stays, log out and in, or unlock the login keychain in Keychain " +
  "Access (after an administrator changed the password: with the old one).";
