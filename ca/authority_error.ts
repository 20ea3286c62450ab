/** Why an authority cannot be opened: another brand, or files that do not belong together. */
export class AuthorityError extends Error {
  override readonly name = "AuthorityError";
  constructor(
    readonly code: "brand" | "brand-mismatch" | "damaged",
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
