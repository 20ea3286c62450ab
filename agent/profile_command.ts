/** `profile`: a configuration profile for macOS, of what this device's server wants. */
import { configurationProfile } from "../platform/macos/configuration_profile.ts";
import { devicePlatform } from "../platform/platform.ts";
import { Problem } from "../platform/errors.ts";
import { parseDesiredState } from "./desired.ts";
import { EXIT } from "./exit.ts";
import type { Output } from "./output.ts";
import { State } from "./state.ts";
import { readable } from "./status.ts";

/**
 * Writes it to a file that is not there yet: it is the same for every Mac of the organisation, so it
 * can be made on any enrolled device. 0 done, 3 not enrolled. @throws Problem
 */
export async function profileCommand(
  root: string | undefined,
  file: string,
  output: Output,
): Promise<number> {
  const { paths } = await devicePlatform(root);
  const path = `${paths.stateDir}/state.db`;
  const there = readable(path);
  if (there === "denied") {
    throw new Problem("internal", "Only root may read what the server wants: run it with sudo.");
  }
  const body = there === "absent" ? undefined : desiredBody(path);
  if (body === undefined) {
    output.err("This device has not heard its agent server yet: enrol it first.\n");
    return EXIT.notEnrolled;
  }
  const { brand, selection } = parseDesiredState(JSON.parse(body));
  const profile = configurationProfile({ brand, patterns: selection.patterns });
  try {
    await Deno.writeTextFile(file, profile, { createNew: true });
    // It is for whoever feeds the MDM, not for root alone.
    if (Deno.build.os !== "windows") await Deno.chmod(file, 0o644);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new Problem("internal", `${file} is there already: name another file, or move it away.`);
  }
  output.out(`Profile: ${file}\n`);
  return EXIT.done;
}

function desiredBody(path: string): string | undefined {
  const state = new State(path, Date.now);
  try {
    return state.desired()?.body;
  } finally {
    state.close();
  }
}
