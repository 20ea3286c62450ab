/** The Debian package (deb(5)), made with dpkg-deb(1). */
import { createHash } from "node:crypto";
import { CONFIG, type Entry, type Ingredients, packageContents, packed, text } from "./contents.ts";
import { debScripts } from "./scripts.ts";
import { sizeOf, stage } from "./stage.ts";
import { runTool } from "./tool.ts";

/** What kind of package is made. */
export interface PackageKind {
  architecture: Architecture;
  /** Time of everything in it, seconds since 1970. */
  at: number;
  /** `small` is what is published; `fast` is made in a tenth of the time. */
  compression: "small" | "fast";
}

/** As Debian calls it. */
export type Architecture = "amd64" | "arm64";

/** The package's maintainer, as packages name one. */
export const MAINTAINER = "The Device Trust authors <maintainers@device-trust.invalid>";

/** What the package is, in a line, and in a paragraph of lines. */
export const SUMMARY = "agent that makes this computer a managed device";
export const DESCRIPTION = [
  "Obtains a client certificate for every managed user of this computer,",
  "installs it where that user's browsers look, tells the browsers to present",
  "it without asking, renews it, and takes every trace of it away when the",
  "administrator turns distribution off.",
];

/** Makes the package in `output`; gives its path. Whatever it needs goes to `scratch`, which is new. */
export async function makeDeb(
  made: Ingredients,
  kind: PackageKind,
  { scratch, output }: { scratch: string; output: string },
): Promise<string> {
  const { architecture, at, compression } = kind;
  const entries = debContents(made, at);
  const path = `${output}/device-trust_${debVersion(made)}_${architecture}.deb`;
  await stage([...entries, ...await controlFiles(made, entries, architecture)], scratch, at);
  const how = compression === "small" ? ["-Zxz"] : ["-Zgzip", "-z1"];
  await runTool(["dpkg-deb", "--root-owner-group", ...how, "--build", scratch, path], {
    env: { SOURCE_DATE_EPOCH: String(at) },
  });
  return path;
}

/** The first, and only, packaging of a version. */
function debVersion({ version }: Ingredients): string {
  return `${version}-1`;
}

/** What Debian wants beside what every package holds. */
function debContents(made: Ingredients, at: number): Entry[] {
  const doc = "/usr/share/doc/device-trust";
  return [
    ...packageContents(made),
    text("/usr/share/zsh/vendor-completions/_device-trust", made.zsh),
    text(`${doc}/copyright`, copyright(made)),
    packed(`${doc}/changelog.gz`, made.changelog),
    packed(`${doc}/changelog.Debian.gz`, debianChangelog(made, at)),
    text("/usr/share/lintian/overrides/device-trust", OVERRIDES),
  ];
}

/** The folder `DEBIAN`. */
async function controlFiles(
  made: Ingredients,
  entries: readonly Entry[],
  architecture: Architecture,
): Promise<Entry[]> {
  const control = `Package: device-trust
Version: ${debVersion(made)}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${Math.ceil(await sizeOf(entries) / 1024)}
Depends: libc6 (>= 2.28), libgcc-s1, libnss3 (>= 2:3.42)
Section: admin
Priority: optional
Description: ${SUMMARY}
${DESCRIPTION.map((line) => ` ${line}\n`).join("")}`;
  const scripts = Object.entries(debScripts()).map(([name, content]): Entry => ({
    path: `/DEBIAN/${name}`,
    mode: 0o755,
    content,
  }));
  return [
    text("/DEBIAN/control", control),
    text("/DEBIAN/conffiles", `${CONFIG.path}\n`),
    text("/DEBIAN/md5sums", await md5sums(entries)),
    ...scripts,
  ];
}

/** What `dpkg -V` compares with; conffiles are not in it. */
async function md5sums(entries: readonly Entry[]): Promise<string> {
  const lines: string[] = [];
  for (const entry of entries) {
    if ("folder" in entry || entry.path === CONFIG.path) continue;
    const content = typeof entry.content === "string" || entry.content instanceof Uint8Array
      ? entry.content
      : await Deno.readFile(entry.content.copyOf);
    const sum = createHash("md5").update(content).digest("hex");
    lines.push(`${sum}  ${entry.path.slice(1)}\n`);
  }
  return lines.sort((a, b) => a.slice(34) < b.slice(34) ? -1 : 1).join("");
}

function debianChangelog(made: Ingredients, at: number): string {
  // As `date --rfc-email` has it: Debian's tools take no "GMT".
  const date = new Date(at * 1000).toUTCString().replace("GMT", "+0000");
  return `device-trust (${debVersion(made)}) unstable; urgency=medium

  * Version ${made.version}; see changelog.gz.

 -- ${MAINTAINER}  ${date}
`;
}

/** DEP-5; the licence's own lines, indented, with dots for empty ones. */
function copyright({ license }: Ingredients): string {
  const [, , holder = "", ...rest] = license.trim().split("\n");
  const terms = rest.join("\n").trim().split("\n").map((line) => ` ${line || "."}`).join("\n");
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: device-trust
Comment: The program contains the Deno runtime and npm packages. Each is listed,
 with its version and digest, in the bill of materials published with it.

Files: *
Copyright: ${holder.replace(/^Copyright \(c\) /, "")}
License: Expat

License: Expat
${terms}
`;
}

/** What lintian would complain of, and why it is so. */
const OVERRIDES = `# Google Chrome and Microsoft Edge read managed policies there and nowhere else.
device-trust: dir-or-file-in-etc-opt *
# The program is one file with its runtime in it, which brings what it needs.
device-trust: embedded-library *
# Published by its own project, not in Debian.
device-trust: initial-upload-closes-no-bugs *
`;
