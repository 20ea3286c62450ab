/** One life of a fleet by its seed, from its first boot to the last receipt. */
import type { Device } from "./device.ts";
import { Fleet, type FleetSize } from "./fleet.ts";
import { CALM, InvariantBroken } from "./invariants.ts";
import { ORDERS } from "./orders.ts";
import { Random } from "./random.ts";
import { unsettled } from "./settled.ts";
import { DAY, HOUR, MINUTE, SECOND, Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";
import { type Happening, TROUBLES } from "./troubles.ts";

/** How long and how large. */
interface LifeSize extends FleetSize {
  days: number;
}

/** The size of a seed's life: some are short and lonely, some are not. */
function sizeOf(seed: number): LifeSize {
  const random = new Random(-seed);
  const devices = random.chance(0.25) ? 2 : 1;
  return { devices, accounts: random.between(1, 3), days: random.between(15, 30) };
}

/** What a life was. */
export interface Life {
  seed: number;
  /** SHA-256 of its trace: the same whenever the same happened. */
  digest: string;
  deviceDays: number;
  counts: Readonly<Record<string, number>>;
  /** What must never be, and was. */
  failure?: { message: string; at: number; last: readonly string[] };
}

const BIRTH = Date.parse("2026-01-05T08:00:00Z");

/** Most orders that are given in one session of a device. */
const MOST = 2;

/** How often something happens while a message is on its way. */
const MEANWHILE = 0.015;

/** Lives it. */
export async function live(seed: number, print?: (line: string) => void): Promise<Life> {
  const size = sizeOf(seed);
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
    counts: Object.fromEntries(trace.counts),
    ...(failure ? { failure } : {}),
  };
}

type Named = readonly [name: string, happen: Happening];

/** What happens, and when. */
class Course {
  /** Of what can happen, what does in this life: lives shall differ in kind. */
  readonly #orders: Named[];
  readonly #troubles: Named[];
  #over = false;

  constructor(private readonly fleet: Fleet) {
    const some = (all: Readonly<Record<string, Happening>>) =>
      Object.entries(all).filter(() => fleet.random.chance(0.5));
    // Who is unbound, or has left, comes back.
    const back = Object.entries(ORDERS).filter(([name]) => name === "bind" || name === "enrol");
    this.#orders = [...some(ORDERS), ...back];
    this.#troubles = some(TROUBLES);
    fleet.inSession = (device, milliseconds) => this.#inSession(device, milliseconds);
    fleet.meanwhile = async () => {
      if (!this.#over && fleet.random.chance(MEANWHILE)) {
        await this.#happen([...this.#orders, ...this.#troubles], "meanwhile ");
      }
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
    this.#over = fleet.staysOn = true;
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
    const { server, devices } = this.fleet;
    for (const device of devices) {
      for (const home of device.homes.values()) {
        const wrong = unsettled(server, device, home, true);
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
    const plan = (happenings: readonly Named[], at: number) =>
      timeline.after(at, async () => {
        if (this.#over) return;
        this.fleet.focus = device;
        await this.#happen(happenings);
      });
    // Trouble is there when a device is opened, and when something is wanted of it.
    if (random.chance(0.4)) plan(this.#troubles, random.between(0, 3 * SECOND));
    for (let left = random.between(0, MOST); left > 0; left--) {
      const at = random.next() * milliseconds;
      if (random.chance(0.4)) plan(this.#troubles, Math.max(0, at - random.between(0, MINUTE)));
      plan(this.#orders, at);
    }
  }

  /** The server looks at overlaps by its own timer. */
  #tick(): void {
    this.fleet.timeline.after(12 * HOUR, () => this.#tick());
  }

  async #happen(happenings: readonly Named[], prefix = ""): Promise<void> {
    const { fleet } = this;
    if (happenings.length === 0) return;
    const { counts } = fleet.trace;
    const [name, happen] = fleet.random.pick(happenings);
    if (prefix && NOT_MEANWHILE.has(name)) return;
    fleet.trace.line(`${prefix}${name}`);
    if (await happen(fleet) === false) return;
    counts.set(prefix + name, (counts.get(prefix + name) ?? 0) + 1);
  }
}

/**
 * A device's administrator waits while its agent works. What is decided by a clock that jumps at that
 * instant may be one re-issue too many, which is no invariant's business.
 */
const NOT_MEANWHILE: ReadonlySet<string> = new Set([
  "unenroll",
  "renew here",
  "enrol",
  "clock wrong",
  "clock right",
]);
