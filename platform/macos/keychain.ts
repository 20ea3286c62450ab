/**
 * keychain: a keychain of its own for one user's bundles, as the document describes it, driven by
 * Apple's `security` (security_commands.ts lists all that is said to it).
 *
 * A key is made here, in this process, and imported; then it cannot be exported again. `security`
 * can neither name a key by our hash nor remove one alone: keychain_contents.ts and
 * removal_certificate.ts say how that is done all the same.
 */
import { generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";
import { type Certificate, parseCertificate } from "../../ca/certificate.ts";
import { DerError } from "../../ca/der.ts";
import { ecdsaFromDer, readPublicKey, sha256Hex } from "../../ca/signature.ts";
import { Problem } from "../errors.ts";
import type {
  CertificateRole,
  KeyAlgorithm,
  OpenTrustStore,
  StoreContents,
  TrustStore,
} from "../trust_store.ts";
import { type ApplicationAccess, type ApplicationWorld, findApplications } from "./applications.ts";
import { ImportFolder } from "./encrypted_key.ts";
import { type KeychainContents, type PublicHalf, publicHalf } from "./keychain_contents.ts";
import {
  keepInUse,
  keychainPath,
  type KeychainPlace,
  type OpenKeychainFile,
  openKeychainFile,
  type PasswordPlace,
  passwordsOf,
  removeKeychain,
} from "./keychain_file.ts";
import { KeychainItems } from "./keychain_items.ts";
import { SecurityTool } from "./security_command.ts";
import type { SecurityFramework } from "./security_framework.ts";

/** How to open a user's keychain. */
export interface OpenKeychain
  extends OpenTrustStore, Omit<KeychainPlace, "framework">, ApplicationWorld {
  framework: SecurityFramework;
  /** Whether the store is wanted (default); when it is not, as for a removal, nothing is made. */
  create?: boolean;
  /** The user's own state folder, where the file of an import is for a moment. */
  stateDir: string;
  /**
   * DER SubjectPublicKeyInfo of every key in the ledger: a keychain tells of a key that has no
   * certificate yet only a hash of another kind.
   */
  publicKeys: () => readonly Uint8Array[];
}

/** A user's keychain. */
export interface KeychainStore extends TrustStore {
  readonly kind: "keychain";
  /** Applications that the agent server named and that ask the user all the same, for `doctor`. */
  readonly refused: ApplicationAccess["refused"];
}

/**
 * A user's keychain; nothing is touched before the first call. Each then throws `not-logged-on` or
 * `store-locked` when the login keychain, which has the password, is not there or not open.
 */
export function openKeychain(options: OpenKeychain): KeychainStore {
  return new Keychain(options);
}

/**
 * The password that the keychain's prompts ask for, for the user to read; undefined when there is
 * none. @throws Problem
 */
export async function readKeychainPassword(place: PasswordPlace): Promise<string | undefined> {
  return await (await passwordsOf(new SecurityTool(place), place)).read();
}

/**
 * Removes the keychain, its entry in the search list and its password items, when they are ours by
 * the ledger and the keychain is empty; returns the paths that went. @throws Problem
 */
export async function removeCreatedKeychain(
  place: KeychainPlace & { stateDir: string },
): Promise<string[]> {
  new ImportFolder(place.stateDir).sweep();
  return await removeKeychain(new SecurityTool(place), place);
}

class Keychain implements KeychainStore {
  readonly kind = "keychain";
  readonly location: string;
  readonly refused: ApplicationAccess["refused"] = [];

  readonly #options: OpenKeychain;
  readonly #tool: SecurityTool;
  readonly #imports: ImportFolder;
  readonly #items: KeychainItems;
  /** Keys that this instance made: it needs nobody's leave to use them. */
  readonly #made = new Map<string, { half: PublicHalf; privateKey: KeyObject }>();
  #open: OpenKeychainFile | undefined;
  #access: ApplicationAccess | undefined;
  #closed = false;

  constructor(options: OpenKeychain) {
    this.#options = options;
    this.#tool = new SecurityTool(options);
    this.#imports = new ImportFolder(options.stateDir);
    this.location = keychainPath(options.home, options.brand);
    const { framework } = options;
    this.#items = new KeychainItems(this.#tool, this.location, this.#imports, framework);
  }

  async createKey(
    algorithm: KeyAlgorithm,
    record: (spki: Uint8Array, spkiSha256: string) => void,
  ): Promise<Uint8Array> {
    const keychain = await this.#wanted();
    const { publicKey, privateKey } = generate(algorithm);
    const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    const half = await publicHalf(spki);
    record(spki, half.spkiSha256);
    const { paths } = await this.#applications();
    const allowed = await this.#items.addKey(privateKey, half, paths, this.#options.random);
    const beyond = paths.slice(allowed.length);
    this.refused.push(...beyond.map((path) => ({ path, reason: "too many are named before it" })));
    await this.#grant(keychain);
    this.#made.set(half.spkiSha256, { half, privateKey });
    return spki;
  }

  async sign(spkiSha256: string, message: Uint8Array): Promise<Uint8Array> {
    const half = (await this.#keys(await this.#read())).get(spkiSha256);
    if (!half) {
      throw new Problem("internal", `There is no key ${spkiSha256} in ${this.location}.`);
    }
    const made = this.#made.get(spkiSha256);
    if (made) {
      const key = { key: made.privateKey, dsaEncoding: "ieee-p1363" } as const;
      return new Uint8Array(signBytes("sha256", message, key));
    }
    const { kind } = readPublicKey(half.spki);
    const key = { keychain: this.location, label: half.label, kind };
    const signature = this.#options.framework.sign(key, message);
    return kind === "RSA" ? signature : ecdsaFromDer(signature);
  }

  async install(role: CertificateRole, der: Uint8Array): Promise<void> {
    const { spki } = parse(der);
    const keychain = await this.#wanted();
    const { certificates, privateKeys } = await this.#items.read();
    if (role === "leaf" && !privateKeys.has((await publicHalf(spki)).label)) {
      const message = `The leaf is not installed: its key is not in ${this.location}.`;
      throw new Problem("internal", message);
    }
    const sha256 = await sha256Hex(der);
    if (!certificates.some((found) => found.sha256 === sha256)) {
      await this.#items.addCertificate(der, sha256);
    }
    if (role !== "leaf") return;
    await this.#grant(keychain);
    keychain.password = await keychain.passwords.rotate(this.location, keychain.password);
  }

  async list(): Promise<StoreContents> {
    const contents = await this.#read();
    const certificates = contents.certificates.filter(({ removesKey }) => !removesKey)
      .map(({ der, sha256, key }) => {
        const hasKey = key !== undefined && contents.privateKeys.has(key.label);
        return { der, sha256, hasKey };
      });
    return { certificates, keys: [...(await this.#keys(contents)).keys()] };
  }

  async applications(): Promise<readonly string[]> {
    return (await this.#applications()).paths;
  }

  async removeCertificate(sha256: string): Promise<void> {
    const { certificates } = await this.#read();
    if (!certificates.some((found) => found.sha256 === sha256)) return;
    await this.#items.removeCertificate(sha256);
  }

  async removeKey(spkiSha256: string): Promise<void> {
    const contents = await this.#read();
    const half = (await this.#keys(contents)).get(spkiSha256);
    if (!half) return;
    const user = contents.certificates.find(({ key }) => key?.label === half.label);
    if (user) {
      throw new Problem(
        "internal",
        `The key ${spkiSha256} is not removed: the certificate ${user.sha256} in ` +
          `${this.location} needs it. Remove the certificate first.`,
      );
    }
    await this.#items.removeKey(half);
  }

  close(): void {
    this.#closed = true;
    this.#open = undefined;
    this.#made.clear();
  }

  /** The open keychain, made when it is not there. */
  async #wanted(): Promise<OpenKeychainFile> {
    const keychain = await this.#reach(this.#options.create !== false);
    if (keychain) return keychain;
    throw new Problem("internal", `${this.location} is not made: it was opened to remove.`);
  }

  /** Opens the keychain once, and ends what an earlier run may have left unfinished. */
  async #reach(create: boolean): Promise<OpenKeychainFile | undefined> {
    if (this.#closed) throw new Problem("internal", `The store ${this.location} is closed.`);
    if (this.#open) return this.#open;
    this.#imports.sweep();
    const keychain = await openKeychainFile(this.#tool, this.#options, create);
    if (!keychain) return undefined;
    await this.#items.finishRemovals();
    if (this.#options.create !== false) {
      await keepInUse(this.#tool, this.#options, this.location);
      if (await this.#items.hasKeys()) await this.#grant(keychain);
    }
    this.#open = keychain;
    return keychain;
  }

  async #read(): Promise<KeychainContents> {
    if (await this.#reach(false)) return await this.#items.read();
    return { certificates: [], privateKeys: new Set(), items: 0 };
  }

  /** The private keys that are there, as far as anything tells our name of them, by that name. */
  async #keys(contents: KeychainContents): Promise<Map<string, PublicHalf>> {
    const recorded = await Promise.all(this.#options.publicKeys().map(publicHalf));
    const made = [...this.#made.values()].map(({ half }) => half);
    const certified = contents.certificates.flatMap(({ key }) => key ?? []);
    const there = [...recorded, ...made, ...certified]
      .filter(({ label }) => contents.privateKeys.has(label));
    return new Map(there.map((half) => [half.spkiSha256, half]));
  }

  /** Lets the signatures of today's applications use the keys; there has to be one. */
  async #grant({ password, passwords }: OpenKeychainFile): Promise<void> {
    const { partitions } = await this.#applications();
    try {
      await this.#items.setPartitions(password, partitions);
    } catch (error) {
      // Needs the password as nothing before it does, and fails without saying why.
      await passwords.confirm(this.location, password);
      throw error;
    }
  }

  async #applications(): Promise<ApplicationAccess> {
    if (!this.#access) {
      this.#access = await findApplications(this.#options);
      this.refused.push(...this.#access.refused);
    }
    return this.#access;
  }
}

function generate(algorithm: KeyAlgorithm) {
  return algorithm === "P-256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
}

function parse(der: Uint8Array): Certificate {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    const message = `What was to be installed cannot be read: ${cause.message}.`;
    throw new Problem("internal", message, { cause });
  }
}
