/** Commands of `security` on what keychains hold. */
import { createHash, X509Certificate } from "node:crypto";
import { DerReader, TAG } from "../../ca/der.ts";
import type { ParsedWords } from "./command_words.ts";
import { type MacState, type ModelKeychain, type ModelPassword, nameOf } from "./model_state.ts";
import {
  askedFor,
  existing,
  type ModelCommand,
  oneOf,
  opened,
  valueOf,
} from "./security_keychains.ts";
import { Forbidden, OsStatus, Usage } from "./security_grammar.ts";

/** Commands by name. */
export const ITEM_COMMANDS: Readonly<Record<string, ModelCommand>> = {
  "add-generic-password"({ state }, { options, operands }) {
    const [account, service] = [valueOf(options, "a"), valueOf(options, "s")];
    const password = valueOf(options, "w");
    if (account === undefined || service === undefined) throw new Usage();
    if (valueOf(options, "A") !== undefined) throw new Forbidden("a password that anything reads");
    const keychain = opened(state, oneOf(operands));
    const label = valueOf(options, "l") ?? service;
    const found = valueOf(options, "U") === undefined ? undefined : findPassword(keychain, options);
    if (found) {
      if (valueOf(options, "T") !== undefined) throw askedFor(state, "leave to change an item");
      found.password = password ?? "";
      found.label = valueOf(options, "l") ?? found.label;
      return;
    }
    // An item is told apart by account and service alone.
    if (
      keychain.passwords.some((other) => other.account === account && other.service === service)
    ) {
      throw new OsStatus("duplicateItem");
    }
    keychain.passwords.push({ account, service, label, password: password ?? "" });
  },

  "find-generic-password"({ state, print }, { options, operands }) {
    const path = oneOf(operands);
    const item = findPassword(existing(state, path), options);
    if (!item) throw new OsStatus("itemNotFound");
    if (valueOf(options, "w") === undefined) throw new Forbidden("prints more than the password");
    opened(state, path);
    print(item.password);
  },

  "delete-generic-password"({ state, complain }, { options, operands }) {
    const keychain = existing(state, oneOf(operands));
    const item = findPassword(keychain, options);
    if (!item) throw new OsStatus("itemNotFound");
    keychain.passwords = keychain.passwords.filter((other) => other !== item);
    complain("password has been deleted.");
  },

  "find-certificate"({ state, print }, { options, operands }) {
    const { certificates } = existing(state, oneOf(operands));
    for (const letter of ["c", "e", "m"]) {
      if (valueOf(options, letter) !== undefined) throw new Forbidden("finds by name");
    }
    const all = valueOf(options, "a") !== undefined;
    if (!all && certificates.length === 0) throw new OsStatus("itemNotFound");
    for (const der of all ? certificates : certificates.slice(0, 1)) {
      if (valueOf(options, "Z") !== undefined) {
        print(`SHA-256 hash: ${hashOf("sha256", der)}`);
        print(`SHA-1 hash: ${hashOf("sha1", der)}`);
      }
      print(new X509Certificate(bytesOf(der)).toString().trimEnd());
    }
  },

  "delete-certificate": (world, words) => deleteCertificate(world, words, false),

  "delete-identity": (world, words) => deleteCertificate(world, words, true),

  "dump-keychain"({ state, print }, { options, operands }) {
    if (options.length > 0) throw new Forbidden("dumps secrets, or asks");
    const path = oneOf(operands);
    const { keys, certificates, passwords } = existing(state, path);
    const item = (itemClass: string, attributes: string[]) => {
      print(`keychain: "${nameOf(path)}-db"`);
      print("version: 512");
      print(`class: ${itemClass}`);
      print("attributes:");
      for (const attribute of attributes) print(`    ${attribute}`);
    };
    for (const { account, service, label } of passwords) {
      item('"genp"', [
        `0x00000007 <blob>="${label}"`,
        `"acct"<blob>="${account}"`,
        `"svce"<blob>="${service}"`,
      ]);
    }
    for (const der of certificates) {
      item("0x80001000 ", [`"hpky"<blob>=${printed(labelOfCertificate(der))}`]);
    }
    for (const { label } of keys) {
      item("0x00000010 ", [
        "0x00000000 <uint32>=0x00000010 ",
        '0x00000001 <blob>="Imported Private Key"',
        "0x00000002 <blob>=<NULL>",
        `0x00000006 <blob>=${printed(label)}`,
      ]);
    }
  },

  "set-key-partition-list"({ state, complain }, { options, operands }) {
    const path = oneOf(operands);
    const partitions = valueOf(options, "S");
    const password = valueOf(options, "k");
    if (partitions === undefined) throw new Usage();
    if (password === undefined) throw askedFor(state, `the password of ${path}`);
    if (valueOf(options, "t") !== "private") throw new Forbidden("not for private keys alone");
    const keychain = existing(state, path);
    if (keychain.locked && keychain.password !== password) {
      return failed(complain, "SecKeychainUnlock", new OsStatus("authFailed"));
    }
    keychain.locked = false;
    if (keychain.keys.length === 0) {
      return failed(complain, "SecItemCopyMatching", new OsStatus("itemNotFound"));
    }
    if (keychain.password !== password) {
      const call = "SecKeychainItemSetAccessWithPassword";
      return failed(complain, call, new OsStatus("authFailed"));
    }
    for (const key of keychain.keys) key.partitions = partitions.split(",");
  },

  "set-identity-preference"({ state }, { options, operands }) {
    const service = valueOf(options, "s");
    if (service === undefined) throw new Usage();
    // Preferences are items of the login keychain.
    opened(state, state.login ?? "");
    if (valueOf(options, "n") !== undefined) {
      if (operands.length > 0) throw new Forbidden("clears in a keychain that has none");
      if (state.identityPreferences[service] === undefined) throw new OsStatus("itemNotFound");
      delete state.identityPreferences[service];
      return;
    }
    const hash = valueOf(options, "Z");
    if (hash === undefined) throw new Forbidden("finds by name");
    const { certificates, keys } = existing(state, oneOf(operands));
    const der = certificates.find((der) => matches(der, hash));
    if (der === undefined || !keys.some(({ label }) => label === labelOfCertificate(der))) return 1;
    state.identityPreferences[service] = hashOf("sha256", der);
  },

  "get-identity-preference"({ state, print }, { options }) {
    if (valueOf(options, "Z") === undefined) throw new Forbidden("prints no hash");
    const hash = state.identityPreferences[valueOf(options, "s") ?? ""];
    // It refers to the certificate itself, and to nothing once that is gone.
    const isThere = (der: string) => hashOf("sha256", der) === hash;
    const found = state.searchList.flatMap((path) => state.keychains[path]?.certificates ?? []);
    if (hash === undefined || !found.some(isThere)) throw new OsStatus("itemNotFound");
    print(`SHA-256 hash: ${hash}`);
  },
};

/** SHA-1 of the bits of a certificate's key, upper-case hexadecimal: its private key's label. */
export function labelOfCertificate(der: string): string {
  return labelOf(
    new X509Certificate(bytesOf(der)).publicKey.export({ type: "spki", format: "der" }),
  );
}

/** {@link labelOfCertificate} of a DER SubjectPublicKeyInfo. */
export function labelOf(spki: Uint8Array): string {
  const info = new DerReader(spki, "SubjectPublicKeyInfo").enter(TAG.sequence);
  info.read(TAG.sequence);
  return createHash("sha1").update(info.bitString()).digest("hex").toUpperCase();
}

/** Bytes as print_buffer() of Apple's source prints them. */
function printed(digits: string): string {
  const bytes = [...Uint8Array.fromHex(digits)];
  const isPrintable = (byte: number) => byte >= 0x20 && byte <= 0x7e && byte !== 0x5c;
  const text = bytes.map((byte) =>
    isPrintable(byte) ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`
  ).join("");
  if (bytes.every(isPrintable)) return `"${text}"`;
  return `0x${digits} ${bytes.some(isPrintable) ? ` "${text}"` : ""}`;
}

function deleteCertificate(
  { state, complain }: Parameters<ModelCommand>[0],
  { options, operands }: ParsedWords,
  withKey: boolean,
): number | void {
  if (valueOf(options, "t") !== undefined) throw new Forbidden("changes trust settings");
  const hash = valueOf(options, "Z");
  if (hash === undefined) throw new Forbidden("finds by name");
  const keychain = opened(state, oneOf(operands));
  const der = keychain.certificates.find((der) => matches(der, hash));
  if (der === undefined) {
    complain(`Unable to delete certificate matching "${hash}"`);
    return 1;
  }
  if (withKey) {
    const label = labelOfCertificate(der);
    keychain.keys = keychain.keys.filter((key) => key.label !== label);
  }
  keychain.certificates = keychain.certificates.filter((other) => other !== der);
}

/** Where account and service are given, no other attribute is looked at. */
function findPassword(
  { passwords }: ModelKeychain,
  options: ParsedWords["options"],
): ModelPassword | undefined {
  const [account, service] = [valueOf(options, "a"), valueOf(options, "s")];
  if (account === undefined || service === undefined) {
    throw new Forbidden("finds a password by less than account and service");
  }
  return passwords.find((item) => item.account === account && item.service === service);
}

function failed(complain: (line: string) => void, call: string, status: OsStatus): number {
  complain(`security: ${call}: ${status.message}`);
  return 1;
}

function matches(der: string, hash: string): boolean {
  return hash.toUpperCase() === hashOf(hash.length === 40 ? "sha1" : "sha256", der);
}

function hashOf(algorithm: "sha1" | "sha256", der: string): string {
  return createHash(algorithm).update(bytesOf(der)).digest("hex").toUpperCase();
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(base64);
}

/** Where a key is, among the keychains that applications look through. */
export function findKey(state: MacState, label: string): string | undefined {
  return state.searchList.find((path) =>
    state.keychains[path]?.keys.some((key) => key.label === label.toUpperCase())
  );
}
