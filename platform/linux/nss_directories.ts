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
  /** Whether browsers open it now. One that they do not is there to be cleaned, never added to. */
  inUse: boolean;
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
 * Every database to look into, the one that the user's own browsers open first. Chromium from 146
 * on opens `${XDG_DATA_HOME:-~/.local/share}/pki/nssdb` unless the directory `~/.pki/nssdb`
 * exists; older ones know `~/.pki/nssdb` alone, so that is what is made where there is neither.
 * Browsers in snaps and flatpaks do the same in homes of their own, which count once they exist.
 * Where both are there, the other may hold what was put in while it was the only one.
 */
export function nssDirectories(
  home: string,
  xdgDataHome: string | undefined,
  probe: FolderProbe,
): [NssDirectory, ...NssDirectory[]] {
  const dataHome = xdgDataHome?.startsWith("/") ? xdgDataHome : `${home}/.local/share`;
  const [own, ...others] = choose({ home, dataHome, usedBy: "the user's browsers" }, probe);
  for (const name of SNAPS) {
    const snap = `${home}/snap/${name}/current`;
    if (!probe.isDirectory(snap)) continue;
    const dataHome = `${snap}/.local/share`;
    others.push(...choose({ home: snap, dataHome, usedBy: `the snap ${name}` }, probe));
  }
  for (const id of probe.entries(`${home}/.var/app`).toSorted()) {
    const flatpak = `${home}/.var/app/${id}`;
    const dataHome = `${flatpak}/data`;
    const isBrowser = FLATPAKS.includes(id) && probe.isDirectory(dataHome);
    // Without ~/.pki of its own a flatpak does not persist it, and forgets what is made there.
    const prefersXdg = !probe.isDirectory(`${flatpak}/.pki`);
    const place = { home: flatpak, dataHome, usedBy: `the flatpak ${id}`, prefersXdg };
    others.push(
      ...choose(place, probe).filter(({ path }) => isBrowser || probe.isDirectory(path)),
    );
  }
  return [own, ...others];
}

/** Where a browser finds its home. */
interface BrowserHome {
  home: string;
  dataHome: string;
  usedBy: string;
  /** Where to make a database when there is none. */
  prefersXdg?: boolean;
}

function choose(
  { home, dataHome, usedBy, prefersXdg = false }: BrowserHome,
  probe: FolderProbe,
): [NssDirectory, ...NssDirectory[]] {
  const classic = { ...nssDirectory(home, ".pki"), usedBy };
  const xdg = { ...nssDirectory(dataHome, "pki"), usedBy };
  const hasXdg = probe.isDirectory(xdg.path);
  if (!probe.isDirectory(classic.path)) {
    return [{ ...(hasXdg || prefersXdg ? xdg : classic), inUse: true }];
  }
  const used = { ...classic, inUse: true };
  return hasXdg ? [used, { ...xdg, inUse: false }] : [used];
}

function nssDirectory(base: string, pki: string): Pick<NssDirectory, "path" | "folders"> {
  const outer = `${base.replace(/\/+$/, "")}/${pki}`;
  return { path: `${outer}/nssdb`, folders: [outer, `${outer}/nssdb`] };
}
