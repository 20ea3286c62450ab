/**
 * Runs Apple's `/usr/bin/security`, one command a process. A command that carries a secret goes
 * over standard input (`security -i`), where no other process of the machine can read it.
 *
 * What `security -i` does to a line was read in Apple's source (release 61901): longer lines are
 * cut in two, words beyond the 32nd are dropped, a last line without a newline is ignored, all
 * silently. So what does not fit is refused here.
 */
import type { CommandResult, RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import { explainSecurity, OK } from "./keychain_trouble.ts";

/** One command of `security`. */
export interface SecurityCommand {
  /** The command's name, options and operands. */
  words: readonly [string, ...string[]];
  /** The secrets in the words; where there are any, all of it goes over standard input. */
  secrets: readonly string[];
}

/** How a command ended. */
export interface SecurityAnswer {
  /**
   * Exit status: 0, 1 (failed), 2 (usage), or the low eight bits of an OSStatus, see
   * keychain_trouble.ts.
   */
  code: number;
  stdout: string;
  /** Without secrets. */
  stderr: string;
}

/** What running `security` needs. */
export interface SecurityWorld {
  run: RunCommand;
  /** The user's home folder, absolute. */
  home: string;
  /** Path of the program; Apple's by default. */
  security?: string;
}

/** Bytes of a line with its newline that `security -i` reads as one line. */
export const LINE_BYTES = 4095;
/** Words of a line that `security -i` reads. */
export const LINE_WORDS = 32;

/** Apple's program answers at once, unless it waits for a person at a dialog. */
const TIMEOUT_MS = 60_000;
/** A keychain of some thousand certificates. */
const KEPT_BYTES = 8 * 1024 * 1024;

/** `security`, for one user. */
export class SecurityTool {
  readonly #world: SecurityWorld;

  constructor(world: SecurityWorld) {
    this.#world = world;
  }

  /** Runs a command whose failure is an answer. @throws Problem when it does not end by itself */
  async attempt(command: SecurityCommand): Promise<SecurityAnswer> {
    const { code, timedOut, stdoutTail, stderrTail } = await this.#run(command);
    if (timedOut) {
      throw new Problem(
        "store-locked",
        `macOS did not answer '${command.words[0]}' within a minute; a dialog may be waiting on ` +
          "the screen. Answer it; it is tried again.",
      );
    }
    if (new TextEncoder().encode(stdoutTail).length >= KEPT_BYTES) {
      throw new Problem(
        "internal",
        `'security ${command.words[0]}' printed more than ${KEPT_BYTES} bytes; nothing was done.`,
      );
    }
    return { code, stdout: stdoutTail, stderr: withoutSecrets(stderrTail, command.secrets) };
  }

  /**
   * Runs a command that has to succeed.
   *
   * @param doing what is tried, as in "Cannot unlock the keychain"
   * @returns what it printed
   * @throws Problem as {@link explainSecurity} tells
   */
  async do(command: SecurityCommand, doing: string): Promise<string> {
    const answer = await this.attempt(command);
    if (answer.code !== OK) throw explainSecurity(doing, command.words[0], answer);
    return answer.stdout;
  }

  #run({ words, secrets }: SecurityCommand): Promise<CommandResult> {
    const program = this.#world.security ?? "/usr/bin/security";
    const command = {
      env: { HOME: this.#world.home, PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
      timeoutMs: TIMEOUT_MS,
      keptBytes: KEPT_BYTES,
    };
    return secrets.length === 0
      ? this.#world.run({ ...command, argv: [program, ...words] })
      : this.#world.run({ ...command, argv: [program, "-i"], input: securityLine(words) });
  }
}

/**
 * A command as one line of `security -i`, with its newline.
 *
 * @throws Problem `internal` for what that program would not read as these words
 */
export function securityLine(words: readonly string[]): string {
  const line = `${words.map(quoted).join(" ")}\n`;
  if (words.length > LINE_WORDS || new TextEncoder().encode(line).length > LINE_BYTES) {
    throw new Problem("internal", `'security ${words[0]}' is too long for one line of it.`);
  }
  return line;
}

/** Bytes that a word takes in a line, with the space or newline behind it. */
export function wordBytes(word: string): number {
  return new TextEncoder().encode(quoted(word)).length + 1;
}

function quoted(word: string): string {
  // deno-lint-ignore no-control-regex -- exactly these cannot be in a line
  if (/[\x00-\x1f\x7f]/.test(word)) {
    throw new Problem("internal", "A path or name with a control character cannot be used.");
  }
  return `"${word.replaceAll(/["\\]/g, "\\$&")}"`;
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "(hidden)"), text);
}
