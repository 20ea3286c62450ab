/** The version of this program, from the one place where it is written. */
import config from "../deno.json" with { type: "json" };

/** As `--version` prints it and as the agent reports it. */
export const VERSION: string = config.version;
