/** Codes that `status` shows in `lastError` (DESIGN section 7). */
export const PROBLEM_CODES = [
  "no-local-account",
  "system-account",
  "duplicate-binding",
  "not-logged-on",
  "home-missing",
  "shared-home",
  "store-locked",
  "store-password",
  "disk-full",
  "bundle-rejected",
  "server-refused",
  "unreachable",
  "clock",
  "internal",
] as const;

/** One of {@link PROBLEM_CODES}. */
export type ProblemCode = typeof PROBLEM_CODES[number];

/** Codes that pass by themselves: the work waits and is tried again, nothing is `failed`. */
const WAITING: ReadonlySet<ProblemCode> = new Set([
  "not-logged-on",
  "home-missing",
  "store-locked",
  "unreachable",
  "clock",
]);

/**
 * Something that kept one user's or the device's desired state from being reached. The message
 * says what was tried, why it did not work and what a person can do; it never holds a secret.
 */
export class Problem extends Error {
  override readonly name = "Problem";
  constructor(readonly code: ProblemCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
  /** Whether time alone may heal it. */
  get waiting(): boolean {
    return WAITING.has(this.code);
  }
}

/**
 * This program may not use a key that is there: its access was given to an earlier version of the
 * program, by code hash, and the key cannot be exported. The way on is a new key: a re-issue.
 */
export class KeyAccessLost extends Problem {
  constructor(label: string, options?: { cause?: unknown }) {
    super(
      "internal",
      `macOS does not let this version of the program use the key ${label}. A new certificate is ` +
        "asked for instead of a renewal.",
      options,
    );
  }
}

/** Any thrown value as a {@link Problem}; what is not one already becomes `internal`. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Problem("internal", message, { cause: error });
}
