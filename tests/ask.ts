/** Programs that nobody here wrote, asked what they think of our certificates. */
import { spawnSync } from "node:child_process";

/** What a program answered. */
export interface Answer {
  ok: boolean;
  /** Standard output. */
  output: string;
  /** Standard output and standard error, one after the other. */
  text: string;
}

/** Runs a witness and waits. */
export function ask(program: string, args: string[], input?: string | Uint8Array): Answer {
  const { status, stdout, stderr } = spawnSync(program, args, {
    input,
    encoding: "utf8",
    timeout: 60_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  return { ok: status === 0, output: stdout ?? "", text: `${stdout ?? ""}${stderr ?? ""}` };
}

/** A folder for one test, removed after it. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-test-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
