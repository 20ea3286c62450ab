/** `config`: whether the configuration can be used, and what it comes to. */
import { readRegularFile } from "../platform/files.ts";
import { devicePlatform } from "../platform/platform.ts";
import { type Config, parseConfig, shownConfig } from "./config.ts";
import { EXIT } from "./exit.ts";
import { UsageError } from "./failure.ts";
import type { Output } from "./output.ts";
import { jsonText } from "./text_lines.ts";

/** What counts where the file says nothing. */
const DEFAULTS = { caStore: "builtin", logLevel: "info" } as const satisfies Config;

/**
 * `show`: what counts, as JSON, without a proxy's password; `check`: whether the file can be used.
 * Of the device's own file, or of one that is to be rolled out.
 *
 * @throws ConfigError with line, key and choices; UsageError for a file that is not there
 */
export async function configCommand(
  root: string | undefined,
  action: "show" | "check",
  file: string | undefined,
  output: Output,
): Promise<number> {
  const path = file ?? (await devicePlatform(root)).paths.configFile;
  const bytes = readRegularFile(path, 64 * 1024);
  // The device's own is not needed.
  if (!bytes && (file !== undefined || action === "check")) {
    throw new UsageError(`There is no file '${path}'.`);
  }
  const config = bytes ? parseConfig(bytes, path) : {};
  if (action === "show") output.out(jsonText({ ...DEFAULTS, ...shownConfig(config) }));
  else output.out(`${path} can be used.\n`);
  return EXIT.done;
}
