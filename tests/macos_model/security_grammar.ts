/** The commands of `security` that the model knows, and the options that each takes. */

/** Option letters by command; a colon means that the letter takes a value. */
export const GRAMMAR: Readonly<Record<string, string>> = {
  "create-keychain": "hp:P",
  "delete-keychain": "h",
  "unlock-keychain": "hp:u",
  "lock-keychain": "ah",
  "set-keychain-settings": "hlt:u",
  "set-keychain-password": "ho:p:",
  "list-keychains": "d:hs",
  "default-keychain": "d:hs",
  "login-keychain": "d:hs",
  "dump-keychain": "adhir",
  "import": "k:t:f:P:wxa:hAT:",
  "export": "k:o:t:f:P:wph",
  "set-key-partition-list": "a:c:dD:ej:k:l:rsS:t:uvw",
  "add-generic-password": "a:c:C:D:G:j:l:s:p:w:X:UAT:h",
  "find-generic-password": "ha:c:C:D:G:j:l:s:wg",
  "delete-generic-password": "ha:c:C:D:G:j:l:s:g",
  "find-certificate": "hac:e:mpZ",
  "find-identity": "hp:s:v",
  "delete-certificate": "hc:Z:t",
  "delete-identity": "hc:Z:t",
  "set-identity-preference": "hnc:s:u:Z:",
  "get-identity-preference": "hs:u:pcZ",
  "add-trusted-cert": "dr:a:p:s:e:u:k:i:o:h",
  "remove-trusted-cert": "dh",
};

/** Results of macOS that the model gives, and what `security` says of each. */
export const OS_STATUS = {
  itemNotFound: [-25300, "The specified item could not be found in the keychain."],
  duplicateItem: [-25299, "The specified item already exists in the keychain."],
  duplicateKeychain: [-25296, "A keychain with the same name already exists."],
  invalidKeychain: [-25295, "The specified keychain is not a valid keychain file."],
  noSuchKeychain: [-25294, "The specified keychain could not be found."],
  authFailed: [-25293, "The user name or passphrase you entered is not correct."],
  interactionNotAllowed: [-25308, "User interaction is not allowed."],
  unknownFormat: [-25257, "Unknown format in import."],
  decode: [-26275, "Unable to decode the provided data."],
} as const;

/** A command that ended with an OSStatus. */
export class OsStatus extends Error {
  override readonly name = "OsStatus";
  readonly code: number;
  constructor(status: keyof typeof OS_STATUS) {
    super(OS_STATUS[status][1]);
    this.code = OS_STATUS[status][0];
  }
}

/** A command that is printed the usage of: it ends with 2. */
export class Usage extends Error {
  override readonly name = "Usage";
}

/** What no test may ever do to a Mac, or what the model does not know: it fails the test. */
export class Forbidden extends Error {
  override readonly name = "Forbidden";
}
