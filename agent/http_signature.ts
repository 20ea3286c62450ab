/**
 * The signing half of HTTP message signatures (RFC 9421) and content digests (RFC 9530), as
 * DESIGN section 5 profiles them. Pure but for the signer and Web Crypto's digest; the verifying
 * half, which only a server needs, is mock_server/signature_verification.ts.
 */

/** Signature algorithms of the profile. ECDSA signatures are r and s concatenated. */
export type SignatureAlgorithm = "ecdsa-p256-sha256" | "rsa-v1_5-sha256";

/** A signature's label in `Signature-Input`: the device's own, and the current leaf's. */
export type SignatureLabel = "device" | "leaf";

/** The parts of a request that a signature covers. */
export interface CoveredRequest {
  method: string;
  /** The server's public URL plus path and query. */
  targetUri: string;
  /** Absent for a request without a body. */
  body?: Uint8Array;
}

/** Somebody who can sign for a key without showing it. */
export interface RequestSigner {
  label: SignatureLabel;
  keyid: string;
  alg: SignatureAlgorithm;
  /** Signs the message itself (hashing included). */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Parameters that make each signature its own. */
export interface SignatureMoment {
  /** Server time, whole seconds since 1970. */
  created: number;
  /** 16 random bytes in base64url; a fresh one for every signature. */
  nonce: () => string;
}

/** The `tag` parameter that tells our signatures from other applications' (RFC 9421, 2.3). */
export const SIGNATURE_TAG = "device-trust";

/** Header fields that carry one signature; several are joined with ", " (RFC 9421, 4.3). */
export interface SignatureFields {
  "signature-input": string;
  signature: string;
}

/** `Content-Digest` of a body with SHA-256 (RFC 9530, section 2). */
export async function contentDigest(body: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", body.slice());
  return `sha-256=:${base64(new Uint8Array(digest))}:`;
}

/** The signature parameters of one signature, the inner list of `Signature-Input`. */
export function signatureParameters(
  components: readonly CoveredComponent[],
  signer: Pick<RequestSigner, "keyid" | "alg">,
  moment: SignatureMoment,
): string {
  const covered = components.map((component) => `"${component}"`).join(" ");
  return `(${covered});created=${moment.created};nonce="${moment.nonce()}"` +
    `;keyid="${signer.keyid}";alg="${signer.alg}";tag="${SIGNATURE_TAG}"`;
}

/** A component that a signature of this profile may cover. */
export type CoveredComponent = "@method" | "@target-uri" | "content-digest";

/** The signature base (RFC 9421, 2.5): a line for each component, in the order of the parameters. */
export function signatureBase(
  components: readonly CoveredComponent[],
  values: Readonly<Record<CoveredComponent, string>>,
  parameters: string,
): string {
  return [
    ...components.map((component) => `"${component}": ${values[component]}`),
    `"@signature-params": ${parameters}`,
  ].join("\n");
}

/** Signs a request once; the fields are to be sent beside `Content-Digest` of the same body. */
export async function signRequest(
  request: CoveredRequest,
  signer: RequestSigner,
  moment: SignatureMoment,
): Promise<SignatureFields> {
  const components: CoveredComponent[] = ["@method", "@target-uri"];
  if (request.body) components.push("content-digest");
  const values = {
    "@method": request.method,
    "@target-uri": request.targetUri,
    "content-digest": request.body ? await contentDigest(request.body) : "",
  };
  const parameters = signatureParameters(components, signer, moment);
  const base = signatureBase(components, values, parameters);
  const signature = await signer.sign(new TextEncoder().encode(base));
  return {
    "signature-input": `${signer.label}=${parameters}`,
    signature: `${signer.label}=:${base64(signature)}:`,
  };
}

/** 16 random bytes in base64url, from the given source (default: the system's). */
export function randomNonce(
  random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array = (bytes) => crypto.getRandomValues(bytes),
): string {
  return base64(random(new Uint8Array(16)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
