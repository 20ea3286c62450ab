/** Runs what packages are made with. */

/** How a tool runs: in this process's environment, with these additions. */
export interface ToolOptions {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end; gives its standard output. @throws Error with what it said */
export async function runTool(
  [program, ...args]: readonly [string, ...string[]],
  options: ToolOptions = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    ...options,
    args,
    stdin: "null",
  }).output();
  const [out = "", err = ""] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (success) return out;
  throw new Error(`${program} failed:\n${out}${err}`);
}
