/** Packages of the program as it is now, or as a later version of it. */
import { fileURLToPath } from "node:url";
import { compile, describe, makePackages } from "../platform/linux/package/build.ts";
import type { MachineFact } from "./skip.ts";

/** Whether the one binary can be compiled here. */
export const CAN_COMPILE: MachineFact = {
  met: Deno.build.target === "x86_64-unknown-linux-gnu" &&
    (Deno.env.has("DEVICE_TRUST_COMPILE") ||
      await reaches("https://dl.deno.land/release-latest.txt")),
  otherwise: "this machine cannot download what deno compile needs",
};

/** Paths of the packages of one version, for x86-64. Disposing of them removes them. */
export interface BuiltPackages extends AsyncDisposable {
  version: string;
  binary: string;
  deb: string;
  rpm: string;
}

/** What is made, and at which time: any does. */
export const FOR_THIS_MACHINE = { architecture: "amd64", at: 1_700_000_000 } as const;

/** Makes the packages of this program, or of the same program with another version's number. */
export async function buildPackage(version?: string): Promise<BuiltPackages> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-packages-" });
  const dispose = () => Deno.remove(folder, { recursive: true });
  try {
    const sources = version === undefined ? PROJECT : `${folder}/sources`;
    if (version !== undefined) await copySources(sources, version);
    const binary = `${folder}/device-trust`;
    await compile(sources, FOR_THIS_MACHINE, binary);
    const made = { ...await describe(sources), binary };
    const kind = { ...FOR_THIS_MACHINE, compression: "fast" } as const;
    const [deb = "", rpm = ""] = await makePackages(made, kind, folder);
    return { version: made.version, binary, deb, rpm, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

const PROJECT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const SOURCES = ["agent", "ca", "mock_server", "platform"].concat(
  ["main.ts", "deno.json", "deno.lock", "LICENSE", "CHANGELOG.md"],
);

async function copySources(folder: string, version: string): Promise<void> {
  await Deno.mkdir(folder);
  const from = SOURCES.map((name) => `${PROJECT}/${name}`);
  const { success } = await new Deno.Command("cp", { args: ["-r", ...from, folder] }).output();
  if (!success) throw new Error("cp failed");
  const config = await Deno.readTextFile(`${folder}/deno.json`);
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    config.replace(/"version": "[^"]*"/, `"version": "${version}"`),
  );
}

async function reaches(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    // No network, no name, no answer: all the same to a test that would need it.
    return false;
  }
}
