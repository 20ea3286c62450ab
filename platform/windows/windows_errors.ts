/** Failures of Windows' calls, as exceptions. */
import { Problem, type ProblemCode } from "../errors.ts";

/** Codes that callers tell apart, or that people can do something about (winerror.h). */
export const ERROR_FILE_NOT_FOUND = 0x2;
export const ERROR_NO_MORE_ITEMS = 0x103;
export const NTE_BAD_KEYSET = 0x80090016;
export const NTE_NO_KEY = 0x8009000d;
export const NTE_NOT_SUPPORTED = 0x80090029;
export const NTE_NO_MORE_ITEMS = 0x8009002a;

/** A call that did not do what it was asked. */
export class WindowsError extends Error {
  override readonly name = "WindowsError";
  /** @param code what the call returned, or GetLastError() after it */
  constructor(readonly call: string, readonly code: number) {
    super(`${call} failed: ${NAMES[code] ?? "code"} (0x${code.toString(16)})`);
  }
}

/**
 * The results of calls that return FALSE or nothing, and leave the reason in GetLastError(). The
 * runtime may have called Windows in between, so the reason is for people: what to do must not
 * depend on it, but in the legacy key provider, which has no other way to say that a key is absent.
 */
export class LastError {
  readonly #kernel32 = Deno.dlopen("kernel32.dll", {
    GetLastError: { parameters: [], result: "u32" },
  }).symbols;

  /** @throws WindowsError unless a BOOL is true, a handle or a pointer is there */
  check<Result>(call: string, result: Result): NonNullable<Result> {
    if (result === 0 || result === 0n || result === null || result === undefined) {
      throw this.failure(call);
    }
    return result;
  }

  /** Why the call just made failed. */
  failure(call: string): WindowsError {
    return new WindowsError(call, this.#kernel32.GetLastError());
  }
}

/** @throws WindowsError unless a SECURITY_STATUS, an NTSTATUS or a Win32 code says success */
export function checkStatus(call: string, status: number): void {
  if (status !== 0) throw new WindowsError(call, status >>> 0);
}

/** A failure as what it means for the user's store; what is no {@link WindowsError} stays. */
export function toStoreProblem(error: unknown, location: string): unknown {
  if (!(error instanceof WindowsError)) return error;
  const [code, words] = MEANINGS[error.code] ?? ["internal", undefined];
  const advice = words === undefined ? "" : ` ${words}`;
  return new Problem(code, `${location}: ${error.message}.${advice}`, { cause: error });
}

const NAMES: Readonly<Record<number, string>> = {
  0x2: "ERROR_FILE_NOT_FOUND",
  0x5: "ERROR_ACCESS_DENIED",
  0x20: "ERROR_SHARING_VIOLATION",
  0x21: "ERROR_LOCK_VIOLATION",
  0x27: "ERROR_HANDLE_DISK_FULL",
  0x57: "ERROR_INVALID_PARAMETER",
  0x70: "ERROR_DISK_FULL",
  0x80070005: "E_ACCESSDENIED",
  0x80070020: "ERROR_SHARING_VIOLATION",
  0x80070057: "E_INVALIDARG",
  0x80070070: "ERROR_DISK_FULL",
  0x8009000b: "NTE_BAD_KEY_STATE",
  0x8009000d: "NTE_NO_KEY",
  0x8009000f: "NTE_EXISTS",
  0x80090010: "NTE_PERM",
  0x80090016: "NTE_BAD_KEYSET",
  0x80090022: "NTE_SILENT_CONTEXT",
  0x80090024: "NTE_TEMPORARY_PROFILE",
  0x80090029: "NTE_NOT_SUPPORTED",
  0x80090030: "NTE_DEVICE_NOT_READY",
  0x80092004: "CRYPT_E_NOT_FOUND",
};

const DENIED = [
  "internal",
  "This account may not write there: a policy or an access list forbids it. An administrator has " +
  "to allow it.",
] as const;
const HELD = ["store-locked", "Another program holds it; it is tried again later."] as const;
const FULL = ["disk-full", "Make room on the disk."] as const;

const MEANINGS: Readonly<Record<number, readonly [ProblemCode, string]>> = {
  0x5: DENIED,
  0x80070005: DENIED,
  0x80090010: DENIED,
  0x20: HELD,
  0x21: HELD,
  0x80070020: HELD,
  0x27: FULL,
  0x70: FULL,
  0x80070070: FULL,
  0x80090022: [
    "store-password",
    "Windows wants to ask the user before this key is used. The policy 'System cryptography: " +
    "Force strong key protection' has to allow keys that are used without asking.",
  ],
  0x80090024: [
    "internal",
    "Windows signed this user on with a temporary profile, which keeps no keys: repair the " +
    "user's profile, then sign on again.",
  ],
};
