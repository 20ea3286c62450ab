/** Commands of `security` on keychains as a whole. */
import type { ParsedWords } from "./command_words.ts";
import {
  emptyKeychain,
  fileOf,
  keychainAt,
  type MacState,
  type ModelKeychain,
  nameOf,
} from "./model_state.ts";
import { Forbidden, OsStatus, Usage } from "./security_grammar.ts";

/** What a command works with. */
export interface CommandWorld {
  state: MacState;
  print: (line: string) => void;
  complain: (line: string) => void;
}

/** A command: its exit status where it is not 0, or it throws. */
export type ModelCommand = (world: CommandWorld, words: ParsedWords) => number | void;

/** Commands by name. */
export const KEYCHAIN_COMMANDS: Readonly<Record<string, ModelCommand>> = {
  "create-keychain"({ state }, { options, operands }) {
    const password = valueOf(options, "p");
    const [path] = operands;
    if (password === undefined || path === undefined) throw askedFor(state, "a new password");
    if (keychainAt(state, path)) throw new OsStatus("duplicateKeychain");
    Deno.writeTextFileSync(fileOf(state, path), "kych", { createNew: true });
    state.keychains[nameOf(path)] = emptyKeychain(password);
    if (!state.searchList.includes(nameOf(path))) state.searchList.push(nameOf(path));
  },

  "delete-keychain"({ state }, { operands }) {
    for (const path of someOf(operands)) {
      if (!keychainAt(state, path)) throw new OsStatus("noSuchKeychain");
      state.searchList = state.searchList.filter((entry) => entry !== nameOf(path));
      delete state.keychains[nameOf(path)];
      Deno.removeSync(fileOf(state, path));
    }
  },

  "unlock-keychain"({ state }, { options, operands }) {
    const keychain = existing(state, oneOf(operands));
    const password = valueOf(options, "p");
    if (password === undefined) throw askedFor(state, "a keychain's password");
    // securityd looks at the password only while the keychain is locked.
    if (keychain.locked && keychain.password !== password) throw new OsStatus("authFailed");
    keychain.locked = false;
  },

  "lock-keychain"({ state }, { options, operands }) {
    if (valueOf(options, "a") !== undefined) throw new Forbidden("locks other keychains");
    existing(state, oneOf(operands)).locked = true;
  },

  "set-keychain-settings"({ state }, { options, operands }) {
    const keychain = opened(state, oneOf(operands));
    const timeout = valueOf(options, "t");
    keychain.lockOnSleep = valueOf(options, "l") !== undefined;
    keychain.lockAfter = timeout === undefined ? null : Number(timeout);
  },

  "set-keychain-password"({ state }, { options, operands }) {
    const keychain = existing(state, oneOf(operands));
    const old = valueOf(options, "o");
    const next = valueOf(options, "p");
    if (old === undefined || next === undefined) throw askedFor(state, "passwords");
    if (keychain.password !== old) throw new OsStatus("authFailed");
    keychain.locked = false;
    keychain.password = next;
  },

  "list-keychains"({ state, print }, { options, operands }) {
    const domain = valueOf(options, "d");
    if (domain !== "user") throw new Forbidden(`list-keychains -d ${domain}: not the user's list`);
    if (valueOf(options, "s") === undefined) {
      if (operands.length > 0) throw new Usage();
      for (const path of state.searchList) print(`    "${shown(state, path)}"`);
      return;
    }
    state.searchList = operands.map(nameOf);
  },

  "login-keychain"({ state, print }, { options, operands }) {
    if (operands.length > 0) throw new Usage();
    // With a domain, or to set it, Apple's code does nothing but fail.
    if (options.length > 0) return 1;
    if (state.login === null) throw new OsStatus("noSuchKeychain");
    print(`    "${shown(state, state.login)}"`);
  },
};

/** The value of an option, "" for one without; undefined where it is not given. */
export function valueOf(options: ParsedWords["options"], letter: string): string | undefined {
  return options.findLast(([name]) => name === letter)?.[1];
}

/** The one keychain that a command is for; without one it would act on others. */
export function oneOf(operands: readonly string[]): string {
  if (operands.length > 1) throw new Usage();
  const [path = ""] = someOf(operands);
  return path;
}

/** A keychain that is there. */
export function existing(state: MacState, path: string): ModelKeychain {
  const keychain = keychainAt(state, path);
  if (!keychain) throw new OsStatus("noSuchKeychain");
  return keychain;
}

/** A keychain that is there and open; a locked one puts a dialog on the screen. */
export function opened(state: MacState, path: string): ModelKeychain {
  const keychain = existing(state, path);
  if (!keychain.locked) return keychain;
  throw askedFor(state, `the password of ${path}`);
}

/** What happens where the user would be asked. */
export function askedFor(state: MacState, what: string): OsStatus {
  state.prompts.push(what);
  return new OsStatus("interactionNotAllowed");
}

function someOf(operands: readonly string[]): readonly string[] {
  if (operands.length === 0) throw new Forbidden("a command that names no keychain");
  const strange = operands.find((path) => !path.startsWith("/"));
  if (strange !== undefined) throw new Forbidden(`a keychain by a relative path: ${strange}`);
  return operands;
}

function shown(state: MacState, path: string): string {
  return keychainAt(state, path) ? fileOf(state, path) : path;
}
