/**
 * The device key: the agent's own P-256 key, which signs every request. `state/device.key`, PKCS#8
 * PEM, 0600, root: the one private key that is a file of ours (DESIGN invariant 4). A line before it
 * names the machine that it was made on (RFC 7468 lets text stand there).
 */
import { Problem } from "../platform/errors.ts";
import type { RequestSigner } from "./http_signature.ts";

/** The one kind of key that a device has (Web Crypto). */
export const DEVICE_KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

/** A device key as loaded: it signs, and shows only its public half. */
export interface DeviceKey {
  /** Public key as JWK (RFC 7517): `kty`, `crv`, `x`, `y` and nothing else. */
  publicJwk: { kty: "EC"; crv: "P-256"; x: string; y: string };
  /** RFC 7638 thumbprint with SHA-256, base64url. */
  thumbprint: string;
  /** The machine that it was made on, see `SystemFacts`; absent where that has no id. */
  machine?: string;
  /** A signer for label `device`; `keyid` is the deviceId, or the thumbprint at enrolment. */
  signer(keyid: string): RequestSigner;
}

/**
 * Reads the key; undefined when there is no such file.
 *
 * @throws Problem `internal` when the file is not a P-256 key in PKCS#8 PEM
 */
export async function readDeviceKey(path: string): Promise<DeviceKey | undefined> {
  let bytes: Uint8Array;
  try {
    // The folder is root's own, 0700: nobody else can have put anything at this path.
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const text = new TextDecoder().decode(bytes);
  const match = /-----BEGIN PRIVATE KEY-----([\s\S]+)-----END PRIVATE KEY-----/.exec(text);
  const machine = /^Machine: ([0-9a-f]{64})$/m.exec(text)?.[1];
  try {
    const pkcs8 = Uint8Array.from(atob(match?.[1]?.replace(/\s/g, "") ?? ""), byte);
    return await loadKey(pkcs8, machine);
  } catch (cause) {
    // The cause is about format alone; it cannot hold key bytes.
    throw new Problem(
      "internal",
      `Cannot use '${path}': it is not a P-256 private key. Remove it, then enrol this device again.`,
      { cause },
    );
  }
}

/** A key from its PKCS#8 DER. */
export async function loadKey(pkcs8: Uint8Array, machine?: string): Promise<DeviceKey> {
  const bytes = pkcs8.slice();
  const exportable = await crypto.subtle.importKey("pkcs8", bytes, DEVICE_KEY_ALGORITHM, true, [
    "sign",
  ]);
  const { x, y } = await crypto.subtle.exportKey("jwk", exportable);
  if (!x || !y) throw new Error("The key has no public point.");
  const key = await crypto.subtle.importKey("pkcs8", bytes, DEVICE_KEY_ALGORITHM, false, ["sign"]);
  bytes.fill(0);
  return {
    publicJwk: { kty: "EC", crv: "P-256", x, y },
    thumbprint: await thumbprint(x, y),
    ...(machine === undefined ? {} : { machine }),
    signer: (keyid) => ({
      label: "device",
      keyid,
      alg: "ecdsa-p256-sha256",
      sign: async (message) =>
        new Uint8Array(await crypto.subtle.sign(SIGNING, key, message.slice())),
    }),
  };
}

async function thumbprint(x: string, y: string): Promise<string> {
  const canonical = JSON.stringify({ crv: "P-256", kty: "EC", x, y });
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical));
  return btoa(String.fromCharCode(...new Uint8Array(digest)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const byte = (character: string) => character.charCodeAt(0);
