/** What a modelled Mac holds, in one JSON file, so that processes can share it as real ones do. */
import { z } from "zod";
import type { PropertyList } from "../../platform/macos/property_list.ts";

const keySchema = z.strictObject({
  /** SHA-1 of the public key's bits, upper-case hexadecimal. */
  label: z.string(),
  /** PKCS#8, base64. */
  pkcs8: z.string(),
  extractable: z.boolean(),
  /** What code has to be to use it: designated requirements, not paths. */
  applications: z.array(z.string()),
  partitions: z.array(z.string()),
});

const passwordSchema = z.strictObject({
  account: z.string(),
  service: z.string(),
  label: z.string(),
  password: z.string(),
});

const keychainSchema = z.strictObject({
  password: z.string(),
  locked: z.boolean(),
  lockOnSleep: z.boolean(),
  /** Seconds; null for never. */
  lockAfter: z.number().nullable(),
  keys: z.array(keySchema),
  /** DER, base64. */
  certificates: z.array(z.string()),
  passwords: z.array(passwordSchema),
});

const codeSchema = z.strictObject({
  identifier: z.string(),
  /** What the signing certificate is called; "" for ad hoc; undefined for unsigned code. */
  authority: z.string().optional(),
  team: z.string().optional(),
  hash: z.string(),
});

const accountSchema = z.strictObject({
  /** The account's own name, then others that the directory finds it by. */
  names: z.array(z.string()),
  uid: z.number(),
  gid: z.number(),
  home: z.string(),
});

const jobSchema = z.strictObject({
  running: z.boolean(),
  runs: z.number(),
  exitCode: z.number().optional(),
  /** Signals that it ends at. */
  obeys: z.array(z.string()),
  /** Looks at it that still find it after it was unloaded. */
  ending: z.number().optional(),
});

/** Property lists, as far as JSON has them. */
const propertySchema: z.ZodType<PropertyList> = z.lazy(() =>
  z.union([
    z.string(),
    z.number(),
    z.boolean(),
    z.array(propertySchema),
    z.record(z.string(), propertySchema),
  ])
);

const stateSchema = z.strictObject({
  home: z.string(),
  /** Path of the login keychain; null before the first login. */
  login: z.string().nullable(),
  /** The user's search list. Paths of keychains are without the `-db` of their files. */
  searchList: z.array(z.string()),
  keychains: z.record(z.string(), keychainSchema),
  /** Service -> SHA-256 of the preferred certificate, upper-case hexadecimal. */
  identityPreferences: z.record(z.string(), z.string()),
  /** Signatures of code, by path. */
  code: z.record(z.string(), codeSchema),
  /** The user's own preferences by domain; what `defaults` finds in a bundle by its path. */
  preferences: z.record(z.string(), z.record(z.string(), propertySchema)),
  accounts: z.array(accountSchema),
  /** Names of those who are logged in at the screen. */
  sessions: z.array(z.string()),
  /** Jobs of launchd by domain and label. */
  jobs: z.record(z.string(), jobSchema),
  /** What mount(8) and ps(1) print beside. */
  mounts: z.string(),
  processes: z.string(),
  hardware: z.string(),
  /** Dialogs that the user would have seen. */
  prompts: z.array(z.string()),
  /** Exit status that the next run of a command ends with instead of doing anything. */
  faults: z.array(z.strictObject({ command: z.string(), code: z.number() })),
});

/** A modelled Mac, as seen by one user. */
export type MacState = z.infer<typeof stateSchema>;
/** A keychain of it. */
export type ModelKeychain = z.infer<typeof keychainSchema>;
/** A private key in a keychain. */
export type ModelKey = z.infer<typeof keySchema>;
/** A generic password in a keychain. */
export type ModelPassword = z.infer<typeof passwordSchema>;
/** An account in the directory. */
export type ModelAccount = z.infer<typeof accountSchema>;
/** A job of launchd. */
export type ModelJob = z.infer<typeof jobSchema>;
/** Code and who signed it. */
export type ModelCode = z.infer<typeof codeSchema>;

/** The state in a file. */
export function readState(file: string): MacState {
  return stateSchema.parse(JSON.parse(Deno.readTextFileSync(file)));
}

/** Replaces the state in a file. */
export function writeState(file: string, state: MacState): void {
  Deno.writeTextFileSync(file, JSON.stringify(state, null, 1));
}

/** Reads, changes and writes the state. */
export function changeState<T>(file: string, change: (state: MacState) => T): T {
  const state = readState(file);
  const result = change(state);
  writeState(file, state);
  return result;
}

/** A keychain that holds nothing, open. */
export function emptyKeychain(password: string): ModelKeychain {
  return {
    password,
    locked: false,
    // As macOS makes them.
    lockOnSleep: true,
    lockAfter: 300,
    keys: [],
    certificates: [],
    passwords: [],
  };
}

/** The path as `security` takes it, without the `-db` of the file. */
export function nameOf(path: string): string {
  return path.replace(/-db$/, "");
}

/** The path as `security` prints it: in the user's own folder, files have `-db` behind. */
export function fileOf(state: MacState, path: string): string {
  const name = nameOf(path);
  return name.startsWith(`${state.home}/Library/Keychains/`) ? `${name}-db` : name;
}

/** The keychain at a path, while its file is there. */
export function keychainAt(state: MacState, path: string): ModelKeychain | undefined {
  try {
    Deno.statSync(fileOf(state, path));
    return state.keychains[nameOf(path)];
  } catch {
    return undefined;
  }
}
