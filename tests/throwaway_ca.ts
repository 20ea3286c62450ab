/** A certificate authority of the moment, made with openssl: certificates for any public key. */

/** What a throw-away certificate says. */
export interface ThrowawayCertificate {
  /** An openssl subject, `/CN=...`. */
  subject: string;
  /** Hexadecimal; random by default. */
  serial?: string;
  days?: number;
}

/** A root of the moment. All certificates are DER. */
export interface ThrowawayCa {
  /** Holds `ca.pem` and `ca.key`. */
  folder: string;
  root: Uint8Array;
  /** Another self-signed certificate, of a key of its own. */
  selfSigned(subject: string): Uint8Array;
  /** @param spki DER SubjectPublicKeyInfo */
  issue(spki: Uint8Array, certificate: ThrowawayCertificate): Uint8Array;
}

/** Makes one in a new folder below `folder`. */
export function makeThrowawayCa(folder: string): ThrowawayCa {
  const dir = Deno.makeTempDirSync({ dir: folder, prefix: "ca-" });
  selfSign(dir, "/CN=Throw-away Root", "ca");
  return openThrowawayCa(dir);
}

/** One that was made before, in its own folder. */
export function openThrowawayCa(folder: string): ThrowawayCa {
  return {
    folder,
    root: pemToDer(Deno.readTextFileSync(`${folder}/ca.pem`)),
    selfSigned: (subject) => selfSign(folder, subject, "other"),
    issue(spki, { subject, serial, days = 30 }) {
      Deno.writeTextFileSync(`${folder}/public.pem`, derToPem(spki, "PUBLIC KEY"));
      openssl(folder, [
        ...["x509", "-new", "-force_pubkey", "public.pem", "-subj", subject],
        ...["-CA", "ca.pem", "-CAkey", "ca.key", "-days", String(days)],
        ...["-set_serial", `0x${serial ?? randomHex(16)}`, "-out", "issued.pem"],
      ]);
      return pemToDer(Deno.readTextFileSync(`${folder}/issued.pem`));
    },
  };
}

function selfSign(folder: string, subject: string, name: string): Uint8Array {
  openssl(folder, [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", subject, "-days", "30"],
  ]);
  return pemToDer(Deno.readTextFileSync(`${folder}/${name}.pem`));
}

/** The DER of the first block of a PEM text. */
export function pemToDer(pem: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(pem.replace(/-----[^-]+-----/g, "").replace(/\s/g, ""));
}

/** RFC 7468 armour. */
export function derToPem(der: Uint8Array, label: string): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function openssl(cwd: string, args: string[]): void {
  const { success, stderr } = new Deno.Command("openssl", { args, cwd }).outputSync();
  if (!success) throw new Error(`openssl ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
}

function randomHex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  random[0] = (random[0] ?? 0) & 0x7f | 0x40;
  return random.toHex();
}
