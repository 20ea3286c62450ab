/** Homes as people have them: NSS databases of a user's own, at every place that browsers look. */
import { certutilKeys, makeDatabase, plantOwnThings, run } from "./nss_witness.ts";
import { execute, executeAs, type LocalUser, SCRATCH } from "./private_root.ts";
import { makeThrowawayCa } from "./throwaway_ca.ts";

/** Databases to be copied into homes. */
export interface Templates {
  /** A key and certificate of the user's own, and a trusted authority. */
  own: string;
  /** The same with a password. */
  locked: string;
  /** The same, and self-signed certificates that bear names of ours. */
  namesakes: string;
  /** The user's own in the format before the present one, where NSS still knows that. */
  legacy?: string;
}

/** Makes them. */
export async function makeTemplates(): Promise<Templates> {
  const templates: Templates = {
    own: `${SCRATCH}/own`,
    locked: `${SCRATCH}/locked`,
    namesakes: `${SCRATCH}/namesakes`,
  };
  makeDatabase(templates.own);
  const ca = makeThrowawayCa(SCRATCH);
  plantOwnThings(templates.own, ca);
  for (const copy of [templates.locked, templates.namesakes]) {
    await execute("cp", "-r", templates.own, copy);
  }
  const [before, after] = [`${SCRATCH}/before`, `${SCRATCH}/after`];
  await Deno.writeTextFile(before, "\n");
  await Deno.writeTextFile(after, "a password of hers\n");
  run("certutil", "-W", "-d", `sql:${templates.locked}`, "-f", before, "-@", after);
  for (
    const name of ["device-trust.intermediate", "JumpCloud Device Trust Certificate - 0badc0de"]
  ) {
    ca.selfSigned(`/CN=${name}`);
    const what = ["-n", name, "-t", "TC,,", "-i", `${ca.folder}/other.pem`];
    run("certutil", "-A", "-d", `sql:${templates.namesakes}`, ...what);
  }
  const legacy = `${SCRATCH}/legacy`;
  await Deno.mkdir(legacy);
  const make = ["-N", "-d", `dbm:${legacy}`, "--empty-password"];
  if (!(await new Deno.Command("certutil", { args: make }).output()).success) return templates;
  run("pk12util", "-i", `${ca.folder}/own.p12`, "-d", `dbm:${legacy}`, "-W", "x");
  return { ...templates, legacy };
}

/** Puts a copy of a template into a home, with all folders on the way, as the user's own. */
export async function putDatabase(
  { home, uid, gid }: LocalUser,
  template: string,
  place: string,
): Promise<void> {
  const [first = ""] = place.split("/");
  await execute(
    "sh",
    "-ec",
    'mkdir -p "$(dirname "$2")"; cp -r "$1" "$2"',
    "sh",
    template,
    `${home}/${place}`,
  );
  await execute("chown", "-R", `${uid}:${gid}`, `${home}/${first}`);
}

/** What certutil sees of a database, each in order, so that two moments can be compared. */
export interface Contents {
  /** `nickname trust`, of every certificate. */
  trust: string[];
  /** PEM. */
  certificates: string[];
  /** `kind id name`. */
  keys: string[];
}

/** Looks at a copy, for certutil itself writes. */
export async function contentsOf(directory: string): Promise<Contents> {
  const copy = await Deno.makeTempDir({ dir: SCRATCH });
  await execute("cp", "-r", `${directory}/.`, copy);
  // Not one for each name: certificates of one subject share theirs.
  const trust = run("certutil", "-L", "-d", `sql:${copy}`).split("\n").slice(4)
    .map((line) => line.trim().replace(/\s+/g, " ")).filter(Boolean);
  const names = new Set(trust.map((line) => line.replace(/ \S+$/, "")));
  const certificates = [...names].flatMap((name) =>
    run("certutil", "-L", "-d", `sql:${copy}`, "-n", name, "-a").match(PEM) ?? []
  );
  const keys = certutilKeys(copy);
  return { trust: trust.sort(), certificates: certificates.sort(), keys: keys.sort() };
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const SNAP = "snap/chromium/7";
const FLATPAK = ".var/app/org.chromium.Chromium";

/** A user, by what the home is like. */
export interface Layout {
  name: string;
  /** Databases of the user's own, relative to the home, that a leaf comes to lie in. */
  beside?: string[];
  /** Files of ours that stay, because something of the user's is in them. */
  left?: string[];
  /** What must not be written at all. */
  untouched?: string[];
  /** The database that the user's browsers open with a leaf in it; absent: no leaf at all. */
  location?: string;
  /** Why there is none. */
  error?: { code: string; message: RegExp };
  make(user: LocalUser): Promise<void>;
}

/** One of each kind. */
export function homeLayouts({ own: template, locked, namesakes, legacy }: Templates): Layout[] {
  const own = (...places: string[]) => async (user: LocalUser) => {
    for (const place of places) await putDatabase(user, template, place);
  };
  const shell = (script: string) => async (user: LocalUser) => {
    await executeAs(user, "sh", "-ec", script);
  };
  return [
    {
      name: "classic",
      beside: [".pki/nssdb"],
      location: ".pki/nssdb",
      make: own(".pki/nssdb"),
    },
    {
      name: "xdg",
      beside: [".local/share/pki/nssdb"],
      location: ".local/share/pki/nssdb",
      make: own(".local/share/pki/nssdb"),
    },
    {
      name: "both",
      beside: [".pki/nssdb"],
      untouched: [".local/share/pki"],
      location: ".pki/nssdb",
      make: own(".pki/nssdb", ".local/share/pki/nssdb"),
    },
    { name: "neither", location: ".pki/nssdb", make: shell("mkdir .config") },
    { name: "emptyhome", location: ".pki/nssdb", make: shell("mkdir -p .pki/nssdb .local/share") },
    {
      name: "xdgdata",
      untouched: ["data"],
      location: ".pki/nssdb",
      make: own("data/pki/nssdb"),
    },
    {
      name: "snap",
      beside: [".pki/nssdb", `${SNAP}/.pki/nssdb`],
      location: ".pki/nssdb",
      async make(user) {
        await own(".pki/nssdb", `${SNAP}/.pki/nssdb`)(user);
        await shell("ln -s 7 snap/chromium/current")(user);
      },
    },
    {
      name: "flatpak",
      beside: [`${FLATPAK}/data/pki/nssdb`],
      location: ".pki/nssdb",
      make: own(`${FLATPAK}/data/pki/nssdb`),
    },
    ...legacy === undefined ? [] : [{
      name: "legacy",
      beside: [".pki/nssdb"],
      location: ".pki/nssdb",
      // NSS takes what is the user's over into a new database, as it does for a browser.
      left: [".pki/nssdb/cert9.db", ".pki/nssdb/key4.db"],
      make: (user: LocalUser) => putDatabase(user, legacy, ".pki/nssdb"),
    }],
    {
      name: "namesakes",
      beside: [".pki/nssdb"],
      location: ".pki/nssdb",
      make: (user) => putDatabase(user, namesakes, ".pki/nssdb"),
    },
    {
      name: "password",
      untouched: [".pki"],
      error: { code: "store-password", message: /password/ },
      make: (user) => putDatabase(user, locked, ".pki/nssdb"),
    },
    {
      name: "link",
      untouched: [".pki", "elsewhere"],
      error: { code: "internal", message: /\.pki is a symbolic link/ },
      async make(user) {
        await own("elsewhere/nssdb")(user);
        await shell("ln -s elsewhere .pki")(user);
      },
    },
    {
      name: "foreign",
      untouched: [".pki"],
      error: { code: "internal", message: /\.pki belongs to uid 0/ },
      async make(user) {
        await own(".pki/nssdb")(user);
        await execute("chown", "-R", "0:0", `${user.home}/.pki`);
        await execute("chmod", "-R", "go+rX", `${user.home}/.pki`);
      },
    },
  ];
}
