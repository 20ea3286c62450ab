/**
 * A strict model of Apple's `/usr/bin/security`, written from its source (release 61901): the same
 * grammar, exit statuses and side effects. What would change trust, act on keychains that nobody
 * named, find by name, or is not modelled, throws `Forbidden`, which no caller can mistake for an
 * answer of macOS.
 */
import { getopt, linesOf, splitLine } from "./command_words.ts";
import type { MacState } from "./model_state.ts";
import { importCommand } from "./security_import.ts";
import { ITEM_COMMANDS } from "./security_items.ts";
import { type CommandWorld, KEYCHAIN_COMMANDS } from "./security_keychains.ts";
import { Forbidden, GRAMMAR, OsStatus, Usage } from "./security_grammar.ts";

/** What a program ended with. */
export interface ProgramResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the program on a Mac's state, which it changes. */
export function runSecurity(
  state: MacState,
  args: readonly string[],
  input: string,
): ProgramResult {
  let stdout = "";
  let stderr = "";
  const world: CommandWorld = {
    state,
    print: (line) => void (stdout += `${line}\n`),
    complain: (line) => void (stderr += `${line}\n`),
  };
  const code = args[0] === "-i" ? runLines(world, input) : runCommand(world, args);
  return { code: code & 0xff, stdout, stderr };
}

/** The exit status is that of the last line, and an empty line is a command that succeeds. */
function runLines(world: CommandWorld, input: string): number {
  let code = 0;
  for (const line of linesOf(input)) {
    const words = splitLine(line);
    code = words.length === 0 ? 0 : runCommand(world, words);
    if (code !== 0) world.complain(`${words[0]}: returned ${code}`);
  }
  return code;
}

function runCommand(world: CommandWorld, [name = "", ...words]: readonly string[]): number {
  const letters = Object.hasOwn(GRAMMAR, name) ? GRAMMAR[name] : undefined;
  if (letters === undefined) {
    world.complain(`security: unknown command "${name}"`);
    return 1;
  }
  const fault = world.state.faults.findIndex(({ command }) => command === name);
  if (fault >= 0) return world.state.faults.splice(fault, 1)[0]?.code ?? 1;
  try {
    return execute(world, name, words, letters);
  } catch (error) {
    if (error instanceof Usage) {
      world.complain(`Usage: ${name} [options]`);
      return 2;
    }
    if (!(error instanceof OsStatus)) throw error;
    world.complain(`security: ${name}: ${error.message}`);
    return error.code;
  }
}

function execute(world: CommandWorld, name: string, words: readonly string[], letters: string) {
  // The file to import comes before the options, where getopt would take it for the end of them.
  const isImport = name === "import";
  const parsed = getopt(isImport ? words.slice(1) : words, letters);
  if (!parsed) throw new Usage();
  if (isImport) {
    const [file = ""] = words;
    if (file.startsWith("-")) throw new Usage();
    return importCommand(world, { ...parsed, operands: [file, ...parsed.operands] });
  }
  const command = KEYCHAIN_COMMANDS[name] ?? ITEM_COMMANDS[name];
  if (!command) throw new Forbidden(`${name} is not for this program, or not modelled`);
  return command(world, parsed) ?? 0;
}
