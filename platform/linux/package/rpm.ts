/** The RPM package, made with rpmbuild(8). */
import { CONFIG, type Entry, type Ingredients, packageContents, text } from "./contents.ts";
import { type Architecture, DESCRIPTION, MAINTAINER, type PackageKind, SUMMARY } from "./deb.ts";
import { rpmScripts } from "./scripts.ts";
import { stage } from "./stage.ts";
import { runTool } from "./tool.ts";

const ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  amd64: "x86_64",
  arm64: "aarch64",
};

/** Makes the package in `output`; gives its path. Whatever it needs goes to `scratch`, which is new. */
export async function makeRpm(
  made: Ingredients,
  { architecture, at, compression }: PackageKind,
  { scratch, output }: { scratch: string; output: string },
): Promise<string> {
  const arch = ARCHITECTURES[architecture];
  const entries = rpmContents(made);
  await stage(entries, `${scratch}/tree`, at);
  await Deno.writeTextFile(`${scratch}/device-trust.spec`, spec(made, entries, `${scratch}/tree`));
  const macros = {
    _topdir: scratch,
    _rpmdir: output,
    _rpmfilename: "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
    _binary_payload: compression === "small" ? "w6.xzdio" : "w1.gzdio",
    _buildhost: "localhost",
    _build_id_links: "none",
    debug_package: "%{nil}",
    __os_install_post: "%{nil}",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    source_date_epoch_from_changelog: "0",
  };
  const defines = Object.entries(macros).flatMap(([name, value]) => [
    "--define",
    `${name} ${value}`,
  ]);
  await runTool(
    ["rpmbuild", "-bb", "--quiet", `--target=${arch}-linux`, ...defines, "device-trust.spec"],
    { cwd: scratch, env: { SOURCE_DATE_EPOCH: String(at) } },
  );
  return `${output}/device-trust-${made.version}-1.${arch}.rpm`;
}

/** What distributions with rpm want beside what every package holds. */
function rpmContents(made: Ingredients): Entry[] {
  return [
    ...packageContents(made),
    text("/usr/share/zsh/site-functions/_device-trust", made.zsh),
    text("/usr/share/licenses/device-trust/LICENSE", made.license),
    text("/usr/share/doc/device-trust/CHANGELOG.md", made.changelog),
    ...FOLDERS.map((folder) => ({ folder })),
  ];
}

/** Ours, and those of shells that may not be there. */
const FOLDERS = ["/usr/share/fish/vendor_completions.d", "/usr/share/zsh/site-functions"]
  .concat(["/usr/share/licenses/device-trust", "/usr/share/doc/device-trust"]);

function spec(made: Ingredients, entries: readonly Entry[], tree: string): string {
  const scripts = Object.entries(rpmScripts()).map(([name, script]) => `%${name}\n${script}\n`);
  return `Name: device-trust
Version: ${made.version}
Release: 1
Summary: ${SUMMARY}
License: MIT
Packager: ${MAINTAINER}
AutoReqProv: no
Requires: glibc >= 2.28, libgcc, libnss3.so()(64bit), util-linux

%description
${DESCRIPTION.join("\n")}

%install
mkdir -p %{buildroot}
cp -a ${tree}/. %{buildroot}

${scripts.join("\n")}
%files
${entries.map(fileLine).join("\n")}
`;
}

function fileLine(entry: Entry): string {
  if ("folder" in entry) return `%dir %attr(0755,root,root) ${entry.folder}`;
  const kind = entry.path === CONFIG.path ? "%config(noreplace) " : "";
  const mode = entry.mode.toString(8).padStart(4, "0");
  return `${kind}%attr(${mode},root,root) ${entry.path}`;
}
