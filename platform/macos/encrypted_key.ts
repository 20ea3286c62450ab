/**
 * The file that a private key crosses into the keychain in, for the moment of the import: encrypted
 * under a random passphrase, in a folder of its own that nobody else may enter.
 *
 * The form is the one that Apple's importer reads for RSA and EC alike (its source, release 61901):
 * an EncryptedPrivateKeyInfo (RFC 5958) with PBES2, PBKDF2 with HMAC-SHA1 as the default that is
 * not written out, and DES-EDE3-CBC. What OpenSSL 3 writes (HMAC-SHA256, AES) it refuses, and an
 * encrypted "EC PRIVATE KEY" in PEM it takes for something else. With 190 random bits for a
 * passphrase the derivation is of no importance.
 */
import { createCipheriv, pbkdf2Sync } from "node:crypto";
import { der, derOid, derUnsigned, TAG } from "../../ca/der.ts";
import { Problem } from "../errors.ts";

const PBES2 = derOid("1.2.840.113549.1.5.13");
const PBKDF2 = derOid("1.2.840.113549.1.5.12");
const DES_EDE3_CBC = derOid("1.2.840.113549.3.7");
const ITERATIONS = 2048;

/** Random bytes, so many. */
export type RandomBytes = (length: number) => Uint8Array;

/**
 * A private key (PKCS#8 PrivateKeyInfo, DER) encrypted for Apple's importer, DER.
 *
 * @param passphrase ASCII
 */
export function encryptPrivateKey(
  pkcs8: Uint8Array,
  passphrase: string,
  random: RandomBytes,
): Uint8Array<ArrayBuffer> {
  const salt = random(8);
  const iv = random(8);
  const key = pbkdf2Sync(passphrase, salt, ITERATIONS, 24, "sha1");
  const cipher = createCipheriv("des-ede3-cbc", key, iv);
  const derivation = der(
    TAG.sequence,
    PBKDF2,
    der(
      TAG.sequence,
      der(TAG.octetString, salt),
      derUnsigned(Uint8Array.of(ITERATIONS >> 8, ITERATIONS & 0xff)),
    ),
  );
  const encryption = der(TAG.sequence, DES_EDE3_CBC, der(TAG.octetString, iv));
  const algorithm = der(TAG.sequence, PBES2, der(TAG.sequence, derivation, encryption));
  const octets = der(TAG.octetString, cipher.update(pkcs8), cipher.final());
  return der(TAG.sequence, algorithm, octets);
}

/** Letters and digits, which every program takes as they are; 32 are 190 bits. */
export function randomPassword(random: RandomBytes): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  let password = "";
  while (password.length < 32) {
    // 248 is the last multiple of 62 that a byte can hold: beyond it, some would be likelier.
    for (const byte of random(64)) if (byte < 248) password += alphabet[byte % 62];
  }
  return password.slice(0, 32);
}

/** The folder of import files. */
export class ImportFolder {
  readonly #path: string;

  /** @param stateDir the user's own state folder */
  constructor(stateDir: string) {
    this.#path = `${stateDir}/import`;
  }

  /** Removes what a killed import left. Absent is success. */
  sweep(): void {
    try {
      Deno.removeSync(this.#path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw this.#problem(error);
    }
  }

  /** Calls `use` with the path of a file of these bytes, and leaves nothing behind. */
  async withFile<T>(
    name: string,
    bytes: Uint8Array,
    use: (path: string) => Promise<T>,
  ): Promise<T> {
    this.sweep();
    try {
      const path = this.#write(name, bytes);
      return await use(path);
    } finally {
      this.sweep();
    }
  }

  #write(name: string, bytes: Uint8Array): string {
    const path = `${this.#path}/${name}`;
    try {
      Deno.mkdirSync(this.#path, { recursive: true, mode: 0o700 });
      Deno.writeFileSync(path, bytes, { createNew: true, mode: 0o600 });
      return path;
    } catch (error) {
      throw this.#problem(error);
    }
  }

  #problem(error: unknown): Problem {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const full = code === "ENOSPC" || code === "EDQUOT";
    return new Problem(
      full ? "disk-full" : "internal",
      `Cannot use the folder ${this.#path} for an import: ${code || String(error)}. ` +
        (full ? "Free some space; it is tried again." : "Make it writable for its user."),
      { cause: error },
    );
  }
}
