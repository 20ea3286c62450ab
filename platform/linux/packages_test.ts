import assert from "node:assert/strict";
import type { Command, CommandResult } from "../command.ts";
import {
  ensurePackages,
  isOnThisMachine,
  type PackagedPart,
  type PackageWorld,
} from "./packages.ts";

const NSS: PackagedPart = { package: "libnss3", library: "libnss3.so" };
const CERTUTIL: PackagedPart = { package: "libnss3-tools", programs: ["certutil"] };
const PK12UTIL: PackagedPart = { package: "libnss3-tools", programs: ["pk12util"] };
const CHROMIUM: PackagedPart = { package: "chromium", programs: ["chromium"] };

/** A machine whose apt knows some packages, and what was run and said on it. */
function machine(options: { known: string[]; isRoot?: boolean; hasApt?: boolean }) {
  const installed = new Set<string>();
  const commands: string[] = [];
  const environments: Command["env"][] = [];
  const lines: string[] = [];
  const world: PackageWorld = {
    isThere: (part) => installed.has(part.package),
    isRoot: options.isRoot ?? true,
    hasApt: options.hasApt ?? true,
    log: (line) => lines.push(line),
    every: () => ({ [Symbol.dispose]() {} }),
    run({ argv, env }): Promise<CommandResult> {
      const words = argv.slice(argv.indexOf("DPkg::Lock::Timeout=300") + 1);
      commands.push(words.join(" "));
      environments.push(env);
      const packages = words[0] === "install" ? words.filter((_, index) => index > 2) : [];
      const unknown = packages.find((name) => !options.known.includes(name));
      if (!unknown) { for (const name of packages) installed.add(name); }
      return Promise.resolve({
        code: unknown ? 100 : 0,
        timedOut: false,
        stdoutTail: "Reading package lists...\n",
        stderrTail: unknown ? `E: Unable to locate package ${unknown}\n` : "",
      });
    },
  };
  return { world, installed, commands, environments, lines };
}

Deno.test("ensurePackages() runs and says nothing when nothing is missing", async () => {
  const { world, installed, commands, lines } = machine({ known: [] });
  installed.add("libnss3");
  assert.deepEqual(await ensurePackages([NSS], world), []);
  assert.deepEqual([commands, lines], [[], []]);
});

Deno.test("ensurePackages() as root updates once and installs each missing package once", async () => {
  const { world, commands, environments } = machine({ known: ["libnss3-tools", "chromium"] });
  assert.deepEqual(await ensurePackages([CERTUTIL, PK12UTIL, CHROMIUM], world), []);
  assert.deepEqual(commands, [
    "update",
    "install -y --no-install-recommends libnss3-tools chromium",
  ]);
  assert.equal(environments[1]?.DEBIAN_FRONTEND, "noninteractive");
});

Deno.test("ensurePackages() without root's rights names the one command and runs nothing", async () => {
  const { world, commands, lines } = machine({ known: ["libnss3"], isRoot: false });
  assert.deepEqual(await ensurePackages([NSS, CERTUTIL], world), [NSS, CERTUTIL]);
  assert.deepEqual(commands, []);
  assert.deepEqual(lines, [
    "Missing: libnss3 libnss3-tools. To install: sudo apt-get install -y libnss3 libnss3-tools",
  ]);
});

Deno.test("ensurePackages() names what is missing where there is no apt", async () => {
  const { world, commands, lines } = machine({ known: ["libnss3"], hasApt: false });
  assert.deepEqual(await ensurePackages([NSS], world), [NSS]);
  assert.deepEqual(commands, []);
  assert.match(lines.join("\n"), /^Missing: libnss3 .* own packages/);
});

Deno.test("one package that apt lacks keeps no other out, and apt's own words are shown", async () => {
  const { world, lines } = machine({ known: ["libnss3"] });
  assert.deepEqual(await ensurePackages([NSS, CHROMIUM], world), [CHROMIUM]);
  assert.match(lines.join("\n"), /Unable to locate package chromium/);
  assert.equal(lines.at(-1), "Still missing: chromium.");
});

Deno.test("a program counts as there when it is on the search path, a library when it loads", () => {
  assert.ok(isOnThisMachine({ package: "bash", programs: ["no-such-program", "sh"] }));
  assert.ok(!isOnThisMachine({ package: "none", programs: ["no-such-program"] }));
  assert.ok(isOnThisMachine({ package: "libc6", library: "libc.so.6" }));
  assert.ok(!isOnThisMachine({ package: "none", library: "libno-such-library.so" }));
});
