/** Who this device is: its record and its key, if both were made on this machine. */
import type { SystemFacts } from "../platform/platform.ts";
import { type DeviceKey, readDeviceKey } from "./device_key.ts";
import type { DeviceRecord, State } from "./state.ts";

/** What the identity is read from. */
export interface IdentityWorld {
  state: State;
  /** Path of the device key. */
  deviceKey: string;
  system: Pick<SystemFacts, "machine">;
}

/** A device that may act: it has an id, and its key was made on this machine. */
export interface Enrolled {
  device: DeviceRecord & Required<Pick<DeviceRecord, "deviceId" | "publicUrl">>;
  key: DeviceKey;
}

/**
 * The device's identity, or undefined when it has none that counts: never enrolled, enrolment not
 * finished, or copied from another machine (a cloned image).
 */
export async function readIdentity(world: IdentityWorld): Promise<Enrolled | undefined> {
  const device = world.state.device();
  if (!device?.deviceId || !device.publicUrl || isClone(device, world.system)) return undefined;
  const key = await readDeviceKey(world.deviceKey);
  if (!key) {
    // A device that leaves removes its key when nothing else is left but this record.
    if (device.leaving && world.state.users().length === 0) world.state.endDevice(device);
    return undefined;
  }
  return { device: { ...device, deviceId: device.deviceId, publicUrl: device.publicUrl }, key };
}

/** Whether the state was made on another machine than the one it is on now. */
export function isClone(
  device: Pick<DeviceRecord, "machine">,
  system: Pick<SystemFacts, "machine">,
): boolean {
  return device.machine !== undefined && system.machine !== undefined &&
    device.machine !== system.machine;
}
