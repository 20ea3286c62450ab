/**
 * Which NSS databases a user's Chromium-family browsers open. Pure: the file system is asked
 * through a probe.
 */

/** What has to be known of the file system. Links are followed; what cannot be read is absent. */
export interface FolderProbe {
  isDirectory(path: string): boolean;
  /** Names in a folder; empty when it is absent. */
  entries(path: string): string[];
}

/** One database folder. */
export interface NssDirectory {
  /** The folder that holds `cert9.db` and `key4.db`, absolute. */
  path: string;
  /** The folders below the browser's own home or data folder, outermost first, ending in path. */
  folders: string[];
  /** Whose it is, for people. */
  usedBy: string;
}

/** Snap packages of browsers that read NSS; each has a home of its own. */
const SNAPS = ["chromium", "brave", "opera", "vivaldi"];

/** Flatpak applications of browsers that read NSS. */
const FLATPAKS = [
  "com.brave.Browser",
  "com.google.Chrome",
  "com.google.ChromeDev",
  "com.microsoft.Edge",
  "com.opera.Opera",
  "com.vivaldi.Vivaldi",
  "io.github.ungoogled_software.ungoogled_chromium",
  "org.chromium.Chromium",
];

/**
 * Every database to cover, the user's own first. Chromium from 146 on opens
 * `${XDG_DATA_HOME:-~/.local/share}/pki/nssdb` unless the directory `~/.pki/nssdb` exists; older
 * ones know `~/.pki/nssdb` alone, so that is what is made where there is neither. Browsers in
 * snaps and flatpaks do the same in homes of their own, which count once they exist.
 */
export function nssDirectories(
  home: string,
  xdgDataHome: string | undefined,
  probe: FolderProbe,
): [NssDirectory, ...NssDirectory[]] {
  const dataHome = xdgDataHome?.startsWith("/") ? xdgDataHome : `${home}/.local/share`;
  const found: [NssDirectory, ...NssDirectory[]] = [
    choose(home, dataHome, "the user's browsers", probe),
  ];
  for (const name of SNAPS) {
    const snap = `${home}/snap/${name}/current`;
    if (!probe.isDirectory(snap)) continue;
    found.push(choose(snap, `${snap}/.local/share`, `the snap ${name}`, probe));
  }
  for (const id of probe.entries(`${home}/.var/app`).sort()) {
    const flatpak = `${home}/.var/app/${id}`;
    const usedBy = `the flatpak ${id}`;
    const directory = chooseFlatpak(flatpak, usedBy, probe);
    const isBrowser = FLATPAKS.includes(id) && probe.isDirectory(`${flatpak}/data`);
    if (isBrowser || probe.isDirectory(directory.path)) found.push(directory);
  }
  return found;
}

function choose(
  home: string,
  dataHome: string,
  usedBy: string,
  probe: FolderProbe,
): NssDirectory {
  const classic = nssDirectory(home, ".pki", usedBy);
  if (probe.isDirectory(classic.path)) return classic;
  const xdg = nssDirectory(dataHome, "pki", usedBy);
  return probe.isDirectory(xdg.path) ? xdg : classic;
}

/** A flatpak keeps `~/.pki` only when it persists it, which shows as that folder being there. */
function chooseFlatpak(home: string, usedBy: string, probe: FolderProbe): NssDirectory {
  const classic = nssDirectory(home, ".pki", usedBy);
  if (probe.isDirectory(classic.path)) return classic;
  const xdg = nssDirectory(`${home}/data`, "pki", usedBy);
  if (probe.isDirectory(xdg.path)) return xdg;
  return probe.isDirectory(`${home}/.pki`) ? classic : xdg;
}

function nssDirectory(base: string, pki: string, usedBy: string): NssDirectory {
  const outer = `${base.replace(/\/+$/, "")}/${pki}`;
  return { path: `${outer}/nssdb`, folders: [outer, `${outer}/nssdb`], usedBy };
}
