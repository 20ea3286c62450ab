/** What goes wrong in a fleet, by chance: each thing that happens is counted, and ends some day. */
import { type Device, VICTIMS } from "./device.ts";
import type { Fleet } from "./fleet.ts";
import { HOME_TROUBLES } from "./home.ts";
import { BAD_FOR, NETWORK_FAULTS } from "./network.ts";
import { DAY, HOUR, MINUTE } from "./timeline.ts";

/** Something that may happen to a fleet; false when it could not. */
export type Happening = (fleet: Fleet) => void | false | Promise<void | false>;

/** What happens to devices, networks and homes without anybody's wanting it. */
export const TROUBLES: Readonly<Record<string, Happening>> = {
  "network down": (fleet) => {
    const device = fleet.focus;
    device.network.up = false;
    const long = fleet.random.chance(0.1) ? 3 * DAY : 2 * HOUR;
    fleet.timeline.after(fleet.random.between(MINUTE, long), () => {
      device.network.up = true;
      device.disturb();
      if (device.on) device.watch?.woken();
    });
  },
  "network bad": (fleet) => {
    const { random, timeline } = fleet;
    const device = fleet.focus;
    const faults = random.chance(0.3) ? [random.pick(NETWORK_FAULTS)] : NETWORK_FAULTS;
    device.network.bad = { rate: random.pick([0.1, 0.3, 0.7]), faults };
    timeline.after(random.between(BAD_FOR.least, BAD_FOR.most), () => {
      device.network.bad = undefined;
      device.disturb();
      if (device.on) device.watch?.woken();
    });
  },
  "server misbehaves": async (fleet) => {
    const { random, timeline, server } = fleet;
    await fleet.admin("PUT", "faults", { faults: [serverFault(fleet)] });
    timeline.after(random.between(BAD_FOR.least, BAD_FOR.most), async () => {
      if (server.misbehaves) await fleet.admin("PUT", "faults", {});
    });
  },
  "server restarts": ({ server, invariants }) => {
    server.restart();
    invariants.disturb();
  },
  "clock wrong": (fleet) => {
    const { random } = fleet;
    const device = fleet.focus;
    const by = random.pick([2 * MINUTE, HOUR, 3 * DAY, 40 * DAY, 4 * 365 * DAY]);
    setClock(fleet, device, random.chance(0.5) ? by : -by);
  },
  "clock right": (fleet) => setClock(fleet, fleet.focus, 0),
  "kill": ({ random, focus }) => {
    const acts = random.between(1, random.pick([6, 40]));
    const fuse = { acts, done: random.chance(0.5) };
    focus.fuse = { victim: random.pick(VICTIMS), fuse };
  },
  "home trouble": (fleet) => {
    const { random, timeline } = fleet;
    const home = fleet.anyHome();
    home.trouble = random.pick(HOME_TROUBLES);
    // An account that is deleted takes its home along.
    if (home.trouble === "account-missing") home.vanish();
    fleet.trace.count(`home ${home.trouble}`, home.name);
    timeline.after(random.between(5 * MINUTE, random.pick([2 * HOUR, 2 * DAY])), () => {
      home.trouble = undefined;
      home.disturbedAt = timeline.now;
    });
  },
  "disk full": (fleet) => {
    const { random, timeline } = fleet;
    const device = fleet.focus;
    device.diskFull = true;
    timeline.after(random.between(5 * MINUTE, 15 * MINUTE), () => {
      device.diskFull = false;
      device.disturb();
    });
  },
  "leaf deleted by hand": (fleet) => destroy(fleet, "leaf"),
  "key deleted by hand": (fleet) => destroy(fleet, "key"),
  "store wiped": (fleet) => {
    const home = fleet.anyHome();
    home.wipe();
    home.disturbedAt = fleet.timeline.now;
  },
  "foreign things": (fleet) => {
    const home = fleet.anyHome();
    const key = fleet.keys.next("P-256");
    home.keys.set(key.spkiSha256, { ...key, ours: false });
    for (const der of fleet.server.foreign) home.plant(der);
  },
};

function destroy(fleet: Fleet, what: "leaf" | "key"): void | false {
  const home = fleet.anyHome();
  if (!home.destroy(what, fleet.random)) return false;
  home.disturbedAt = fleet.timeline.now;
}

function setClock(fleet: Fleet, device: Device, error: number): void {
  const { trace } = fleet;
  device.clockError = error;
  trace.line(`${device.name}'s clock is ${Math.round(error / MINUTE)} min ahead`);
  device.disturb();
  if (device.on) device.watch?.jumped();
}

function serverFault({ random }: Fleet): Record<string, unknown> {
  const where = {
    route: random.pick(["*", "desired-state", "certificates", "reports"]),
    rate: random.pick([0.2, 0.6, 1]),
  };
  switch (random.pick(["error", "too-many", "cut", "garbage", "wrong-chain"])) {
    case "error":
      return { kind: "error", ...where, status: random.pick([500, 503, 401, 403, 404, 410, 422]) };
    case "too-many":
      return { kind: "too-many", ...where, retryAfterSeconds: random.between(1, 600) };
    case "cut":
      return { kind: "cut", ...where };
    case "garbage":
      return { kind: "garbage", ...where };
    default:
      return { kind: "wrong-chain", ...where };
  }
}
