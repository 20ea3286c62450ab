/** The manual page (man(7)), made from the commands themselves. */
import { systemPaths } from "../platform/paths.ts";
import type { CompletedCommand } from "./completion.ts";

/** What the page tells beside the commands. */
export interface ManualText {
  version: string;
  /** One line. */
  exitCodes: string;
  /** How each command is used, by its name; the program's own under its own. */
  examples: Readonly<Record<string, readonly string[]>>;
}

/** The page of the program, of section 8, as roff. */
export function manualPage(program: CompletedCommand, text: ManualText): string {
  const commands = program.commands.filter((command) => !command.name().startsWith("agent-"));
  const name = program.name();
  return [
    `.TH ${name.toUpperCase()} 8 "" "${name} ${text.version}" "System administration"`,
    ".SH NAME",
    `${roff(name)} \\- ${roff(firstLower(program.description().replace(/\.$/, "")))}`,
    ".SH SYNOPSIS",
    `.B ${roff(name)}`,
    "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIoptions\\fR]",
    ".SH DESCRIPTION",
    roff(program.description()),
    ".SH OPTIONS",
    ...options(program),
    ".SH COMMANDS",
    ...commands.flatMap((command) => [
      ".SS " + roff([command.name(), ...choices(command)].join(" ")),
      roff(command.description()),
      ...options(command),
      ...examples(name, text.examples[command.name()] ?? []),
    ]),
    ".SH EXIT STATUS",
    roff(text.exitCodes),
    ".SH FILES",
    ...FILES.flatMap(([path, holds]) => [".TP", `.I ${roff(path)}`, roff(holds)]),
    "",
  ].join("\n");
}

const { configFile, stateDir, runDir } = systemPaths({ os: "linux" });

/** What an administrator looks for. */
const FILES = [
  [configFile, "The configuration: where to enrol, and how to get there."],
  [stateDir, "The device's key, its record and its audit log; root's alone."],
  [runDir, "Sockets of the running agent."],
] as const;

function options(command: CompletedCommand): string[] {
  return command.options.flatMap(({ flags, description }) => [
    ".TP",
    `.B ${roff(flags)}`,
    roff(description),
  ]);
}

function choices(command: CompletedCommand): string[] {
  return command.registeredArguments.map(({ argChoices = [] }) => argChoices.join("|"));
}

function examples(program: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  return [".PP", ".nf", ...lines.map((line) => `    ${roff(`${program} ${line}`)}`), ".fi"];
}

/** As text of a page: no line of it is a request, and a hyphen can be copied. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/gm, "\\&$&");
}

function firstLower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
