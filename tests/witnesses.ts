/** Programs and libraries that nobody here wrote, and that tests ask whether the work is right. */
import {
  ensurePackages,
  isOnThisMachine,
  LIBNSS3,
  type PackagedPart,
  type PackageWorld,
} from "../platform/linux/packages.ts";

/** Every witness and the Debian package that brings it. */
export const WITNESSES = {
  libnss3: LIBNSS3,
  certutil: { package: "libnss3-tools", programs: ["certutil"] },
  pk12util: { package: "libnss3-tools", programs: ["pk12util"] },
  openssl: { package: "openssl", programs: ["openssl"] },
  certtool: { package: "gnutls-bin", programs: ["certtool"] },
  curl: { package: "curl", programs: ["curl"] },
  nginx: { package: "nginx", programs: ["nginx"] },
  chromium: { package: "chromium", programs: ["chromium"] },
  setpriv: { package: "util-linux", programs: ["setpriv"] },
  unshare: { package: "util-linux", programs: ["unshare"] },
  nsenter: { package: "util-linux", programs: ["nsenter"] },
  python3: { package: "python3", programs: ["python3"] },
  ps: { package: "procps", programs: ["ps"] },
  debootstrap: { package: "debootstrap", programs: ["debootstrap"] },
  "x86_64-w64-mingw32-gcc": {
    package: "gcc-mingw-w64-x86-64",
    programs: ["x86_64-w64-mingw32-gcc"],
  },
  plistutil: { package: "libplist-utils", programs: ["plistutil"] },
  "systemd-analyze": { package: "systemd", programs: ["systemd-analyze"] },
  "dpkg-deb": { package: "dpkg", programs: ["dpkg-deb"] },
  rpmbuild: { package: "rpm", programs: ["rpmbuild"] },
  lintian: { package: "lintian", programs: ["lintian"] },
} as const satisfies Record<string, PackagedPart>;

/** The name of one of {@link WITNESSES}. */
export type Witness = keyof typeof WITNESSES;

/** Those that only tests in Windows ask, under Wine. */
export const WINDOWS_WITNESSES: readonly Witness[] = ["debootstrap", "x86_64-w64-mingw32-gcc"];

/** Those that build the Debians which packages are tried on. */
export const DEBIAN_WITNESSES: readonly Witness[] = ["debootstrap"];

/** All others. */
export const ALL_WITNESSES = Object.keys(WITNESSES).filter(isWitness)
  .filter((witness) => !WINDOWS_WITNESSES.includes(witness));

/** Those of the wanted witnesses that this machine does not have. */
export function missing(
  wanted: readonly Witness[] = ALL_WITNESSES,
  isThere: (part: PackagedPart) => boolean = isOnThisMachine,
): Witness[] {
  return wanted.filter((witness) => !isThere(WITNESSES[witness]));
}

/**
 * Sees that the wanted witnesses are there, installing what is missing where that is possible
 * (see `ensurePackages`).
 *
 * @returns those that are still missing
 */
export async function ensureWitnesses(
  wanted: readonly Witness[],
  world: PackageWorld,
): Promise<Witness[]> {
  await ensurePackages(wanted.map((witness) => WITNESSES[witness]), world);
  return missing(wanted, world.isThere);
}

function isWitness(name: string): name is Witness {
  return name in WITNESSES;
}
