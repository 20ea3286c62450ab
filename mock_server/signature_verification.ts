/**
 * The verifying half of HTTP message signatures (RFC 9421) and content digests (RFC 9530), as
 * DESIGN section 5 profiles them; the signing half is agent/http_signature.ts. Knows no device, no
 * clock and no memory: those are device_authentication.ts's business.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import {
  type Dictionary,
  type InnerList,
  isInnerList,
  parseDictionary,
  ParseError,
  serializeInnerList,
} from "structured-headers";
import {
  type CoveredComponent,
  SIGNATURE_TAG,
  type SignatureAlgorithm,
  signatureBase,
  type SignatureLabel,
} from "../agent/http_signature.ts";
import { RequestProblem } from "./problems.ts";

/** A request as it came. */
export interface ReceivedRequest {
  method: string;
  /** The server's public URL plus path and query: never what `Host` says. */
  targetUri: string;
  header(name: string): string | undefined;
  /** Empty for a request without a body. */
  body: Uint8Array;
}

/** One signature of a request, well formed and covering what it must, not yet verified. */
export interface ReceivedSignature {
  keyid: string;
  alg: SignatureAlgorithm;
  /** Whole seconds since 1970 by the client's clock. */
  created: number;
  nonce: string;
  /** What was signed. */
  base: Uint8Array<ArrayBuffer>;
  value: Uint8Array<ArrayBuffer>;
}

/**
 * Reads the signature of that label; undefined when the request has none. Throws `bad-signature`
 * when it is malformed, leaves out or adds to what the profile covers, or when the body does not
 * have the digest that it covers.
 */
export function readSignature(
  request: ReceivedRequest,
  label: SignatureLabel,
): ReceivedSignature | undefined {
  const input = dictionary(request, "signature-input").get(label);
  const signature = dictionary(request, "signature").get(label);
  if (input === undefined && signature === undefined) return undefined;
  if (input === undefined || !isInnerList(input)) {
    throw refused(`Signature-Input has no list of components for '${label}'`);
  }
  const value = signature && !isInnerList(signature) ? signature[0] : undefined;
  if (!(value instanceof ArrayBuffer)) {
    throw refused(`Signature has no byte sequence for '${label}'`);
  }
  const components = coveredComponents(input, request.body.length > 0);
  const values = {
    "@method": request.method,
    "@target-uri": request.targetUri,
    "content-digest": components.includes("content-digest") ? checkedDigest(request) : "",
  };
  const parameters = readParameters(input);
  const base = signatureBase(components, values, serializeInnerList(input));
  return { ...parameters, base: new TextEncoder().encode(base), value: new Uint8Array(value) };
}

/** Imports a P-256 device key. */
export function importDeviceKey(jwk: { x: string; y: string }): Promise<CryptoKey> {
  const { x, y } = jwk;
  return crypto.subtle.importKey(
    "jwk",
    { kty: "EC", crv: "P-256", x, y },
    ALGORITHMS["ecdsa-p256-sha256"].import,
    false,
    ["verify"],
  );
}

/** Imports a leaf's key from its DER SubjectPublicKeyInfo. */
export function importLeafKey(spki: Uint8Array, alg: SignatureAlgorithm): Promise<CryptoKey> {
  return crypto.subtle.importKey("spki", spki.slice(), ALGORITHMS[alg].import, false, ["verify"]);
}

/** Whether `key` made the signature with the algorithm that it names. */
export async function isSignatureBy(
  signature: ReceivedSignature,
  key: CryptoKey,
): Promise<boolean> {
  const { import: { name }, verify } = ALGORITHMS[signature.alg];
  return key.algorithm.name === name &&
    await crypto.subtle.verify(verify, key, signature.value, signature.base);
}

const ALGORITHMS = {
  "ecdsa-p256-sha256": {
    import: { name: "ECDSA", namedCurve: "P-256" },
    verify: { name: "ECDSA", hash: "SHA-256" },
  },
  "rsa-v1_5-sha256": {
    import: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    verify: { name: "RSASSA-PKCS1-v1_5" },
  },
} as const satisfies Record<SignatureAlgorithm, unknown>;

function refused(message: string, cause?: unknown): RequestProblem {
  return new RequestProblem("bad-signature", message, {}, { cause });
}

function dictionary(request: ReceivedRequest, name: string): Dictionary {
  const field = request.header(name);
  if (field === undefined) return new Map();
  try {
    return parseDictionary(field);
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause;
    throw refused(`${name} is not a dictionary of structured fields: ${cause.message}`, cause);
  }
}

/** Which components, in their order: exactly those of the profile, each once and plain. */
function coveredComponents([items]: InnerList, hasBody: boolean): CoveredComponent[] {
  const names = items.map(([name]) => name);
  if (new Set(names).size !== names.length || items.some(([, parameters]) => parameters.size > 0)) {
    throw refused("a covered component is there twice, or has parameters");
  }
  const components = names.filter(isComponent);
  if (
    components.length !== names.length || !names.includes("@method") ||
    !names.includes("@target-uri")
  ) {
    throw refused(
      'covered must be exactly "@method", "@target-uri" and a body\'s "content-digest"',
    );
  }
  if (hasBody && !names.includes("content-digest")) {
    throw refused("the body's content-digest is not covered");
  }
  return components;
}

function isComponent(name: unknown): name is CoveredComponent {
  return name === "@method" || name === "@target-uri" || name === "content-digest";
}

/** The value of `Content-Digest`, which the body has. */
function checkedDigest(request: ReceivedRequest): string {
  const member = dictionary(request, "content-digest").get("sha-256");
  const digest = member && !isInnerList(member) ? member[0] : undefined;
  if (!(digest instanceof ArrayBuffer) || digest.byteLength !== 32) {
    throw refused("Content-Digest has no sha-256");
  }
  const actual = createHash("sha256").update(request.body).digest();
  if (!timingSafeEqual(new Uint8Array(digest), actual)) {
    throw refused("the body does not have the digest of Content-Digest");
  }
  return request.header("content-digest")?.trim() ?? "";
}

function readParameters(
  [, parameters]: InnerList,
): Pick<ReceivedSignature, "keyid" | "alg" | "created" | "nonce"> {
  const created = parameters.get("created");
  const nonce = parameters.get("nonce");
  const keyid = parameters.get("keyid");
  const alg = parameters.get("alg");
  if (typeof created !== "number" || !Number.isSafeInteger(created)) {
    throw refused("'created' must be whole seconds since 1970");
  }
  if (typeof nonce !== "string" || !/^[A-Za-z0-9_-]{22}$/.test(nonce)) {
    throw refused("'nonce' must be 16 random bytes in base64url");
  }
  if (typeof keyid !== "string" || keyid.length > 128) throw refused("'keyid' must be a string");
  if (alg !== "ecdsa-p256-sha256" && alg !== "rsa-v1_5-sha256") {
    throw refused("'alg' must be ecdsa-p256-sha256 or rsa-v1_5-sha256");
  }
  if (parameters.get("tag") !== SIGNATURE_TAG) throw refused(`'tag' must be "${SIGNATURE_TAG}"`);
  if (parameters.size !== 5) {
    throw refused("parameters must be exactly created, nonce, keyid, alg and tag");
  }
  return { created, nonce, keyid, alg };
}
