/** `config.json`: what an administrator's deployment tool may set. */
import { z } from "zod";
import { readRegularFile } from "../platform/files.ts";
import { LOG_LEVELS } from "./log.ts";
import { withoutUserInfo } from "./redaction.ts";

/** The file's shape; unknown keys are errors, so that a typing mistake is not silently nothing. */
export const Config = z.strictObject({
  $schema: z.string().optional().describe("Where editors find this schema; of no other use."),
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
  return bytes ? parseConfig(bytes, path) : {};
}

/** The configuration that these bytes are. @param path for messages @throws ConfigError */
export function parseConfig(bytes: Uint8Array, path: string): Config {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`Cannot use '${path}': it is not JSON (${jsonFault(cause)}).`);
  }
  const parsed = Config.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => {
    const { path: [key], message } = issue;
    const [about] = issue.code === "unrecognized_keys" ? issue.keys : [key];
    // Keys that nobody knows are named in the message itself.
    const what = about === undefined ? "the file: " : key === undefined ? "" : `${String(key)}: `;
    return `${lineOf(text, about)}${what}${message}`;
  });
  throw new ConfigError(`Cannot use '${path}': ${issues.join("; ")}. Keys: ${keys}.`);
}

/** The configuration for others' eyes: of a proxy's URL the user and the password are left out. */
export function shownConfig(config: Config): Config {
  return { ...config, ...(config.proxy ? { proxy: withoutUserInfo(config.proxy) } : {}) };
}

/** Its JSON Schema (2020-12), for editors and for who generates the file. */
export function configSchema(): Record<string, unknown> {
  return { title: "config.json of device-trust", ...z.toJSONSchema(Config) };
}

/** Where a key stands in the text, as people count; "" for the whole file. */
function lineOf(text: string, key: PropertyKey | undefined): string {
  if (key === undefined) return "";
  const at = text.search(new RegExp(`"${RegExp.escape(String(key))}"\\s*:`));
  return at < 0 ? "" : `line ${text.slice(0, at).split("\n").length}: `;
}

/** What is wrong, and where, without what the engine quotes of the file: that may be a password. */
function jsonFault(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/,? *(\.\.\.)?".*is not valid JSON$/s, "");
}

const keys = Object.keys(Config.shape).filter((key) => key !== "$schema").join(", ");
