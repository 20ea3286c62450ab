/**
 * The command line (DESIGN section 7): it parses, wires, and gives exit codes. A command's modules
 * load when it runs, each by its literal name: so the compiler finds them, and the binary never looks
 * for one outside itself (docs/architecture.md).
 */
import { EXIT } from "./agent/exit.ts";

/** A process that stays in memory or starts often, and so skips the command-line library. */
interface Quick {
  root: string | undefined;
  name: "agent" | "user-agent" | "agent-worker" | "status";
  /** Its one option: `--once` of the user-agent, `--json` of status. */
  option: boolean;
}

/**
 * Recognises exactly `[--root DIR] agent|agent-worker`, `[--root DIR] user-agent [--once]` and
 * `[--root DIR] status [--json]`; the library takes everything else. It would add 11 MB to the agent
 * and 30 ms to each user-agent and to each look.
 */
function quickArguments(args: readonly string[]): Quick | undefined {
  const [root, [name, ...rest]] = args[0] === "--root" && args[1] !== undefined
    ? [absolute(args[1]), args.slice(2)]
    : [undefined, args];
  const only = (option: string) => rest.length === 1 && rest[0] === option;
  switch (name) {
    case "agent":
    case "agent-worker":
      return rest.length === 0 ? { root, name, option: false } : undefined;
    case "user-agent":
      return rest.length === 0 || only("--once")
        ? { root, name, option: only("--once") }
        : undefined;
    case "status":
      return rest.length === 0 || only("--json")
        ? { root, name, option: only("--json") }
        : undefined;
    default:
      return undefined;
  }
}

async function runQuick({ root, name, option }: Quick): Promise<number> {
  switch (name) {
    case "agent":
      return await (await import("./agent/resident.ts")).residentAgent(root);
    case "agent-worker":
      return await (await import("./agent/processes.ts")).workerProcess(root);
    case "user-agent":
      return await (await import("./agent/user_process.ts")).userAgentProcess(root, option);
    case "status": {
      const { statusCommand } = await import("./agent/status_command.ts");
      return await statusCommand(root, { json: option, watch: false }, OUTPUT);
    }
  }
}

/** Parses with the library and runs the command; gives the exit code. */
async function runCommandLine(args: readonly string[]): Promise<number> {
  const [{ Argument, Command, CommanderError }, { VERSION }, { EXAMPLES, examples, EXIT_CODES }] =
    await Promise.all([
      import("@commander-js/extra-typings"),
      import("./agent/version.ts"),
      import("./agent/command_help.ts"),
    ]);
  let code: number = EXIT.done;
  const output = OUTPUT;
  const root = () => program.opts().root;

  const program = new Command("device-trust")
    .description("Makes this computer a managed device, and its users' browsers able to prove it.")
    .version(VERSION)
    .option("--root <dir>", "put every system path under this folder", absolute)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", `\n${EXIT_CODES}`);

  program.command("enroll")
    .description("register this device at its agent server")
    .option("--server <url>", "the agent server, https://")
    .option(
      "--connect-key <key>",
      "the administrator's connect key (others may see it: prefer a file)",
    )
    .option("--connect-key-file <file>", "file that holds the connect key, or - for standard input")
    .option("--server-ca <file>", "PEM of the authority of the server's TLS certificate")
    .action(async (options) => {
      const { enrollCommand } = await import("./agent/commands.ts");
      code = await enrollCommand(root(), options, output);
    });

  program.command("agent")
    .description("run as the device's agent, until told to end")
    .option("--once", "reconcile once and exit")
    .action(async ({ once }) => {
      code = once
        ? await (await import("./agent/processes.ts")).agentOnceProcess(root())
        : await (await import("./agent/resident.ts")).residentAgent(root());
    });

  program.command("user-agent")
    .description("run as the calling user's user-agent (the agent starts it)")
    .option("--once", "reconcile once and exit")
    .action(async ({ once }) => {
      const { userAgentProcess } = await import("./agent/user_process.ts");
      code = await userAgentProcess(root(), once === true);
    });

  program.command("agent-prepare", { hidden: true })
    .description("make the agent's folders and print its checked configuration")
    .action(async () => {
      const { prepareProcess } = await import("./agent/processes.ts");
      code = await prepareProcess(root(), output.out);
    });

  program.command("agent-inspect", { hidden: true })
    .description("print what doctor wants to know of the calling user")
    .action(async () => {
      const { inspectCommand } = await import("./agent/user_inspection.ts");
      code = await inspectCommand(root(), output);
    });

  program.command("agent-challenge", { hidden: true })
    .description("answer a portal's challenge from an NSS database")
    .argument("<request>", "JSON")
    .action(async (request) => {
      const { challengeCommand } = await import("./agent/challenge.ts");
      code = await challengeCommand(root(), request, output);
    });

  program.command("status")
    .description("show the device, its users and their certificates")
    .option("--json", "as JSON")
    .option("--watch", "go on, until Ctrl-C, and show what changes (with --json: a line each time)")
    .action(async ({ json, watch }) => {
      const { statusCommand } = await import("./agent/status_command.ts");
      code = await statusCommand(root(), { json: json === true, watch: watch === true }, output);
    });

  program.command("events")
    .description("show the device's audit log, oldest first: 90 days of what was done, and why not")
    .option("--since <when>", "30m, 12h, 7d ago, or a time: 2026-11-25, 2026-11-25T14:30:00Z")
    .option("--json", 'as one JSON document: {"events": [...]}')
    .action(async ({ since, json }) => {
      const { eventsCommand } = await import("./agent/events_command.ts");
      code = await eventsCommand(root(), { since, json: json === true }, output);
    });

  program.command("doctor")
    .description("check every link from the server to the browser, with what to do about each")
    .option("--json", "as JSON")
    .option("--bundle <file>", "also write a support bundle (tar.gz) without secrets to a new file")
    .action(async ({ json, bundle }) => {
      const { doctorCommand } = await import("./agent/doctor_command.ts");
      const file = bundle === undefined ? undefined : absolute(bundle);
      code = await doctorCommand(root(), { json: json === true, bundle: file }, output);
    });

  program.command("renew")
    .description("renew the leaf now, of every user or of one")
    .option("--user <name>", "the local account whose leaf it is")
    .action(async ({ user }) => {
      const { renewCommand } = await import("./agent/commands.ts");
      code = await renewCommand(root(), user, output);
    });

  program.command("unenroll")
    .description("leave the agent server and remove every trace")
    .action(async () => {
      const { unenrollCommand } = await import("./agent/commands.ts");
      code = await unenrollCommand(root(), output);
    });

  program.command("service")
    .description("hand agent and user-agent to the system, which starts them, or take them back")
    .addArgument(new Argument("<action>").choices(["install", "uninstall", "status"]))
    .action(async (action) => {
      const { serviceCommand } = await import("./agent/service_command.ts");
      code = await serviceCommand(root(), action, output);
    });

  program.command("config")
    .description("show the configuration that counts, or check the file")
    .addArgument(new Argument("<action>").choices(["show", "check"]))
    .argument("[file]", "another file than the device's own")
    .action(async (action, file) => {
      const { configCommand } = await import("./agent/config_command.ts");
      code = await configCommand(root(), action, file, output);
    });

  program.command("mock-server")
    .description("run the reference agent server and its portal")
    .option("--listen <host:port>", "where agents connect", "localhost:8443")
    .option("--portal <host:port>", "where browsers connect", "localhost:9443")
    .option("--data <dir>", "folder of its keys and database", "./device-trust-server")
    .option("--brand <name>", "first word of every name (fixed once the CA exists)")
    .option("--leaf-ttl <dur>", "life of a leaf: 30s, 5m, 12h, 14d", "30d")
    .option("--renew-after <dur>", "when its renewal window begins", "14d")
    .option("--overlap <dur>", "how long the previous leaf counts", "7d")
    .option("--trusted-proxy <cidr...>", "proxies whose Client-Cert field counts")
    .action(async (options) => {
      const { runMockServer } = await import("./mock_server/commands.ts");
      code = await runMockServer(options, output);
    });

  program.command("demo")
    .description("show the whole story in a scratch folder")
    .action(async () => {
      const { runDemo } = await import("./mock_server/demo.ts");
      code = await runDemo(output);
    });

  program.command("keychain-password")
    .description("print the password that macOS asks for when a program wants to use the leaf")
    .action(async () => {
      const { keychainPasswordCommand } = await import("./agent/keychain_password_command.ts");
      code = await keychainPasswordCommand(root(), output);
    });

  program.command("profile")
    .description("write a configuration profile (.mobileconfig) for Macs that an MDM manages")
    .requiredOption("--output <file>", "a file that is not there yet")
    .action(async ({ output: file }) => {
      const { profileCommand } = await import("./agent/profile_command.ts");
      code = await profileCommand(root(), absolute(file), output);
    });

  program.command("completion")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action(async (shell) => {
      const { completionScript } = await import("./agent/completion.ts");
      output.out(completionScript(program, shell));
    });

  program.command("agent-manual", { hidden: true })
    .description("print the manual page")
    .action(async () => {
      const { manualPage } = await import("./agent/manual.ts");
      output.out(
        manualPage(program, { version: VERSION, exitCodes: EXIT_CODES, examples: EXAMPLES }),
      );
    });

  for (const command of [program, ...program.commands]) {
    const help = command.createHelp();
    const names = [
      ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
      ...help.visibleCommands(command).map((each) => each.name()),
      ...[...help.visibleOptions(command), ...help.visibleGlobalOptions(command)]
        .flatMap(({ long }) => long ?? []),
    ];
    command.showHelpAfterError(`(choose from: ${[...new Set(names)].join(", ")})`)
      .addHelpText("after", examples(command.name()));
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

/** A folder as an absolute path; node:path would stay in the waiting agent's memory. */
function absolute(dir: string): string {
  return /^(\/|[A-Za-z]:[\\/]|\\\\)/.test(dir) ? dir : `${Deno.cwd()}/${dir}`;
}

/** Gives what writes a text, and says whether it is read. */
function write(stream: { writeSync(bytes: Uint8Array): number }): (text: string) => boolean {
  return (text) => {
    let bytes = new TextEncoder().encode(text);
    try {
      while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
      return true;
    } catch (error) {
      // Whoever reads has seen enough (`| head`); what the command did stands all the same.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      return false;
    }
  };
}

const OUTPUT = { out: write(Deno.stdout), err: write(Deno.stderr) };

async function main(args: readonly string[]): Promise<number> {
  // Once and for all threads, which share it: files that do not say otherwise are their owner's alone.
  if (Deno.build.os !== "windows") Deno.umask(0o077);
  try {
    const quick = quickArguments(args);
    return quick ? await runQuick(quick) : await runCommandLine(args);
  } catch (error) {
    const { failureText, isUsage } = await import("./agent/failure.ts");
    OUTPUT.err(failureText(error));
    return isUsage(error) ? EXIT.usage : EXIT.failed;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
