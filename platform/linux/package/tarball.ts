/** The program and what belongs to it as a tar archive, for systems without these packages. */
import { gzipSync } from "node:zlib";
import { AGENT_UNIT, agentUnit, USER_AGENT_TEMPLATE, userAgentUnit } from "../service.ts";
import { type Entry, type Ingredients, text } from "./contents.ts";
import type { Architecture } from "./deb.ts";
import { stage } from "./stage.ts";
import { runTool } from "./tool.ts";

/** Makes the archive in `output`; gives its path. Whatever it needs goes to `scratch`, which is new. */
export async function makeTarball(
  made: Ingredients,
  { architecture, at }: { architecture: Architecture; at: number },
  { scratch, output }: { scratch: string; output: string },
): Promise<string> {
  const name = `device-trust-${made.version}-linux-${architecture}`;
  await stage(contents(made).map((entry) => below(`/${name}`, entry)), scratch, at);
  const tar = `${output}/${name}.tar`;
  const sameForAll = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"];
  await runTool(["tar", "--create", "--file", tar, ...sameForAll, "--directory", scratch, name]);
  await Deno.writeFile(`${tar}.gz`, gzipSync(await Deno.readFile(tar), { level: 9 }));
  await Deno.remove(tar);
  return `${tar}.gz`;
}

/** Where README says that the program goes when no package puts it elsewhere. */
const BINARY = "/usr/local/bin/device-trust";

function contents(made: Ingredients): Entry[] {
  return [
    { path: "/device-trust", mode: 0o755, content: { copyOf: made.binary } },
    text(`/systemd/${AGENT_UNIT}`, agentUnit(BINARY)),
    text(`/systemd/${USER_AGENT_TEMPLATE}`, userAgentUnit(BINARY)),
    text("/completions/device-trust.bash", made.bash),
    text("/completions/_device-trust", made.zsh),
    text("/completions/device-trust.fish", made.fish),
    text("/device-trust.8", made.manual),
    text("/LICENSE", made.license),
    text("/CHANGELOG.md", made.changelog),
  ];
}

function below(folder: string, entry: Entry): Entry {
  return "folder" in entry
    ? { folder: folder + entry.folder }
    : { ...entry, path: folder + entry.path };
}
