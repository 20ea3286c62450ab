/** Completion scripts for shells, made from the commands themselves. */

/** Shells that there is a script for. */
export type CompletedShell = "bash" | "zsh" | "fish";

/** What completing needs to know of a command. */
export interface CompletedCommand {
  readonly options: readonly CompletedOption[];
  readonly registeredArguments: readonly { readonly argChoices?: readonly string[] | undefined }[];
  readonly commands: readonly CompletedCommand[];
  name(): string;
  description(): string;
}

/** An option; `flags` names its value: `--root <dir>`. */
interface CompletedOption {
  readonly long?: string | undefined;
  readonly flags: string;
  readonly description: string;
}

/** A script that offers commands, their options and, where they are files, the options' values. */
export function completionScript(program: CompletedCommand, shell: CompletedShell): string {
  const commands = program.commands.filter((command) => !command.name().startsWith("agent-"));
  return { bash, zsh, fish }[shell](program, commands);
}

function bash(program: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const options = [program, ...commands].flatMap((command) => named(command));
  const taking = (value: Value) => longs(options.filter((option) => valueOf(option) === value));
  const cases = commands.map((command) => {
    const words = [...choices(command), ...longs([...named(command), ...named(program)])];
    return `      ${command.name()}) words="${words.join(" ")} --help" ;;`;
  });
  const names = commands.map((command) => command.name());
  return `_device_trust() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="" word
  local IFS=$'\\n'
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    ${taking("folder").join("|")})
      compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current")); return ;;
    ${taking("file").join("|")})
      compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return ;;
    ${taking("other").join("|")})
      COMPREPLY=(); return ;;
  esac
  IFS=$' \\t\\n'
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
${cases.join("\n")}
    esac
    [ -z "$words" ] || break
  done
  [ -n "$words" ] || words="${[...names, ...longs(named(program))].join(" ")} --help"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _device_trust device-trust
`;
}

/** Works sourced, and as the file \`_device-trust\` in a folder of \`$fpath\`. */
function zsh(program: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const text = (words: string) => words.replace(/[[\]:\\]/g, "\\$&");
  const values = { folder: ":folder:_files -/", file: ":file:_files", other: ":value: ", none: "" };
  const spec = (option: CompletedOption & { long: string }) => {
    const value = valueOf(option);
    const name = `${option.long}${value === "none" ? "" : "="}`;
    return quoted(`${name}[${text(option.description)}]${values[value]}`);
  };
  const list = (command: CompletedCommand) => [
    ...named(command).map(spec),
    "'--help[display help]'",
    ...choices(command).length > 0 ? [quoted(`1:argument:(${choices(command).join(" ")})`)] : [],
  ];
  const cases = commands.map((command) =>
    `      ${command.name()}) _arguments ${[...list(command)].join(" ")} ;;`
  );
  return `#compdef device-trust
_device_trust() {
  local context state line
  typeset -A opt_args
  local -a commands=(
${commands.map((c) => `    ${quoted(`${c.name()}:${c.description()}`)}`).join("\n")}
  )
  _arguments -C ${list(program).join(" ")} '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
${cases.join("\n")}
    esac ;;
  esac
}
if [ "$funcstack[1]" = _device-trust ]; then _device_trust "$@"
else compdef _device_trust device-trust
fi
`;
}

function fish(program: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const seen = (names: string) => `__fish_seen_subcommand_from ${names}`;
  const values = {
    folder: " -x -a '(__fish_complete_directories)'",
    file: " -r -F",
    other: " -x",
    none: "",
  };
  const lines = (condition: string, command: CompletedCommand) => [
    ...named(command).map((option) =>
      `complete -c device-trust${condition} -l ${option.long.replace(/^--/, "")}` +
      `${values[valueOf(option)]} -d ${quoted(option.description)}`
    ),
    ...choices(command).map((choice) => `complete -c device-trust${condition} -a ${choice}`),
  ];
  const names = commands.map((command) => command.name());
  return [
    "complete -c device-trust -f",
    "complete -c device-trust -l help -d 'display help'",
    ...lines("", program),
    ...commands.flatMap((command) => [
      `complete -c device-trust -n 'not ${seen(names.join(" "))}' -a ${command.name()} -d ` +
      quoted(command.description()),
      ...lines(` -n '${seen(command.name())}'`, command),
    ]),
    "",
  ].join("\n");
}

/** What an option's value is. */
type Value = "folder" | "file" | "other" | "none";

function valueOf({ flags }: CompletedOption): Value {
  const value = /<(.+)>/.exec(flags)?.[1];
  if (value === undefined) return "none";
  return value === "dir" ? "folder" : value === "file" ? "file" : "other";
}

function named(command: CompletedCommand): (CompletedOption & { long: string })[] {
  return command.options.flatMap(({ long, flags, description }) =>
    long === undefined ? [] : [{ long, flags, description }]
  );
}

function longs(options: readonly { long: string }[]): string[] {
  return options.map(({ long }) => long);
}

function choices(command: CompletedCommand): readonly string[] {
  return command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
}

/** As one word in single quotes, in every one of these shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
