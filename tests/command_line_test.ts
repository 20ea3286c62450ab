/** What the command line says of itself, and to whoever mistypes; nothing is done there. */
import assert from "node:assert/strict";
import config from "../deno.json" with { type: "json" };
import { inPassableFolder } from "./device_root.ts";
import { programFromSource, runProgram } from "./product.ts";

const PROGRAM = programFromSource();

Deno.test("--help describes the program and each command, with options and examples", async () => {
  const help = await helpOf();
  const commands = section(help, "Commands").map((line) => line.trim().split(" ")[0] ?? "");
  for (const name of ["enroll", "agent", "user-agent", "status", "events", "doctor", "unenroll"]) {
    assert.ok(commands.includes(name), `${name} is listed`);
  }
  assert.match(help, /^Exit codes: 0 done, 1 failed, 2 usage, 3 not enrolled, 4 something/m);
  for (const command of ["", ...commands.filter((name) => name !== "help")]) {
    const text = command === "" ? help : await helpOf(command);
    const description = text.split("\n")[2] ?? "";
    assert.match(description, /^[A-Za-z].{10}/, `${command} has a description`);
    const options = [...section(text, "Options"), ...section(text, "Global Options")].join("\n");
    assert.match(options, /--help/, `${command} lists its options`);
    assert.match(options, /--root <dir>/, `${command} lists the options of all`);
    const examples = section(text, "Examples");
    assert.ok(examples.length > 0, `${command} has an example`);
    for (const example of examples) {
      assert.ok(example.startsWith("  $ device-trust "), example);
      assert.ok(example.split(" ").includes(command || "status") || command === "", example);
      // Those of the program belong to other commands, which have examples of their own.
      const named = command === "" ? [] : example.replace(/\|.*/, "").match(/--[a-z-]+/g) ?? [];
      for (const option of named) assert.ok(options.includes(option), `${example}: ${option}`);
    }
  }
});

Deno.test("what only the program itself calls is not listed", async () => {
  assert.doesNotMatch(await helpOf(), /agent-(worker|prepare|inspect|challenge|manual)/);
});

Deno.test("--version is the one of deno.json", async () => {
  for (const option of ["--version", "-V"]) {
    const outcome = await runProgram(PROGRAM, [option]);
    assert.deepEqual(outcome, { code: 0, out: `${config.version}\n`, err: "" });
  }
});

const COMMANDS = /enroll, agent, user-agent, status, events, doctor, .*mock-server/;

/** Mistakes, each with what its message must name. `FOLDER` is the test's. */
const MISTAKES: [args: string[], ...names: RegExp[]][] = [
  [[], /^Commands:\n +enroll /m],
  [["no-such-command"], /unknown command 'no-such-command'/, COMMANDS],
  [["stauts"], /Did you mean status\?/, COMMANDS],
  [["--no-such-option"], /unknown option '--no-such-option'/, /--root/],
  [["--root"], /'--root <dir>' argument missing/],
  ...["enroll", "agent", "user-agent", "status", "events", "doctor", "unenroll", "mock-server"].map(
    (command): [string[], RegExp, RegExp] => [
      [command, "--no-such-option"],
      /unknown option '--no-such-option'/,
      /choose from: .*--help/,
    ],
  ),
  [["status", "--jsno"], /Did you mean --json\?/, /choose from: --json, --watch/],
  [["events", "--since", "soon"], /--since 'soon' must be a duration such as 30m, 12h or 7d/],
  [["events", "--since"], /'--since <when>' argument missing/],
  [["doctor", "--bundle"], /'--bundle <file>' argument missing/],
  [["agent", "--onec"], /choose from: --once/],
  [["status", "alice"], /too many arguments for 'status'/],
  [["completion"], /missing required argument 'shell'/, /bash, zsh, fish/],
  [["completion", "tcsh"], /'tcsh' is invalid/, /choices are bash, zsh, fish/],
  [["mock-server", "--listen", "8443"], /--listen '8443' is not HOST:PORT, for instance/],
  [["mock-server", "--portal", "localhost:99999"], /--portal 'localhost:99999' is not HOST:PORT/],
  [["mock-server", "--leaf-ttl", "3x"], /--leaf-ttl .* 30s, 5m, 12h or 14d: '3x'/],
  [["mock-server", "--leaf-ttl", "0s"], /--leaf-ttl .*: '0s'/],
  [["mock-server", "--renew-after", "soon"], /--renew-after .* 30s, 5m, 12h or 14d: 'soon'/],
  [["mock-server", "--renew-after", "30d"], /--renew-after 30d must be shorter than --leaf-ttl/],
  [["mock-server", "--overlap", "400d"], /--overlap .* of a year at most: '400d'/],
  [["mock-server", "--brand", "a b"], /--brand 'a b' must be 1 to 32 letters and digits/],
  [["mock-server", "--trusted-proxy", "10.0.0.0/40"], /--trusted-proxy '10\.0\.0\.0\/40'/],
  [["enroll"], /Give the agent server: --server URL/],
  [["enroll", "--server", "https://localhost"], /--connect-key-file FILE, or - for standard input/],
  ...["http://localhost", "localhost", "https://me:it@localhost", "https://localhost/?x"].map(
    (url): [string[], RegExp] => [
      ["enroll", "--server", url, "--connect-key", "k"],
      /Cannot enrol at '.*': give the agent server's https:\/\/ URL/,
    ],
  ),
  [
    ["enroll", "--server", "https://localhost", "--connect-key=k", "--connect-key-file=-"],
    /Give --connect-key or --connect-key-file, not both/,
  ],
  [
    ["enroll", "--server", "https://localhost", "--connect-key-file", "FOLDER/nowhere"],
    /Cannot read the connect key: there is no file '.*\/nowhere'/,
  ],
  [
    ["enroll", "--server", "https://localhost", "--connect-key-file", "FOLDER"],
    /Cannot read the connect key: .* is a directory/,
  ],
  [["enroll", "--server", "https://localhost", "--connect-key-file", "-"], /connect key is empty/],
  [
    ["enroll", "--server=https://localhost", "--connect-key=k", "--server-ca=FOLDER/nowhere"],
    /there is no file '.*\/nowhere'/,
  ],
  [
    ["enroll", "--server=https://localhost", "--connect-key=k", "--server-ca=FOLDER/empty"],
    /There is no certificate \(PEM\) in '.*\/empty'/,
  ],
];

Deno.test("a mistyped command is 2, names what there is to choose from, and does nothing", () =>
  inPassableFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/empty`, "");
    const program = programFromSource(`${folder}/device`);
    for (const [args, ...names] of MISTAKES) {
      const typed = args.map((arg) => arg.replace("FOLDER", folder));
      const { code, out, err } = await runProgram(program, typed);
      assert.equal(code, 2, `${args.join(" ")}: ${err}`);
      assert.equal(out, "", args.join(" "));
      for (const name of names) assert.match(err, name, args.join(" "));
      assert.doesNotMatch(err, /^ +at /m, "no stack");
    }
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "device",
      "empty",
    ]);
    const made = [...Deno.readDirSync(`${folder}/device/var/lib/device-trust`)];
    assert.ok(!made.some(({ name }) => name === "device.key"), "no key was made");
  }));

Deno.test("a reader that has seen enough is no failure of the command", async () => {
  const [executable, ...first] = PROGRAM;
  const child = new Deno.Command(executable, {
    args: [...first, "--help"],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Long before it has anything to say.
  await child.stdout.cancel();
  const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assert.deepEqual({ code, errors }, { code: 0, errors: "" });
});

async function helpOf(...command: string[]): Promise<string> {
  const { code, out, err } = await runProgram(PROGRAM, [...command, "--help"]);
  assert.deepEqual({ code, err }, { code: 0, err: "" });
  return out;
}

/** The lines of a section of a help text that begin an entry or an example. */
function section(help: string, title: string): string[] {
  const text = new RegExp(`^${title}:\n((?: .*\n)+)`, "m").exec(help)?.[1] ?? "";
  return text.split("\n").filter((line) => /^ {2}\S/.test(line));
}
