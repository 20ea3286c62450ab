/** The program as it is installed: at its own path, for every user to read and run. */
import { fileURLToPath } from "node:url";
import { execute } from "./private_root.ts";
import type { Program } from "./product.ts";

/**
 * Installs the program in a story's private root. The one binary cannot be compiled everywhere, so
 * it is this very Deno with the whole program in one file.
 */
export async function installProgram(): Promise<Program> {
  await Deno.mkdir(FOLDER);
  await Deno.mkdir(`${FOLDER}/cache`);
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  await execute(Deno.execPath(), "bundle", "--quiet", "--output", `${FOLDER}/main.js`, main);
  await Deno.create(INSTALLED_DENO).then((file) => file.close());
  await execute("mount", "--bind", Deno.execPath(), INSTALLED_DENO);
  const binary = "/usr/local/bin/device-trust";
  await Deno.writeTextFile(binary, LAUNCHER, { mode: 0o755 });
  return [binary];
}

const FOLDER = "/usr/local/lib/device-trust";

/** The Deno that runs it, for other programs that a story's users run. */
export const INSTALLED_DENO = `${FOLDER}/deno`;

const LAUNCHER = `#!/bin/sh
export DENO_DIR=${FOLDER}/cache DENO_NO_UPDATE_CHECK=1
exec ${INSTALLED_DENO} run -A --quiet --no-prompt --cached-only ${FOLDER}/main.js "$@"
`;
