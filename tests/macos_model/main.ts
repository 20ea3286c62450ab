/**
 * A modelled program as a real process: `main.ts FOLDER PROGRAM ARGUMENT...`, where the program is
 * its path on a Mac. It records
 * what it was called with as one line of JSON in FOLDER/calls.jsonl.
 */
import { recordedCall, runModel } from "./scratch_mac.ts";

if (import.meta.main) {
  const [folder = "", program = "", ...args] = Deno.args;
  const piped = !Deno.stdin.isTerminal();
  const input = piped ? await new Response(Deno.stdin.readable).text() : "";
  const env = Deno.env.toObject();
  const call = recordedCall(program, args, env, input);
  Deno.writeTextFileSync(`${folder}/calls.jsonl`, `${JSON.stringify(call)}\n`, { append: true });
  const { code, stdout, stderr } = runModel(`${folder}/state.json`, program, args, input);
  await Deno.stdout.write(new TextEncoder().encode(stdout));
  await Deno.stderr.write(new TextEncoder().encode(stderr));
  Deno.exit(code);
}
