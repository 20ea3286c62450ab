/** What is in the packages, as dpkg, rpm, lintian, systemd and man see it. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { billOfMaterials } from "../platform/linux/package/bill_of_materials.ts";
import { describe, makePackages } from "../platform/linux/package/build.ts";
import type { Architecture } from "../platform/linux/package/deb.ts";
import { POLICY_FOLDERS } from "../platform/linux/service.ts";
import { buildPackage, CAN_COMPILE, FOR_THIS_MACHINE } from "./built_packages.ts";
import { until } from "./until.ts";
import { testWith } from "./skip.ts";
import { execute } from "./private_root.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
/** Stands for the binary where it does not matter what is in it. */
const ANY_PROGRAM = "/bin/true";

testWith(
  ["dpkg-deb", "rpmbuild"],
  "the same program gives the same packages, byte for byte, whenever they are made",
  () =>
    inFolders(2, async (folders) => {
      const made: Uint8Array[][] = [];
      for (const folder of folders) {
        const packages = await packagesOf("amd64", folder);
        made.push(await Promise.all(packages.map((file) => Deno.readFile(file))));
        // By then only what looks at a clock would differ.
        const second = () => Math.floor(Date.now() / 1000);
        const now = second();
        await until("a second has begun", () => second() > now);
      }
      const [first = [], second = []] = made;
      assert.equal(first.length, 3);
      first.forEach((bytes, at) => assert.ok(equal(bytes, second[at]), `package ${at}`));
    }),
);

testWith(
  ["dpkg-deb", "rpmbuild"],
  "packages of either architecture hold what makes the machine a device, and root owns it",
  () =>
    inFolders(2, async (folders) => {
      const kinds = [["amd64", "x86_64"], ["arm64", "aarch64"]] as const;
      for (const [at, [architecture, rpmArchitecture]] of kinds.entries()) {
        const [deb = "", rpm = "", tarball = ""] = await packagesOf(
          architecture,
          folders[at] ?? "",
        );
        const field = (name: string) => execute("dpkg-deb", "--field", deb, name);
        assert.equal((await field("Architecture")).trim(), architecture);
        assert.equal((await field("Version")).trim(), `${config.version}-1`);
        const query = "%{ARCH} %{VERSION}-%{RELEASE}";
        assert.equal(
          await execute("rpm", "--query", "--package", "--queryformat", query, rpm),
          `${rpmArchitecture} ${config.version}-1`,
        );
        const inDeb = (await execute("dpkg-deb", "--contents", deb)).split("\n").filter(Boolean)
          .map((line) => line.split(/\s+/));
        assert.ok(inDeb.every(([, owner]) => owner === "root/root"));
        const [, ...debPaths] = inDeb.map(([, , , , , path = ""]) => path.slice(1));
        const rpmPaths = (await execute("rpm", "--query", "--list", "--package", rpm)).split("\n");
        for (const path of IN_EVERY_PACKAGE) {
          assert.ok(debPaths.includes(path), `${path} in the Debian package`);
          assert.ok(rpmPaths.includes(path), `${path} in the RPM`);
        }
        for (const folder of POLICY_FOLDERS) {
          assert.ok(debPaths.includes(`${folder}/`) && rpmPaths.includes(folder), folder);
        }
        const name = `device-trust-${config.version}-linux-${architecture}`;
        const inTarball = (await execute("tar", "-tzf", tarball)).split("\n");
        for (const path of ["device-trust", "systemd/device-trust.service", "LICENSE"]) {
          assert.ok(inTarball.includes(`${name}/${path}`), path);
        }
      }
    }),
);

const IN_EVERY_PACKAGE = [
  "/usr/bin/device-trust",
  "/usr/lib/systemd/system/device-trust.service",
  "/usr/lib/systemd/system/device-trust-user-agent@.service",
  "/usr/share/bash-completion/completions/device-trust",
  "/usr/share/fish/vendor_completions.d/device-trust.fish",
  "/usr/share/man/man8/device-trust.8.gz",
  "/etc/device-trust/config.json",
];

testWith(
  ["dpkg-deb", "rpmbuild", "lintian", CAN_COMPILE],
  "the program compiles to the same bytes anywhere, and lintian finds nothing wrong with its package",
  async () => {
    await using built = await buildPackage();
    await using again = await buildPackage();
    assert.ok(equal(await Deno.readFile(built.binary), await Deno.readFile(again.binary)));
    const tags = await lintian(built.deb);
    assert.deepEqual(tags.filter((line) => /^[EW]:/.test(line)), []);
  },
);

Deno.test("the manual page tells of every command and option that --help tells of", async () => {
  const { manual } = await describe(PROJECT);
  const help = await execute(
    Deno.execPath(),
    ...["run", "-A", "--quiet", "--no-prompt", `${PROJECT}/main.ts`, "--help"],
  );
  const commands = [...help.matchAll(/^ {2}([a-z][a-z-]*) .* {2}\S/gm)].map(([, name]) =>
    name ?? ""
  )
    .filter((name) => name !== "help");
  assert.ok(commands.includes("unenroll") && commands.includes("mock-server"), help);
  for (const name of commands) {
    assert.match(manual, new RegExp(`^\\.SS ${name.replaceAll("-", "\\\\-")}\\b`, "m"), name);
  }
  assert.doesNotMatch(manual, /agent\\-(worker|prepare|manual)/);
  assert.match(manual, /^\.B \\-\\-connect\\-key\\-file <file>$/m);
});

Deno.test("the bill of materials pins each package that the program loads", async () => {
  const text = await billOfMaterials(PROJECT, config.version, FOR_THIS_MACHINE.at);
  const { bomFormat, specVersion, metadata, components } = JSON.parse(text);
  assert.deepEqual([bomFormat, specVersion], ["CycloneDX", "1.6"]);
  assert.equal(metadata.component.version, config.version);
  const names = components.map(({ name }: { name: string }) => name);
  for (const name of ["deno", "hono", "zod", "commander", "@peculiar/x509"]) {
    assert.ok(names.includes(name), name);
  }
  // What tests alone load is in no binary.
  assert.ok(!names.includes("playwright-core") && !names.includes("fast-check"));
  const [, ...packages] = components;
  for (const { name, licenses, hashes, purl } of packages) {
    assert.match(hashes[0].content, /^[0-9a-f]{128}$/, name);
    assert.match(purl, /^pkg:npm\//);
    assert.match(licenses[0].license.id, /^(MIT|ISC|0BSD|BSD-3-Clause|Apache-2\.0)$/, name);
  }
});

async function packagesOf(architecture: Architecture, output: string): Promise<string[]> {
  const made = { ...await describe(PROJECT), binary: ANY_PROGRAM };
  return await makePackages(
    made,
    { ...FOR_THIS_MACHINE, architecture, compression: "fast" },
    output,
  );
}

async function lintian(deb: string): Promise<string[]> {
  // It ends with 2 when it found something.
  const args = ["--tag-display-limit=0", deb];
  const { stdout } = await new Deno.Command("lintian", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).split("\n").filter(Boolean);
}

async function inFolders(count: number, test: (folders: string[]) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "device-trust-packages-" });
  try {
    const folders = Array.from({ length: count }, (_, at) => `${folder}/${at}`);
    for (const path of folders) await Deno.mkdir(path);
    await test(folders);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((byte, at) => byte === b[at]);
}
