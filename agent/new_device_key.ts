/** Making the device key: once, at enrolment. */
import { writeFileAtomic } from "../platform/files.ts";
import { DEVICE_KEY_ALGORITHM, type DeviceKey, loadKey } from "./device_key.ts";

/** Makes a key and writes it durably (PKCS#8 PEM, 0600) before anybody can learn of it. */
export async function createDeviceKey(path: string): Promise<DeviceKey> {
  const pair = await crypto.subtle.generateKey(DEVICE_KEY_ALGORITHM, true, ["sign", "verify"]);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const lines = btoa(String.fromCharCode(...pkcs8)).replace(/.{64}/g, "$&\n").trimEnd();
  const pem = `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
  writeFileAtomic(path, new TextEncoder().encode(pem), { mode: 0o600 });
  return await loadKey(pkcs8);
}
