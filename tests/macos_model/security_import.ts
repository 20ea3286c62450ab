/** `security import`: certificates and encrypted private keys, taken as Apple's importer takes them. */
import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  pbkdf2Sync,
  X509Certificate,
} from "node:crypto";
import { DerReader, sameBytes, TAG } from "../../ca/der.ts";
import type { ParsedWords } from "./command_words.ts";
import { requirementOf } from "./codesign_program.ts";
import type { ModelKeychain } from "./model_state.ts";
import { labelOf } from "./security_items.ts";
import { type CommandWorld, oneOf, opened, valueOf } from "./security_keychains.ts";
import { Forbidden, OsStatus, Usage } from "./security_grammar.ts";

/** The command. The file comes first, before any option, as in `words.operands[0]`. */
export function importCommand(world: CommandWorld, { options, operands }: ParsedWords): number {
  const [file, ...rest] = operands;
  if (file === undefined || rest.length > 0) throw new Usage();
  const applications = options.filter(([letter]) => letter === "T").map(([, path]) => path);
  for (const path of applications) {
    if (exists(path)) continue;
    world.complain(`security: SecTrustedApplicationCreateFromPath ${path}: No such file.`);
    return 1;
  }
  const keychain = opened(
    world.state,
    oneOf([valueOf(options, "k")].flatMap((path) => path ?? [])),
  );
  const bytes = Deno.readFileSync(file);
  const [type, format] = [valueOf(options, "t"), valueOf(options, "f")];
  try {
    if (type === "cert" && format === "x509") importCertificate(keychain, bytes);
    else if (type === "priv" && format === "pkcs8") {
      if (valueOf(options, "A") !== undefined) throw new Forbidden("a key that anything may use");
      checkPrivate(file);
      importKey(keychain, bytes, valueOf(options, "P"), {
        extractable: valueOf(options, "x") === undefined,
        applications: requirements(world, applications),
      });
    } else throw new Forbidden(`import of ${type} as ${format} is not modelled`);
  } catch (error) {
    if (!(error instanceof OsStatus)) throw error;
    world.complain(`security: SecKeychainItemImport: ${error.message}`);
    return 1;
  }
  world.print(type === "cert" ? "1 certificate imported." : "1 key imported.");
  return 0;
}

/** The access list: those that are named, else the importing program itself. */
function requirements({ state }: CommandWorld, paths: readonly string[]): string[] {
  if (paths.length === 0) return ['identifier "com.apple.security" and anchor apple'];
  return paths.flatMap((path) => {
    const code = state.code[path];
    return code ? [requirementOf(code)] : [];
  });
}

function importCertificate(keychain: ModelKeychain, der: Uint8Array): void {
  const certificate = parsed(der);
  const isThere = keychain.certificates.map((other) => parsed(Uint8Array.fromBase64(other)))
    .some((other) =>
      other.issuer === certificate.issuer && other.serialNumber === certificate.serialNumber
    );
  if (isThere) throw new OsStatus("duplicateItem");
  keychain.certificates.push(der.toBase64());
}

function importKey(
  keychain: ModelKeychain,
  der: Uint8Array,
  passphrase: string | undefined,
  access: { extractable: boolean; applications: string[] },
): void {
  const pkcs8 = decryptPkcs8(der, passphrase ?? "");
  const spki = spkiOf(pkcs8);
  const label = labelOf(spki);
  if (keychain.keys.some((key) => key.label === label)) throw new OsStatus("duplicateItem");
  const partitions = ["apple-tool:"];
  keychain.keys.push({ label, pkcs8: pkcs8.toBase64(), ...access, partitions });
}

/** The public half, with what an EC key says of it compared with what it is. */
function spkiOf(pkcs8: Uint8Array): Uint8Array {
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const spki = new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
    const point = spki.subarray(-65);
    const written = indexOf(pkcs8, point) >= 0;
    if (key.asymmetricKeyType === "ec" && !written) throw new OsStatus("decode");
    return spki;
  } catch (error) {
    if (error instanceof OsStatus) throw error;
    throw new OsStatus("decode");
  }
}

const PBES2 = "1.2.840.113549.1.5.13";
const PBKDF2 = "1.2.840.113549.1.5.12";
const DES_EDE3_CBC = "1.2.840.113549.3.7";

/**
 * An EncryptedPrivateKeyInfo as Apple's importer understands it: PBKDF2 with HMAC-SHA1 (the
 * default, here not to be written out), DES-EDE3-CBC; nothing of what OpenSSL 3 writes by itself.
 */
function decryptPkcs8(bytes: Uint8Array, passphrase: string): Uint8Array {
  const whole = new DerReader(bytes, "EncryptedPrivateKeyInfo").enter(TAG.sequence);
  const algorithm = whole.enter(TAG.sequence);
  const encrypted = whole.read(TAG.octetString).content;
  const expect = (reader: DerReader, oid: string) => {
    if (reader.oid() !== oid) throw new OsStatus("unknownFormat");
  };
  expect(algorithm, PBES2);
  const scheme = algorithm.enter(TAG.sequence);
  const derivation = scheme.enter(TAG.sequence);
  const encryption = scheme.enter(TAG.sequence);
  expect(derivation, PBKDF2);
  const parameters = derivation.enter(TAG.sequence);
  const salt = parameters.read(TAG.octetString).content;
  const iterations = parameters.smallInteger();
  if (!parameters.done) throw new OsStatus("unknownFormat");
  expect(encryption, DES_EDE3_CBC);
  const iv = encryption.read(TAG.octetString).content;
  const key = pbkdf2Sync(passphrase, salt, iterations, 24, "sha1");
  try {
    const cipher = createDecipheriv("des-ede3-cbc", key, iv);
    return Buffer.concat([cipher.update(encrypted), cipher.final()]);
  } catch {
    throw new OsStatus("decode");
  }
}

/** Invariant 4 of the design: nobody else may read the file or enter its folder. */
function checkPrivate(file: string): void {
  const folder = file.slice(0, file.lastIndexOf("/"));
  const modes = [folder, file].map((path) => (Deno.statSync(path).mode ?? 0) & 0o777);
  if (!sameBytes(Uint8Array.from(modes, (mode) => mode & 0o77), Uint8Array.of(0, 0))) {
    throw new Forbidden(`others may read the key's file: ${modes.map((mode) => mode.toString(8))}`);
  }
}

function parsed(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw new OsStatus("unknownFormat");
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  return Buffer.from(bytes).indexOf(Buffer.from(part));
}
