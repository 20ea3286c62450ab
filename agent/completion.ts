/** Completion scripts for shells, made from the commands themselves. */
import { UsageError } from "./failure.ts";

/** What completing needs to know of a command. */
export interface CompletedCommand {
  readonly options: readonly { readonly long?: string | undefined; readonly description: string }[];
  readonly commands: readonly CompletedCommand[];
  name(): string;
  description(): string;
}

/** A script for `bash`, `zsh` or `fish`. @throws UsageError for any other shell */
export function completionScript(program: CompletedCommand, shell: string): string {
  const commands = program.commands.filter((command) => !command.name().startsWith("agent-"));
  switch (shell) {
    case "bash":
      return bash(program, commands);
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(program, commands)}`;
    case "fish":
      return fish(program, commands);
    default:
      throw new UsageError(`No completion for '${shell}'. Choose bash, zsh or fish.`);
  }
}

function bash(program: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const cases = commands.map((command) =>
    `    ${command.name()}) words="${longs(command).join(" ")}" ;;`
  );
  return `_device_trust() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="" word
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    --root|--data) COMPREPLY=($(compgen -d -- "$current")); return ;;
    --connect-key-file|--server-ca) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
${cases.map((line) => `  ${line}`).join("\n")}
    esac
  done
  [ -n "$words" ] || words="${[...commands.map((c) => c.name()), ...longs(program)].join(" ")}"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _device_trust device-trust
`;
}

function fish(program: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const option = (condition: string, command: CompletedCommand) =>
    command.options.flatMap(({ long, description }) =>
      long
        ? [`complete -c device-trust ${condition} -l ${long.slice(2)} -d ${quote(description)}`]
        : []
    );
  return [
    "complete -c device-trust -f",
    ...option("", program),
    ...commands.flatMap((command) => [
      `complete -c device-trust -n __fish_use_subcommand -a ${command.name()} -d ` +
      quote(command.description()),
      ...option(`-n '__fish_seen_subcommand_from ${command.name()}'`, command),
    ]),
    "",
  ].join("\n");
}

function longs(command: CompletedCommand): string[] {
  return [...command.options.flatMap(({ long }) => long ?? []), "--help"];
}
