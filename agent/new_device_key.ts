/** Making the device key: once, at enrolment. */
import { dirname } from "node:path";
import { removeLeftovers, writeFileAtomic } from "../platform/files.ts";
import { DEVICE_KEY_ALGORITHM, type DeviceKey, loadKey } from "./device_key.ts";

/**
 * Makes a key and writes it durably (PKCS#8 PEM, 0600) before anybody can learn of it.
 *
 * @param machine what tells this machine from others; see `SystemFacts`
 */
export async function createDeviceKey(path: string, machine?: string): Promise<DeviceKey> {
  const pair = await crypto.subtle.generateKey(DEVICE_KEY_ALGORITHM, true, ["sign", "verify"]);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const lines = btoa(String.fromCharCode(...pkcs8)).replace(/.{64}/g, "$&\n").trimEnd();
  const place = machine === undefined ? "" : `Machine: ${machine}\n`;
  const pem = `${place}-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
  // One that was killed here left its key beside the place.
  removeLeftovers(dirname(path));
  writeFileAtomic(path, new TextEncoder().encode(pem), { mode: 0o600 });
  return await loadKey(pkcs8, machine);
}
