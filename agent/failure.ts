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
  if (!foreseen && !isOfTheSystem(error)) {
    return `device-trust: ${error.stack ?? error.message}\n`;
  }
  return `device-trust: ${error.message}\n${causes(error.cause, error.message)}`;
}

/** Whether the system said no: a port that is taken, a full disk, a folder of somebody else's. */
function isOfTheSystem(error: Error): boolean {
  return "code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code);
}

/** The causes that `told` does not tell already. */
function causes(cause: unknown, told: string): string {
  if (!(cause instanceof Error)) return "";
  const { message } = cause;
  // What `fetch` says of every failure; why it failed is its cause.
  const tells = message !== "fetch failed" && !told.includes(message);
  return (tells ? `  because: ${message}\n` : "") + causes(cause.cause, `${told}\n${message}`);
}
