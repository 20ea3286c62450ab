/** The completion scripts, given to the shells that they are for. */
import assert from "node:assert/strict";
import { inPassableFolder } from "./device_root.ts";
import { programFromSource, runProgram } from "./product.ts";
import { type MachineFact, testWith } from "./skip.ts";

const SHELLS = {
  bash: shell("bash"),
  zsh: shell("zsh"),
  fish: shell("fish"),
} as const;

function shell(name: string): MachineFact & { name: string } {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  const met = folders.some((folder) => isFile(`${folder}/${name}`));
  return { name, met, otherwise: `this machine has no ${name}` };
}

for (const [name, fact] of Object.entries(SHELLS)) {
  testWith(
    [fact],
    `${name} takes the completion script without a complaint`,
    () =>
      withScript(name, async (script) => {
        assert.deepEqual(await run(name, ["-n", script]), { code: 0, out: "", err: "" });
      }),
  );
}

/** Command lines, of which the last word is to be completed, and what is offered. */
const LINES: [typed: string[], offered: string[]][] = [
  [["st"], ["status"]],
  [["unen"], ["unenroll"]],
  [["--root", "FOLDER", "st"], ["status"]],
  [["completion", "z"], ["zsh"]],
  [["status", "--js"], ["--json"]],
  [["status", "--w"], ["--watch"]],
  [["ev"], ["events"]],
  [["events", "--s"], ["--since"]],
  [["events", "--since", ""], []],
  [["doctor", "--bundle", "FOLDER/a f"], ["FOLDER/a folder", "FOLDER/a file"]],
  [["mock-server", "--po"], ["--portal"]],
  [["agent", "--o"], ["--once"]],
  [["keych"], ["keychain-password"]],
  [["profile", "--out"], ["--output"]],
  [["profile", "--output", "FOLDER/a f"], ["FOLDER/a folder", "FOLDER/a file"]],
  [["agent-"], []],
  [["--root", "FOLDER/a f"], ["FOLDER/a folder"]],
  [["enroll", "--connect-key-file", "FOLDER/a f"], ["FOLDER/a folder", "FOLDER/a file"]],
  [["enroll", "--connect-key", ""], []],
];

testWith(
  [SHELLS.bash],
  "bash offers commands, options, and files where files are wanted",
  () =>
    withScript("bash", async (script, folder) => {
      await Deno.mkdir(`${folder}/a folder`);
      await Deno.writeTextFile(`${folder}/a file`, "");
      for (const [typed, offered] of LINES) {
        const words = ["device-trust", ...typed].map((word) => word.replace("FOLDER", folder));
        const { out, err } = await run("bash", ["-c", ASK, "bash", script, ...words]);
        assert.equal(err, "");
        const expected = offered.map((word) => word.replace("FOLDER", folder));
        assert.deepEqual(out.split("\n").filter(Boolean).sort(), expected.sort(), typed.join(" "));
      }
    }),
);

/** Calls the function that was registered for the program as bash does when somebody presses Tab. */
const ASK = `
source "$1"; shift
completer=$(complete -p device-trust); completer=\${completer#*-F }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
"\${completer%% *}" device-trust "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "\${COMPREPLY[@]}"
`;

testWith(
  [SHELLS.fish],
  "fish offers commands, and shells to complete for",
  () =>
    withScript("fish", async (script) => {
      for (
        const [line, offered] of [["st", ["status"]], ["completion ", ["bash", "fish", "zsh"]]]
      ) {
        const ask = `source ${script}; complete -C 'device-trust ${line}'`;
        const { out } = await run("fish", ["--no-config", "-c", ask]);
        assert.deepEqual(
          out.split("\n").filter(Boolean).map((text) => text.split("\t")[0]),
          offered,
        );
      }
    }),
);

async function withScript(
  shell: string,
  test: (script: string, folder: string) => Promise<void>,
): Promise<void> {
  await inPassableFolder(async (folder) => {
    const { code, out, err } = await runProgram(programFromSource(), ["completion", shell]);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    await Deno.writeTextFile(`${folder}/script`, out);
    await test(`${folder}/script`, folder);
  });
}

async function run(shell: string, args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(shell, { args, stdin: "null" }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    // Not there, or not for us to look at: either way not to be run.
    return false;
  }
}
