/** Reads what `security` prints of a keychain. */
import { type Certificate, parseCertificate } from "../../ca/certificate.ts";
import { DerError, fromPem, hex } from "../../ca/der.ts";
import { keyIdentifier, sha256Hex } from "../../ca/signature.ts";
import { isRemovalCertificate } from "./removal_certificate.ts";
import type { SecurityTool } from "./security_command.ts";
import { SECURITY } from "./security_commands.ts";

/** A certificate in a keychain. */
export interface KeychainCertificate {
  der: Uint8Array;
  /** SHA-256, lower-case hexadecimal. */
  sha256: string;
  /** Its key, where it can be read: other people's certificates may be anything. */
  key: PublicHalf | undefined;
  /** Whether it is only there to take its key away, see removal_certificate.ts. */
  removesKey: boolean;
}

/** A public key under the two names that it has. */
export interface PublicHalf {
  /** DER SubjectPublicKeyInfo. */
  spki: Uint8Array;
  /** SHA-256 of the SPKI, lower-case hexadecimal: the name in this program. */
  spkiSha256: string;
  /** SHA-1 of the key's bits, lower-case hexadecimal: the keychain's name of its private key. */
  label: string;
}

/** What a keychain holds. */
export interface KeychainContents {
  certificates: KeychainCertificate[];
  /** Labels of private keys, see {@link PublicHalf}. */
  privateKeys: ReadonlySet<string>;
  /** How many things there are in all, passwords and notes too; no unfinished imports. */
  items: number;
}

/** Reads a keychain afresh. @throws Problem */
export async function readKeychain(
  tool: SecurityTool,
  keychain: string,
): Promise<KeychainContents> {
  const certificates = await readCertificates(tool, keychain);
  return { certificates, ...await readItems(tool, keychain) };
}

/** The certificates alone. */
export async function readCertificates(
  tool: SecurityTool,
  keychain: string,
): Promise<KeychainCertificate[]> {
  const pems = await tool.do(SECURITY.certificates(keychain), doing(keychain));
  return await Promise.all(certificatesIn(pems).map(describe));
}

/** The rest alone. */
export async function readItems(
  tool: SecurityTool,
  keychain: string,
): Promise<Pick<KeychainContents, "privateKeys" | "items">> {
  return itemsIn(await tool.do(SECURITY.dumpKeychain(keychain), doing(keychain)));
}

/** Both names of a public key. */
export async function publicHalf(spki: Uint8Array): Promise<PublicHalf> {
  return { spki, spkiSha256: await sha256Hex(spki), label: hex(await keyIdentifier(spki)) };
}

/** The absolute paths in what `list-keychains` and `login-keychain` print. */
export function pathsIn(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*"(\/.*)"\s*$/.exec(line)?.[1] ?? []);
}

function doing(keychain: string): string {
  return `Cannot read the keychain ${keychain}`;
}

function certificatesIn(pems: string): Uint8Array[] {
  const blocks = pems.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => fromPem("CERTIFICATE", block, block.length));
}

async function describe(der: Uint8Array): Promise<KeychainCertificate> {
  const spki = readable(der)?.spki;
  const key = spki && await publicHalf(spki);
  const removesKey = spki !== undefined && await isRemovalCertificate(der, spki);
  return { der, sha256: await sha256Hex(der), key, removesKey };
}

function readable(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** kSecPrivateKeyItemClass; and the attribute that holds a key's label. */
const PRIVATE_KEY = /^class: 0x00000010\s*$/m;
const LABEL = /^ *0x00000006 ?<blob>=(?:0x([0-9A-F]+)|"(.*)"$)/m;

/**
 * What a key is called inside of Apple's importer, until it knows its hash. One that still is was
 * cut off by a power failure: of use to nobody, and out of every command's reach.
 */
const UNFINISHED_IMPORT = /^[0-9A-F]{16}$/;

/** An item is its lines from `keychain:` to the next. */
function itemsIn(dump: string): { privateKeys: Set<string>; items: number } {
  const items = dump.split(/^keychain: /m).slice(1);
  const labels = items.filter((item) => PRIVATE_KEY.test(item)).map(labelIn);
  const finished = labels.filter((label) => !UNFINISHED_IMPORT.test(label.text));
  return {
    privateKeys: new Set(finished.map(({ digits }) => digits)),
    items: items.length - (labels.length - finished.length),
  };
}

/** A label as `security` prints it: bytes that are all printable as text, others in hexadecimal. */
function labelIn(item: string): { digits: string; text: string } {
  const [, digits, text = ""] = LABEL.exec(item) ?? [];
  return { digits: digits?.toLowerCase() ?? hex(new TextEncoder().encode(text)), text };
}
