/** One life of a fleet by its seed, from its first boot to the last receipt. */
import { type Device, DiskFull } from "./device.ts";
import { Fleet, type FleetSize } from "./fleet.ts";
import { CALM, InvariantBroken } from "./invariants.ts";
import { ORDERS } from "./orders.ts";
import { Killed } from "./process.ts";
import { DAY, HOUR, MINUTE, SECOND, Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";
import { type Happening, TROUBLES } from "./troubles.ts";

/** How long and how large. */
export interface LifeSize extends FleetSize {
  days: number;
}

/** What a life was. */
export interface Life {
  seed: number;
  /** SHA-256 of its trace: the same whenever the same happened. */
  digest: string;
  deviceDays: number;
  counts: ReadonlyMap<string, number>;
  /** What must never be, and was. */
  failure?: { message: string; at: number; last: readonly string[] };
}

const BIRTH = Date.parse("2026-01-05T08:00:00Z");

/** Most things that happen in one session of a device. */
const MOST = 3;

/** How often something happens while a message is on its way. */
const MEANWHILE = 0.004;

/** Lives it. */
export async function live(
  seed: number,
  size: LifeSize,
  print?: (line: string) => void,
): Promise<Life> {
  const timeline = new Timeline(BIRTH);
  const trace = new Trace(() => timeline.now, print);
  const fleet = await Fleet.open(seed, size, timeline, trace);
  let failure: Life["failure"];
  try {
    await new Course(fleet).run(size.days);
  } catch (error) {
    const message = error instanceof InvariantBroken ? error.message : String(error);
    const stack = !(error instanceof InvariantBroken) && error instanceof Error ? error.stack : "";
    failure = { message: message + (stack ?? ""), at: timeline.now, last: [...trace.last] };
  } finally {
    for (const device of fleet.devices) device.close();
    fleet.server.close();
  }
  return {
    seed,
    digest: trace.digest(),
    deviceDays: size.devices * (timeline.now - BIRTH) / DAY,
    counts: trace.counts,
    ...(failure ? { failure } : {}),
  };
}

/** What happens, and when. */
class Course {
  /** Of what can happen, what does in this life: lives shall differ in kind. */
  readonly #happenings: [string, Happening][];
  #over = false;

  constructor(private readonly fleet: Fleet) {
    const all = Object.entries({ ...ORDERS, ...TROUBLES });
    const some = all.filter(() => fleet.random.chance(0.5));
    // Who is unbound, or has left, comes back.
    const back = all.filter(([name]) => name === "bind" || name === "enrol");
    this.#happenings = [...some, ...back];
    fleet.inSession = (device, milliseconds) => this.#inSession(device, milliseconds);
    fleet.meanwhile = async () => {
      if (!this.#over && fleet.random.chance(MEANWHILE)) await this.#happen("meanwhile ");
    };
  }

  async run(days: number): Promise<void> {
    const { timeline } = this.fleet;
    this.#tick();
    await this.#until(timeline.now + days * DAY);
    await this.#quiet();
    await this.#off();
  }

  /** Everything works again: before long all is as wanted. */
  async #quiet(): Promise<void> {
    const { fleet } = this;
    this.#over = true;
    fleet.trace.count("quiet");
    await fleet.admin("PUT", "faults", {});
    for (const device of fleet.devices) {
      device.network.up = true;
      device.network.bad = undefined;
      device.diskFull = false;
      device.fuse = undefined;
      for (const home of device.homes.values()) home.trouble = undefined;
      device.boot();
    }
    await fleet.admin("PUT", "settings", { globalCertificateDistribution: true });
    await this.#until(fleet.timeline.now + CALM);
    this.#everythingSettled("after a quiet time");
  }

  /** OFF for good: nothing of ours is left anywhere, and the server knows. */
  async #off(): Promise<void> {
    const { fleet } = this;
    fleet.trace.count("last OFF");
    await fleet.admin("PUT", "settings", { globalCertificateDistribution: false });
    await this.#until(fleet.timeline.now + 10 * MINUTE);
    this.#everythingSettled("after OFF");
  }

  #everythingSettled(when: string): void {
    const { invariants, devices } = this.fleet;
    for (const device of devices) {
      if (!device.on) device.boot();
      for (const home of device.homes.values()) {
        const wrong = invariants.unsettled(device, home);
        if (wrong) throw new InvariantBroken(`${when} ${device.name}/${home.name}: ${wrong}`);
      }
    }
  }

  async #until(end: number): Promise<void> {
    const { timeline, server, invariants } = this.fleet;
    await timeline.run(end, () => {
      server.settle();
      invariants.check();
    });
  }

  #inSession(device: Device, milliseconds: number): void {
    const { random, timeline } = this.fleet;
    for (let left = random.between(0, MOST); left > 0; left--) {
      // Much is to happen while a device that was just opened still works.
      const at = random.chance(0.5) ? random.between(0, 5 * SECOND) : random.next() * milliseconds;
      timeline.after(at, async () => {
        if (this.#over) return;
        this.fleet.focus = device;
        await this.#happen();
      });
    }
  }

  /** The server looks at overlaps by its own timer. */
  #tick(): void {
    this.fleet.timeline.after(12 * HOUR, () => this.#tick());
  }

  async #happen(prefix = ""): Promise<void> {
    const { fleet } = this;
    const { counts } = fleet.trace;
    const [name, happen] = fleet.random.pick(this.#happenings);
    // Its own administrator's commands wait while an agent works.
    if (prefix && COMMANDS.has(name)) return;
    fleet.trace.line(`${prefix}${name}`);
    if (await happen(fleet) === false) return;
    counts.set(prefix + name, (counts.get(prefix + name) ?? 0) + 1);
  }
}

const COMMANDS: ReadonlySet<string> = new Set(["unenroll", "renew here", "enrol"]);

// What a process that was killed still had in hand fails, and nobody is left to hear of it.
globalThis.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Killed || event.reason instanceof DiskFull) event.preventDefault();
});
