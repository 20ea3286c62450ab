/**
 * `deno task package [amd64|arm64]...`: compiles the program for these architectures (both without
 * any) and makes packages, tarballs, the bill of materials and SHA256SUMS in `dist/`.
 *
 * Run in the project's folder. Everything in the packages has the time SOURCE_DATE_EPOCH (seconds
 * since 1970), by default that of the last commit: the same sources and the same compiler give the
 * same packages. DEVICE_TRUST_COMPILE may name a compiler `COMPILER OUTPUT [ARGUMENT...] main.ts`
 * for machines that cannot download what `deno compile` needs.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { z } from "zod";
import { billOfMaterials } from "./bill_of_materials.ts";
import type { Description, Ingredients } from "./contents.ts";
import { type Architecture, makeDeb, type PackageKind } from "./deb.ts";
import { makeRpm } from "./rpm.ts";
import { settle } from "./stage.ts";
import { makeTarball } from "./tarball.ts";
import { runTool } from "./tool.ts";

const TARGETS: Readonly<Record<Architecture, string>> = {
  amd64: "x86_64-unknown-linux-gnu",
  arm64: "aarch64-unknown-linux-gnu",
};

/** Makes every package of one program in the folder `output`, absolute; gives their paths. */
export async function makePackages(
  made: Ingredients,
  kind: PackageKind,
  output: string,
): Promise<string[]> {
  const scratch = await Deno.makeTempDir({ prefix: "device-trust-package-" });
  try {
    return [
      await makeDeb(made, kind, { scratch: `${scratch}/deb`, output }),
      await makeRpm(made, kind, { scratch: `${scratch}/rpm`, output }),
      await makeTarball(made, kind, { scratch: `${scratch}/tar`, output }),
    ];
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** What the sources in the folder `project` say of the program that is made of them. */
export async function describe(project: string): Promise<Description> {
  const program = [Deno.execPath(), "run", "-A", "--quiet", "--no-prompt", "main.ts"] as const;
  const say = (...args: string[]) => runTool([...program, ...args], { cwd: project });
  return {
    version: (await say("--version")).trim(),
    bash: await say("completion", "bash"),
    zsh: await say("completion", "zsh"),
    fish: await say("completion", "fish"),
    manual: await say("agent-manual"),
    license: await Deno.readTextFile(`${project}/LICENSE`),
    changelog: await Deno.readTextFile(`${project}/CHANGELOG.md`),
  };
}

/**
 * Bundles and compiles the sources in the folder `project`, with the flags of the tasks that do it,
 * into the file `output`, absolute. The same sources and compiler give the same bytes.
 */
export async function compile(
  project: string,
  { architecture, at }: Pick<PackageKind, "architecture" | "at">,
  output: string,
): Promise<void> {
  const tasks = await readTasks(project);
  const bundle = `${output}-bundle`;
  try {
    const bundling = withOption(lastCommand(tasks.bundle), "--outdir", bundle);
    await runTool([Deno.execPath(), ...bundling], { cwd: project });
    // The compiler writes the times of what it is given into the binary.
    await settle(bundle, at);
    const [subcommand = "", ...flags] = lastCommand(tasks.compile).slice(0, -1);
    const options = withOption(flags, "--target", TARGETS[architecture]);
    const start = `${bundle}/main.js`;
    const compiler = Deno.env.get("DEVICE_TRUST_COMPILE");
    await runTool(
      compiler === undefined
        ? [Deno.execPath(), subcommand, ...withOption(options, "--output", output), start]
        : [compiler, output, ...withOption(options, "--output"), start],
      // An older compiler trusts only its own list, which does not know a network's own authority.
      { cwd: project, env: { DENO_TLS_CA_STORE: "mozilla,system" } },
    );
  } finally {
    await runTool(["rm", "-rf", bundle]);
  }
}

async function readTasks(project: string): Promise<{ bundle: string; compile: string }> {
  const Tasks = z.object({ tasks: z.object({ bundle: z.string(), compile: z.string() }) });
  return Tasks.parse(JSON.parse(await Deno.readTextFile(`${project}/deno.json`))).tasks;
}

/** Arguments of the last command of a task, which is a `deno`. */
function lastCommand(task: string): string[] {
  return task.split(" && ").at(-1)?.split(" ").slice(1) ?? [];
}

/** The arguments with another value for an option of theirs, or without it. */
function withOption(args: readonly string[], option: string, value?: string): string[] {
  const at = args.indexOf(option);
  return args.toSpliced(at, 2, ...(value === undefined ? [] : [option, value]));
}

async function main(args: readonly string[]): Promise<void> {
  const architectures = args.length === 0 ? Object.keys(TARGETS) : args;
  const project = Deno.cwd();
  const output = `${project}/dist`;
  const at = Number(
    Deno.env.get("SOURCE_DATE_EPOCH") ?? await runTool(["git", "log", "-1", "--format=%ct"]),
  );
  const description = await describe(project);
  await Deno.mkdir(output, { recursive: true });
  const files: string[] = [];
  for (const architecture of architectures) {
    if (!isArchitecture(architecture)) {
      throw new Error(`Cannot make a package for '${architecture}': amd64 and arm64 are there.`);
    }
    const binary = `${output}/device-trust-linux-${architecture}`;
    const kind = { architecture, at, compression: "small" } as const;
    await compile(project, kind, binary);
    files.push(binary, ...await makePackages({ ...description, binary }, kind, output));
  }
  const bill = `${output}/device-trust-${description.version}.cdx.json`;
  await Deno.writeTextFile(bill, await billOfMaterials(project, description.version, at));
  await writeSums([...files, bill], output);
}

/** As sha256sum(1) writes and checks them. */
async function writeSums(files: readonly string[], folder: string): Promise<void> {
  const lines = await Promise.all(files.map(async (file) => {
    const sum = createHash("sha256").update(await Deno.readFile(file)).digest("hex");
    return `${sum}  ${basename(file)}\n`;
  }));
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, lines.join(""));
}

function isArchitecture(text: string): text is Architecture {
  return text in TARGETS;
}

if (import.meta.main) await main(Deno.args);
