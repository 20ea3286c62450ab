/**
 * Every command that the keychain adapter can give to `/usr/bin/security`: the whole conversation
 * with the operating system on one page. The forms are those of Apple's source (release 61901).
 * None of them changes a trust setting, and each that changes a keychain names it: without one,
 * `security` would act on others.
 */
import type { SecurityCommand } from "./security_command.ts";

/**
 * Account of our generic password items. With the service it is all that tells an item from others
 * (`security` looks at nothing else when both are given), so that one of the same name that another
 * program made is neither read, changed nor removed.
 */
const ACCOUNT = "device-trust";

/** Commands by what they are for. `keychain` is an absolute path, without the `-db` of its file. */
export const SECURITY = {
  /** Prints the path of the user's login keychain. With `-d` it does nothing and fails. */
  loginKeychain: () => plain("login-keychain"),

  /** Prints the user's search list, one quoted path a line. */
  searchList: () => plain("list-keychains", "-d", "user"),

  /** Replaces the whole search list. */
  setSearchList: (keychains: readonly string[]) =>
    plain("list-keychains", "-d", "user", "-s", ...keychains),

  /** Makes a keychain and adds it to the search list; fails when it is there. */
  createKeychain: (keychain: string, password: string) =>
    secret([password], "create-keychain", "-p", password, keychain),

  /** Opens a keychain. One that is open already takes any password. */
  unlockKeychain: (keychain: string, password: string) =>
    secret([password], "unlock-keychain", "-p", password, keychain),

  /** Closes a keychain, so that the next unlock tells whether a password is the right one. */
  lockKeychain: (keychain: string) => plain("lock-keychain", keychain),

  /** Keeps a keychain from locking by itself, after a time or at sleep. It has to be open. */
  neverLock: (keychain: string) => plain("set-keychain-settings", keychain),

  /** Changes a keychain's password; fails when `old` is not it, also while it is open. */
  setKeychainPassword: (keychain: string, old: string, next: string) =>
    secret([old, next], "set-keychain-password", "-o", old, "-p", next, keychain),

  /** Removes a keychain's file and its entry in the search list. */
  deleteKeychain: (keychain: string) => plain("delete-keychain", keychain),

  /** Prints the attributes of everything in a keychain, no secrets; asks nobody. */
  dumpKeychain: (keychain: string) => plain("dump-keychain", keychain),

  /** Prints every certificate in a keychain as PEM. */
  certificates: (keychain: string) => plain("find-certificate", "-a", "-p", keychain),

  /** Adds one certificate (a DER file). */
  importCertificate: (file: string, keychain: string) =>
    plain("import", file, "-k", keychain, "-t", "cert", "-f", "x509"),

  /**
   * Adds a private key that cannot be exported again (an encrypted PKCS#8 file, DER) and that
   * `applications` may use. Values are joined to their letters: a line has 32 words at most.
   */
  importKey: (
    file: string,
    keychain: string,
    passphrase: string,
    applications: readonly string[],
  ) =>
    secret(
      [passphrase],
      ...["import", file, `-k${keychain}`, "-tpriv", "-fpkcs8", "-x", `-P${passphrase}`] as const,
      ...applications.map((path) => `-T${path}`),
    ),

  /** Sets whose code may use the keychain's private keys, by signature. */
  setPartitions: (keychain: string, password: string, partitions: readonly string[]) =>
    secret(
      [password],
      ...["set-key-partition-list", "-S", partitions.join(","), "-t", "private"] as const,
      ...["-k", password, keychain],
    ),

  /** Removes one certificate; never with `-t`, which changes trust settings and asks. */
  deleteCertificate: (sha256: string, keychain: string) =>
    plain("delete-certificate", "-Z", sha256, keychain),

  /** Removes one certificate and the private key that it is for. */
  deleteIdentity: (sha256: string, keychain: string) =>
    plain("delete-identity", "-Z", sha256, keychain),

  /** Prints a password of ours alone. */
  password: (service: string, keychain: string) =>
    plain("find-generic-password", "-a", ACCOUNT, "-s", service, "-w", keychain),

  /**
   * Makes a password item of ours or changes its password; the service is also its label, which
   * Keychain Access shows. Its access stays with `security` itself, which made it: naming
   * applications for one that exists would ask the user.
   */
  setPassword: (service: string, password: string, keychain: string) =>
    secret(
      [password],
      ...["add-generic-password", "-U", "-a", ACCOUNT, "-s", service, "-l", service] as const,
      ...["-w", password, keychain],
    ),

  /** Removes a password item of ours. */
  deletePassword: (service: string, keychain: string) =>
    plain("delete-generic-password", "-a", ACCOUNT, "-s", service, keychain),

  /** Prints the hashes of the certificate that is preferred for a service; fails without one. */
  identityPreference: (service: string) => plain("get-identity-preference", "-s", service, "-Z"),

  /** Prefers one certificate, which has its key, for a service; replaces an earlier preference. */
  setIdentityPreference: (service: string, sha256: string, keychain: string) =>
    plain("set-identity-preference", "-s", service, "-Z", sha256, keychain),

  /** Clears the preference for exactly this service. It is no keychain's: none is named. */
  clearIdentityPreference: (service: string) =>
    plain("set-identity-preference", "-n", "-s", service),
} as const;

function plain(...words: [string, ...string[]]): SecurityCommand {
  return { words, secrets: [] };
}

function secret(secrets: readonly string[], ...words: [string, ...string[]]): SecurityCommand {
  return { words, secrets };
}
