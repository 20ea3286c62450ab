/** `doctor`: gathers, judges, prints, and packs a support bundle where one is wanted. */
import { devicePlatform } from "../platform/platform.ts";
import { doctorChecks, doctorExitCode, doctorText } from "./doctor.ts";
import type { Check } from "./doctor_check.ts";
import { gatherFacts } from "./doctor_facts.ts";
import type { Output } from "./output.ts";
import { selfProgram } from "./self_program.ts";
import { jsonText } from "./text_lines.ts";

/** What to do with what was found. */
export interface DoctorOptions {
  json: boolean;
  /** A file that is not there yet, absolute. */
  bundle: string | undefined;
}

/**
 * 0 every link holds, 3 not enrolled, 4 something needs attention. Progress goes to a terminal.
 *
 * @throws Problem when the bundle cannot be written, or the device's state cannot be read: then
 * the bundle is written all the same
 */
export async function doctorCommand(
  root: string | undefined,
  { json, bundle }: DoctorOptions,
  output: Output,
): Promise<number> {
  const isTerminal = Deno.stderr.isTerminal();
  const platform = await devicePlatform(root);
  const gather = async () =>
    doctorChecks(
      await gatherFacts({
        platform,
        program: selfProgram(root),
        now: Date.now,
        fresh: () => crypto.getRandomValues(new Uint8Array(16)).toHex(),
        progress: (what) => isTerminal && output.err(`looking at ${what} ...\n`),
      }),
    );
  const checks = bundle === undefined ? await gather() : await gatherInto(bundle);
  output.out(json ? jsonText({ checks }) : doctorText(checks));
  return doctorExitCode(checks);

  async function gatherInto(path: string): Promise<Check[]> {
    const { refuseExisting, writeSupportBundle } = await import("./support_bundle.ts");
    refuseExisting(path);
    const command = root === undefined ? "device-trust" : `device-trust --root ${root}`;
    const checks = gather();
    await writeSupportBundle(path, { platform, now: Date.now, command, checks });
    output.err(`Support bundle: ${path}\n`);
    return await checks;
  }
}
