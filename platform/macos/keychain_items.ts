/** Keys and certificates of one open keychain: each change is read back. */
import type { KeyObject } from "node:crypto";
import { sha256Hex } from "../../ca/signature.ts";
import { Problem } from "../errors.ts";
import { fitting } from "./applications.ts";
import {
  encryptPrivateKey,
  type ImportFolder,
  type RandomBytes,
  randomPassword,
} from "./encrypted_key.ts";
import {
  type KeychainContents,
  type PublicHalf,
  readCertificates,
  readItems,
  readKeychain,
} from "./keychain_contents.ts";
import { explainSecurity, OK } from "./keychain_trouble.ts";
import { removalCertificate } from "./removal_certificate.ts";
import type { SecurityCommand, SecurityTool } from "./security_command.ts";
import { SECURITY } from "./security_commands.ts";
import type { SecurityFramework } from "./security_framework.ts";

/** What is in a keychain. Every method throws Problem. */
export class KeychainItems {
  readonly #tool: SecurityTool;
  readonly #path: string;
  readonly #imports: ImportFolder;
  readonly #framework: Pick<SecurityFramework, "isLocked">;

  constructor(
    tool: SecurityTool,
    path: string,
    imports: ImportFolder,
    framework: Pick<SecurityFramework, "isLocked">,
  ) {
    this.#tool = tool;
    this.#path = path;
    this.#imports = imports;
    this.#framework = framework;
  }

  /** Everything, read afresh. */
  read(): Promise<KeychainContents> {
    return readKeychain(this.#tool, this.#path);
  }

  /**
   * Adds a key that cannot be exported again.
   *
   * @param applications paths of those that may use it, most important first
   * @returns those among them that it has room for
   */
  async addKey(
    key: KeyObject,
    { label }: PublicHalf,
    applications: readonly string[],
    random: RandomBytes,
  ): Promise<string[]> {
    const passphrase = randomPassword(random);
    const pkcs8 = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
    const file = encryptPrivateKey(pkcs8, passphrase, random);
    const allowed = await this.#imports.withFile("key.p8", file, async (path) => {
      const importing = (paths: readonly string[]) =>
        SECURITY.importKey(path, this.#path, passphrase, paths);
      const allowed = fitting(applications, importing([]).words, "-T");
      await this.#change(importing(allowed), "Cannot import a key");
      return allowed;
    });
    if (await this.#hasKey(label)) return allowed;
    throw new Problem("internal", "The key was imported and is not there when read back.");
  }

  /** Adds a certificate (DER) that is not there; its SHA-256 is lower-case hexadecimal. */
  async addCertificate(der: Uint8Array, sha256: string): Promise<void> {
    await this.#imports.withFile("certificate.cer", der, async (file) => {
      const command = SECURITY.importCertificate(file, this.#path);
      await this.#change(command, "Cannot import a certificate");
    });
    if (await this.#holds(sha256)) return;
    throw new Problem("internal", "The certificate was imported and is not there when read back.");
  }

  /** Removes a certificate that is there. Its key stays. */
  async removeCertificate(sha256: string): Promise<void> {
    const command = SECURITY.deleteCertificate(sha256.toUpperCase(), this.#path);
    await this.#change(command, `Cannot remove the certificate ${sha256}`);
    if (!await this.#holds(sha256)) return;
    throw new Problem("internal", `The certificate ${sha256} was removed and is there again.`);
  }

  /** Removes a private key that no certificate needs. */
  async removeKey({ spki, label }: PublicHalf): Promise<void> {
    const der = await removalCertificate(spki);
    const sha256 = await sha256Hex(der);
    await this.addCertificate(der, sha256);
    await this.#removeIdentity(sha256, label);
  }

  /** Ends removals of keys that were interrupted. */
  async finishRemovals(): Promise<void> {
    const certificates = await readCertificates(this.#tool, this.#path);
    for (const { sha256, key, removesKey } of certificates) {
      if (removesKey && key) await this.#removeIdentity(sha256, key.label);
    }
  }

  /** Whether there is any private key. */
  async hasKeys(): Promise<boolean> {
    return (await readItems(this.#tool, this.#path)).privateKeys.size > 0;
  }

  /** Lets the code of these signatures use every private key; there has to be one. */
  async setPartitions(password: string, partitions: readonly string[]): Promise<void> {
    const command = SECURITY.setPartitions(this.#path, password, partitions);
    await this.#change(command, "Cannot give browsers access to the key");
  }

  async #removeIdentity(certificate: string, label: string): Promise<void> {
    const command = SECURITY.deleteIdentity(certificate.toUpperCase(), this.#path);
    await this.#change(command, "Cannot remove a key");
    if (!await this.#hasKey(label) && !await this.#holds(certificate)) return;
    throw new Problem("internal", "The key was removed and is there when read back.");
  }

  /** Most of these commands end with a bare 1; what passes by itself is told apart here. */
  async #change(command: SecurityCommand, doing: string): Promise<void> {
    const answer = await this.#tool.attempt(command);
    if (answer.code === OK) return;
    if (this.#framework.isLocked(this.#path)) {
      const message =
        `${doing}: the keychain ${this.#path} was locked meanwhile. It is tried again.`;
      throw new Problem("store-locked", message);
    }
    throw explainSecurity(doing, command.words[0], answer);
  }

  async #holds(sha256: string): Promise<boolean> {
    const certificates = await readCertificates(this.#tool, this.#path);
    return certificates.some((found) => found.sha256 === sha256);
  }

  async #hasKey(label: string): Promise<boolean> {
    return (await readItems(this.#tool, this.#path)).privateKeys.has(label);
  }
}
