/** What administrators want of a fleet, by chance. */
import type { Device } from "./device.ts";
import type { Fleet } from "./fleet.ts";
import { DAY, HOUR, MINUTE } from "./timeline.ts";
import type { Happening } from "./troubles.ts";

/** What administrators do, of the fleet and of its devices. */
export const ORDERS: Readonly<Record<string, Happening>> = {
  "OFF": async (fleet) => {
    const { random, timeline } = fleet;
    await fleet.admin("PUT", "settings", { globalCertificateDistribution: false });
    const long = random.pick([MINUTE, HOUR, 20 * DAY]);
    timeline.after(random.between(1, long), async () => {
      fleet.trace.count("ON");
      await fleet.admin("PUT", "settings", { globalCertificateDistribution: true });
    });
  },
  "bind": async (fleet) => {
    let bound = false;
    const { store } = fleet.server.context;
    for (const device of fleet.devices) {
      const { deviceId } = device;
      if (deviceId === undefined || store.devices.get(deviceId)?.deletedAt !== null) continue;
      for (const home of device.homes.values()) {
        if (store.bindings.byAccount(deviceId, home.name) || fleet.random.chance(0.3)) continue;
        bound = await fleet.bind(device, home) || bound;
      }
    }
    return bound ? undefined : false;
  },
  "unbind": async (fleet) => {
    const binding = anyBinding(fleet);
    if (!binding) return false;
    await fleet.admin("DELETE", `devices/${binding.deviceId}/users/${binding.userId}`);
  },
  "unbind and bind another": async (fleet) => {
    await ORDERS["unbind"]?.(fleet);
    return await ORDERS["bind"]?.(fleet);
  },
  "other account": async (fleet) => {
    const binding = anyBinding(fleet);
    const home = fleet.anyHome();
    const { bindings } = fleet.server.context.store;
    if (!binding || bindings.byAccount(binding.deviceId, home.name)) return false;
    const { deviceId, userId } = binding;
    await fleet.admin("PUT", `devices/${deviceId}/users/${userId}`, { username: home.name });
  },
  "delete user": async (fleet) => {
    const [userId] = fleet.users.splice(fleet.random.between(0, fleet.users.length - 1), 1);
    if (userId !== undefined) await fleet.admin("DELETE", `users/${userId}`);
    await fleet.addUser();
  },
  "delete device": async (fleet) => {
    const { deviceId } = fleet.focus;
    const record = deviceId && fleet.server.context.store.devices.get(deviceId);
    if (!record || record.deletedAt !== null) return false;
    await fleet.admin("DELETE", `devices/${deviceId}`);
  },
  "enrol": async (fleet) => {
    const left = fleet.devices.filter((device) => device.on && device.deviceId === undefined);
    for (const device of left) await fleet.enrol(device);
    return left.length > 0 ? undefined : false;
  },
  "unenroll": async (fleet) => {
    const device = fleet.focus;
    if (!device.on || !device.watch) return false;
    device.unenrolled = true;
    await command(device, "unenroll");
  },
  "renew here": async (fleet) => {
    const device = fleet.focus;
    if (!device.on || !device.watch) return false;
    device.renews = true;
    await command(device, "renew");
    device.renews = false;
  },
  "renew everything": (fleet) => {
    const spreadSeconds = fleet.random.between(0, 2 * DAY / 1000);
    return fleet.admin("POST", "certificates/renew", { spreadSeconds });
  },
  "revoke": async (fleet) => {
    const binding = anyBinding(fleet);
    if (!binding) return false;
    const live = fleet.server.live(binding.deviceId, binding.userId);
    if (live.length === 0) return false;
    const reason = fleet.random.pick(["keyCompromise", "superseded", "privilegeWithdrawn"]);
    const { serial } = fleet.random.pick(live);
    await fleet.admin("POST", `certificates/${serial}/revoke`, { reason });
  },
  "patterns": (fleet) => {
    const port = fleet.random.between(1, 65535);
    return fleet.admin("PUT", "settings", { selectionPatterns: [`https://portal.test:${port}`] });
  },
  "key algorithm": (fleet) => {
    const keyAlgorithm = fleet.random.chance(0.05) ? "RSA-2048" : "P-256";
    return fleet.admin("PUT", "settings", { keyAlgorithm });
  },
  "new intermediate": async (fleet) => {
    await fleet.server.ownAuthority();
    await fleet.admin("POST", "authority/renew", { renew: "intermediate" });
  },
  "new root": async (fleet) => {
    await fleet.server.ownAuthority();
    await fleet.admin("POST", "authority/renew", { renew: "root" });
  },
  "overlap": (fleet) => {
    const overlapSeconds = fleet.random.pick([0, 60, 86_400, 7 * 86_400, 20 * 86_400]);
    return fleet.admin("PUT", "settings", { overlapSeconds });
  },
};

/** Has an agent do something for who sits before the device. */
async function command(device: Device, what: "unenroll" | "renew"): Promise<void> {
  device.disturb();
  await device.watch?.command({ do: what });
  device.disturb();
}

function anyBinding(fleet: Fleet): { deviceId: string; userId: string } | undefined {
  const { bindings, devices } = fleet.server.context.store;
  const { deviceId } = fleet.focus;
  if (deviceId === undefined || devices.get(deviceId)?.deletedAt !== null) return undefined;
  const managed = bindings.managedOn(deviceId);
  return managed.length === 0 ? undefined : { deviceId, ...fleet.random.pick(managed) };
}
