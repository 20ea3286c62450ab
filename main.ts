/**
 * The command line (DESIGN section 7): it parses, wires, and gives exit codes. A command's modules
 * load when it runs, each by its literal name: so the compiler finds them, and the binary never looks
 * for one outside itself (docs/architecture.md).
 */
import { EXIT } from "./agent/exit.ts";

/** A process that stays in memory or starts often, and so skips the command-line library. */
interface Resident {
  root: string | undefined;
  name: "agent" | "user-agent" | "agent-worker";
  once: boolean;
}

/**
 * Recognises exactly `[--root DIR] agent|agent-worker` and `[--root DIR] user-agent [--once]`; the
 * library takes everything else. It would add 11 MB to the agent and 30 ms to each user-agent.
 */
function residentArguments(args: readonly string[]): Resident | undefined {
  const [root, [name, ...rest]] = args[0] === "--root" && args[1] !== undefined
    ? [absolute(args[1]), args.slice(2)]
    : [undefined, args];
  const once = rest.length === 1 && rest[0] === "--once";
  switch (name) {
    case "agent":
    case "agent-worker":
      return rest.length === 0 ? { root, name, once: false } : undefined;
    case "user-agent":
      return rest.length === 0 || once ? { root, name, once } : undefined;
    default:
      return undefined;
  }
}

async function runResident({ root, name, once }: Resident): Promise<number> {
  switch (name) {
    case "agent":
      return await (await import("./agent/resident.ts")).residentAgent(root);
    case "agent-worker":
      return await (await import("./agent/processes.ts")).workerProcess(root);
    case "user-agent":
      return await (await import("./agent/user_process.ts")).userAgentProcess(root, once);
  }
}

/** Parses with the library and runs the command; gives the exit code. */
async function runCommandLine(args: readonly string[]): Promise<number> {
  const [{ Argument, Command, CommanderError }, { VERSION }] = await Promise.all([
    import("@commander-js/extra-typings"),
    import("./agent/version.ts"),
  ]);
  let code: number = EXIT.done;
  const output = { out: write(Deno.stdout), err: write(Deno.stderr) };
  const root = () => program.opts().root;

  const program = new Command("device-trust")
    .description("Makes this computer a managed device, and its users' browsers able to prove it.")
    .version(VERSION)
    .option("--root <dir>", "put every system path under this folder", absolute)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", EXIT_CODES);

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
    .action(async ({ json }) => {
      const { statusCommand } = await import("./agent/commands.ts");
      code = await statusCommand(root(), json === true, output);
    });

  program.command("doctor")
    .description("check every link from the server to the browser, with what to do about each")
    .option("--json", "as JSON")
    .action(async ({ json }) => {
      const { doctorCommand } = await import("./agent/doctor_command.ts");
      code = await doctorCommand(root(), json === true, output);
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

  program.command("completion")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action(async (shell) => {
      const { completionScript } = await import("./agent/completion.ts");
      output.out(completionScript(program, shell));
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

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 usage, 3 not enrolled, 4 something needs attention.`;

/** How each command is used; `device-trust` stands for the program itself. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  "device-trust": [
    "enroll --server https://agents.example.com --connect-key-file key.txt",
    "status",
    "doctor",
    "mock-server --data ./server",
    "demo",
    "completion bash > /etc/bash_completion.d/device-trust",
  ],
  enroll: [
    "enroll --server https://agents.example.com --connect-key-file key.txt",
    "enroll --server https://localhost:8443 --server-ca ca.pem --connect-key-file - < key.txt",
  ],
  agent: ["agent", "agent --once", "--root ./device agent"],
  "user-agent": ["user-agent --once"],
  status: ["status", "status --json | jq '.users[].state'"],
  doctor: ["doctor", "doctor --json | jq '.checks[] | select(.ok | not)'"],
  renew: ["renew", "renew --user alice"],
  unenroll: ["unenroll"],
  "mock-server": [
    "mock-server --data ./server",
    "mock-server --listen localhost:0 --portal localhost:0 --leaf-ttl 5m --renew-after 2m",
    "mock-server --trusted-proxy 10.0.0.0/8 fd00::/8",
  ],
  demo: ["demo"],
  completion: [
    "completion bash > /etc/bash_completion.d/device-trust",
    "completion zsh > /usr/local/share/zsh/site-functions/_device-trust",
    "completion fish > ~/.config/fish/completions/device-trust.fish",
  ],
};

function examples(name: string): string {
  const lines = (EXAMPLES[name] ?? []).map((example) => `\n  $ device-trust ${example}`);
  return lines.length === 0 ? "" : `\nExamples:${lines.join("")}\n`;
}

/** A folder as an absolute path. */
function absolute(dir: string): string {
  return dir.startsWith("/") ? dir : `${Deno.cwd()}/${dir}`;
}

function write(stream: { writeSync(bytes: Uint8Array): number }): (text: string) => void {
  return (text) => {
    let bytes = new TextEncoder().encode(text);
    try {
      while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      // Whoever reads has seen enough (`| head`); what the command did stands all the same.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  };
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const resident = residentArguments(args);
    return resident ? await runResident(resident) : await runCommandLine(args);
  } catch (error) {
    const { failureText, isUsage } = await import("./agent/failure.ts");
    write(Deno.stderr)(failureText(error));
    return isUsage(error) ? EXIT.usage : EXIT.failed;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
