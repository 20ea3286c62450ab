/**
 * A modelled program as a real process: `main.ts FOLDER security|codesign ARGUMENT...`. It records
 * what it was called with as one line of JSON in FOLDER/calls.jsonl.
 */
import { type ModelProgram, recordedCall, runModel } from "./scratch_mac.ts";

if (import.meta.main) {
  const [folder = "", program = "", ...args] = Deno.args;
  const piped = !Deno.stdin.isTerminal();
  const input = piped ? await new Response(Deno.stdin.readable).text() : "";
  const name: ModelProgram = program === "codesign" ? "codesign" : "security";
  const env = Deno.env.toObject();
  const call = recordedCall(name, args, env, input);
  Deno.writeTextFileSync(`${folder}/calls.jsonl`, `${JSON.stringify(call)}\n`, { append: true });
  const { code, stdout, stderr } = runModel(`${folder}/state.json`, name, args, input);
  await Deno.stdout.write(new TextEncoder().encode(stdout));
  await Deno.stderr.write(new TextEncoder().encode(stderr));
  Deno.exit(code);
}
