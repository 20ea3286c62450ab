/** `doctor`: gathers, judges, prints. */
import { devicePlatform } from "../platform/platform.ts";
import type { Output } from "./commands.ts";
import { doctorChecks, doctorExitCode, doctorText } from "./doctor.ts";
import { gatherFacts } from "./doctor_facts.ts";
import { selfProgram } from "./self_program.ts";

/** 0 every link holds, 3 not enrolled, 4 something needs attention. Progress goes to a terminal. */
export async function doctorCommand(
  root: string | undefined,
  json: boolean,
  output: Output,
): Promise<number> {
  const isTerminal = Deno.stderr.isTerminal();
  const facts = await gatherFacts({
    platform: devicePlatform(root),
    program: selfProgram(root),
    now: Date.now,
    fresh: () => crypto.getRandomValues(new Uint8Array(16)).toHex(),
    progress: (what) => isTerminal && output.err(`looking at ${what} ...\n`),
  });
  const checks = doctorChecks(facts);
  output.out(json ? `${JSON.stringify({ checks }, null, 2)}\n` : doctorText(checks));
  return doctorExitCode(checks);
}
