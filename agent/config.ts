/** `config.json`: what an administrator's deployment tool may set. */
import { z } from "zod";
import { readRegularFile } from "../platform/files.ts";
import { LOG_LEVELS } from "./log.ts";

/** The file's shape; unknown keys are errors, so that a typing mistake is not silently nothing. */
export const Config = z.strictObject({
  server: z.string().optional().describe("URL of the agent server, https://."),
  serverCa: z.string().optional().describe(
    "PEM file of the authority that signs the agent server's TLS certificate; no other counts.",
  ),
  connectKeyFile: z.string().optional().describe("File that holds a connect key, 0600."),
  proxy: z.string().optional().describe("URL of the HTTP proxy to the agent server."),
  caStore: z.enum(["builtin", "system"]).optional().describe(
    "Authorities that count when serverCa is absent: those built in, or the system's.",
  ),
  logLevel: z.enum(LOG_LEVELS).optional().describe("Least level that is logged; default info."),
});
export type Config = z.infer<typeof Config>;

/** The configuration cannot be used; the message names the key and the choices. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads the configuration; without a file it is empty. @throws ConfigError */
export function readConfig(path: string): Config {
  const bytes = readRegularFile(path, 64 * 1024);
  if (!bytes) return {};
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ConfigError(`Cannot use '${path}': it is not JSON (${jsonFault(cause)}).`);
  }
  const parsed = Config.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues
    .map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`).join("; ");
  throw new ConfigError(`Cannot use '${path}': ${issues}. Keys: ${keys}.`);
}

/** What is wrong, and where, without what the engine quotes of the file: that may be a password. */
function jsonFault(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/,? *(\.\.\.)?".*is not valid JSON$/s, "");
}

const keys = Object.keys(Config.shape).join(", ");
