/**
 * Names that follow the brand (DESIGN: S4, S9, S11). Pure, imports nothing, so every folder may
 * import it and no two of them can disagree about a name.
 */

/** The brand of the document that this system follows. */
export const DEFAULT_BRAND = "JumpCloud";

/** What a brand may be: it becomes part of file names and certificate names. */
export const BRAND_PATTERN = /^[A-Za-z0-9]{1,32}$/;

/** Common name of every intermediate; selection filters match it (it is the leaf's issuer). */
export const INTERMEDIATE_NAME = "device-trust.intermediate";

/** Common name of the root certificate. */
export function rootName(brand: string): string {
  return `${brand} Production Device Identification Root CA`;
}

/** Reads `rootName` back; undefined for anything else. */
export function brandOfRoot(name: string): string | undefined {
  const end = rootName("");
  const brand = name.slice(0, -end.length);
  return name.endsWith(end) && BRAND_PATTERN.test(brand) ? brand : undefined;
}

/** Common name of a leaf; `suffix` is eight lower-case hexadecimal digits, unique per CA. */
export function leafName(brand: string, suffix: string): string {
  return `${brand} Device Trust Certificate - ${suffix}`;
}

/** Whether `name` is a leaf name of this brand. Says nothing of who issued it. */
export function isLeafName(brand: string, name: string): boolean {
  const prefix = leafName(brand, "");
  return name.startsWith(prefix) && /^[0-9a-f]{8}$/.test(name.slice(prefix.length));
}

/** The leaf's SAN URI: which device and which user it speaks for. */
export function leafUri(deviceId: string, userId: string): string {
  return `urn:device-trust:${deviceId}:${userId}`;
}

/** Reads `leafUri` back; undefined for anything else. Ids are lower-case UUIDs. */
export function parseLeafUri(uri: string): { deviceId: string; userId: string } | undefined {
  const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
  const match = new RegExp(`^urn:device-trust:(${uuid}):(${uuid})$`).exec(uri);
  if (!match?.[1] || !match[2]) return undefined;
  return { deviceId: match[1], userId: match[2] };
}

/** File name of the selection filter in a managed-policy folder on Linux. */
export function policyFileName(brand: string): string {
  return `${brand}CertificateAutoselect.json`;
}
