import assert from "node:assert/strict";
import fc from "fast-check";
import { type FolderProbe, nssDirectories } from "./nss_directories.ts";

/** A file system that has these folders and what is above them. */
function folders(...paths: string[]): FolderProbe {
  const all = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/");
    for (let end = 2; end <= parts.length; end++) all.add(parts.slice(0, end).join("/"));
  }
  return {
    isDirectory: (path) => all.has(path),
    entries: (path) =>
      [...all].filter((other) => other.slice(0, other.lastIndexOf("/")) === path)
        .map((other) => other.slice(path.length + 1)),
  };
}

function paths(probe: FolderProbe, xdgDataHome?: string): string[] {
  return nssDirectories("/home/ada", xdgDataHome, probe)
    .map(({ path, inUse }) => inUse ? path : `${path} (unused)`);
}

const OWN = "/home/ada/.pki/nssdb";
const XDG = "/home/ada/.local/share/pki/nssdb";
const SNAP = "/home/ada/snap/chromium/current";
const FLATPAK = "/home/ada/.var/app/com.google.Chrome";

const worlds: {
  when: string;
  there: string[];
  xdgDataHome?: string;
  then: string[];
}[] = [
  { when: "nothing is there", there: [], then: [OWN] },
  { when: "only a bare ~/.pki is there", there: ["/home/ada/.pki"], then: [OWN] },
  { when: "~/.pki/nssdb is there", there: [OWN], then: [OWN] },
  { when: "the XDG database alone is there", there: [XDG], then: [XDG] },
  { when: "a bare ~/.pki is beside the XDG database", there: ["/home/ada/.pki", XDG], then: [XDG] },
  { when: "both are there", there: [XDG, OWN], then: [OWN, `${XDG} (unused)`] },
  {
    when: "XDG_DATA_HOME names a folder with a database",
    there: ["/data/ada/pki/nssdb", XDG],
    xdgDataHome: "/data/ada",
    then: ["/data/ada/pki/nssdb"],
  },
  {
    when: "XDG_DATA_HOME names a folder without one",
    there: ["/data/ada", XDG],
    xdgDataHome: "/data/ada/",
    then: [OWN],
  },
  { when: "XDG_DATA_HOME is not absolute", there: [XDG], xdgDataHome: "data", then: [XDG] },
  { when: "XDG_DATA_HOME is empty", there: [XDG], xdgDataHome: "", then: [XDG] },
  { when: "a snap was never started", there: ["/home/ada/snap/chromium"], then: [OWN] },
  { when: "a snap has a home", there: [SNAP], then: [OWN, `${SNAP}/.pki/nssdb`] },
  {
    when: "a snap has an XDG database",
    there: [`${SNAP}/.local/share/pki/nssdb`],
    then: [OWN, `${SNAP}/.local/share/pki/nssdb`],
  },
  {
    when: "a snap has both",
    there: [`${SNAP}/.local/share/pki/nssdb`, `${SNAP}/.pki/nssdb`],
    then: [OWN, `${SNAP}/.pki/nssdb`, `${SNAP}/.local/share/pki/nssdb (unused)`],
  },
  { when: "a snap is no browser", there: ["/home/ada/snap/gimp/current"], then: [OWN] },
  {
    when: "a flatpak browser has data and nothing else",
    there: [`${FLATPAK}/data`],
    then: [OWN, `${FLATPAK}/data/pki/nssdb`],
  },
  {
    when: "a flatpak browser persists ~/.pki",
    there: [`${FLATPAK}/data`, `${FLATPAK}/.pki`],
    then: [OWN, `${FLATPAK}/.pki/nssdb`],
  },
  {
    when: "a flatpak browser has both",
    there: [`${FLATPAK}/data/pki/nssdb`, `${FLATPAK}/.pki/nssdb`],
    then: [OWN, `${FLATPAK}/.pki/nssdb`, `${FLATPAK}/data/pki/nssdb (unused)`],
  },
  { when: "a flatpak was never started", there: [FLATPAK], then: [OWN] },
  {
    when: "a flatpak is no browser",
    there: ["/home/ada/.var/app/org.gimp.GIMP/data"],
    then: [OWN],
  },
  {
    when: "an unknown flatpak has a database",
    there: ["/home/ada/.var/app/org.example.Browser/data/pki/nssdb"],
    then: [OWN, "/home/ada/.var/app/org.example.Browser/data/pki/nssdb"],
  },
];

for (const { when, there, xdgDataHome, then } of worlds) {
  Deno.test(`the databases are the ones that browsers open when ${when}`, () => {
    assert.deepEqual(paths(folders(...there), xdgDataHome), then);
  });
}

Deno.test("browsers use one database of each home, the user's own first", () => {
  const places = [OWN, XDG, SNAP, `${SNAP}/.pki/nssdb`, `${FLATPAK}/data`, "/home/ada/.pki"];
  fc.assert(fc.property(fc.subarray(places), (there) => {
    const probe = folders(...there);
    const found = nssDirectories("/home/ada", undefined, probe);
    assert.ok([OWN, XDG].includes(found[0].path) && found[0].inUse);
    const homes = found.filter(({ inUse }) => inUse).map(({ usedBy }) => usedBy);
    assert.equal(new Set(homes).size, homes.length);
    for (const { path, folders, inUse } of found) {
      assert.equal(folders.at(-1), path);
      assert.equal(folders[0], path.slice(0, -"/nssdb".length));
      assert.ok(inUse || probe.isDirectory(path));
    }
  }));
});
