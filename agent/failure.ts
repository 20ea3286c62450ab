/** Errors as people read them. */
import { Problem } from "../platform/errors.ts";

/** A command was called in a way that it cannot be. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Whether an error is about how the command was called. */
export function isUsage(error: unknown): boolean {
  return error instanceof UsageError;
}

/** What went wrong and why, a line each; the stack only of what nobody foresaw. */
export function failureText(error: unknown): string {
  if (!(error instanceof Error)) return `device-trust: ${String(error)}\n`;
  const foreseen = error instanceof Problem || error.name !== "Error" && error.name !== "TypeError";
  if (!foreseen) return `device-trust: ${error.stack ?? error.message}\n`;
  return `device-trust: ${error.message}\n${causes(error.cause)}`;
}

function causes(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  return `  because: ${cause.message}\n${causes(cause.cause)}`;
}
