/** A small fleet: its server, its devices, the people who own them, and how they are used. */
import type { Account } from "../../platform/accounts.ts";
import { Device } from "./device.ts";
import { Home } from "./home.ts";
import { Invariants } from "./invariants.ts";
import { Keys } from "./keys.ts";
import { SimulatedNetwork } from "./network.ts";
import { Random } from "./random.ts";
import { SimulatedServer } from "./server.ts";
import { DAY, HOUR, MINUTE, Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

/** How large a fleet is. */
export interface FleetSize {
  devices: number;
  accounts: number;
}

const NAMES = ["alice", "bob", "carol", "dave"] as const;

/** Everything of one life. */
export class Fleet {
  readonly keys = new Keys();
  readonly devices: Device[] = [];
  /** Directory users that are not deleted. */
  readonly users: string[] = [];
  readonly invariants: Invariants;
  /** Nobody shuts a device down any more. */
  staysOn = false;
  /** What happens while a device is on for so long; set by who makes things happen. */
  inSession: (device: Device, milliseconds: number) => void = () => {};
  /** What may happen while a message is on its way; likewise. */
  meanwhile: () => Promise<void> = () => Promise.resolve();

  /** Where things happen next. */
  #focus: Device | undefined;

  private constructor(
    readonly random: Random,
    readonly timeline: Timeline,
    readonly trace: Trace,
    readonly server: SimulatedServer,
  ) {
    this.invariants = new Invariants(server, timeline, trace, this.devices);
  }

  /** A fleet whose devices are enrolled, with distribution ON. */
  static async open(
    seed: number,
    size: FleetSize,
    timeline: Timeline,
    trace: Trace,
  ): Promise<Fleet> {
    const random = new Random(seed);
    const woken = (deviceId?: string) => fleet.#woken(deviceId);
    const server = await SimulatedServer.open(random, timeline, woken);
    const fleet: Fleet = new Fleet(random, timeline, trace, server);
    for (let user = 0; user < size.accounts + 1; user++) await fleet.addUser();
    for (let at = 0; at < size.devices; at++) await fleet.#addDevice(`laptop-${at + 1}`, size);
    await fleet.admin("PUT", "settings", { globalCertificateDistribution: true });
    return fleet;
  }

  /** The device that something happens to. */
  get focus(): Device {
    return this.#focus ?? this.random.pick(this.devices);
  }
  set focus(device: Device) {
    this.#focus = device;
  }

  /** Any home of that device. */
  anyHome(): Home {
    return this.random.pick([...this.focus.homes.values()]);
  }

  /** What an administrator does to everybody. */
  async admin(method: string, path: string, body?: unknown): Promise<void> {
    this.invariants.noteWanted();
    await this.server.admin(method, path, body);
    this.invariants.noteWanted();
    this.invariants.disturb();
  }

  /** A new directory user. */
  async addUser(): Promise<string> {
    const email = `user-${this.random.between(1, 1e9)}@example.com`;
    const { userId } = await this.server.admin("POST", "users", { email });
    this.users.push(userId);
    return userId;
  }

  /** Binds one of the users who are free to an account that is; false when there is none. */
  async bind(device: Device, home: Home): Promise<boolean> {
    const { deviceId } = device;
    if (deviceId === undefined) return false;
    const { bindings } = this.server.context.store;
    if (bindings.byAccount(deviceId, home.name)) return false;
    const taken = new Set(bindings.managedOn(deviceId).map(({ userId }) => userId));
    const free = this.users.filter((userId) => !taken.has(userId));
    if (free.length === 0) return false;
    const userId = this.random.pick(free);
    await this.admin("PUT", `devices/${deviceId}/users/${userId}`, { username: home.name });
    return true;
  }

  /** Enrols a device, and binds its accounts when that worked. */
  async enrol(device: Device): Promise<void> {
    // What is pinned at enrolment is pinned for good, as a person would find out.
    if (this.server.showsWrongChain) return;
    const { deviceId: before } = device;
    if (!await device.enrol(this.random.chance(0.5))) return;
    this.trace.count("enrolled", device.name);
    if (before === undefined) {
      for (const home of device.homes.values()) {
        if (this.random.chance(0.8)) await this.bind(device, home);
      }
    }
    this.invariants.noteWanted();
    device.boot();
  }

  /** Uses a device as people do, for ever. */
  use(device: Device): void {
    this.timeline.after(this.random.between(0, 6 * HOUR), () => this.#open(device));
  }

  #open(device: Device): void {
    const { random, timeline, trace } = this;
    if (!device.on) {
      const sleeps = device.watch !== undefined && random.chance(0.6);
      trace.count(sleeps ? "device wakes" : "device boots", device.name);
      if (sleeps) device.resume();
      else device.boot();
    }
    const session = this.#session();
    this.inSession(device, session);
    timeline.after(session, () => this.#shut(device));
  }

  #shut(device: Device): void {
    const { random, timeline, trace } = this;
    if (this.staysOn) return;
    if (device.on) {
      const sleeps = random.chance(0.6);
      trace.count(sleeps ? "device sleeps" : "device is shut down", device.name);
      if (sleeps) device.suspend();
      else device.shutDown();
    }
    timeline.after(this.#pause(), () => this.#open(device));
  }

  /** How long a device is on: minutes, or hours. */
  #session(): number {
    const { random } = this;
    if (random.chance(0.85)) return random.between(5 * MINUTE, 40 * MINUTE);
    return random.between(150 * MINUTE, 220 * MINUTE);
  }

  /** How long a device is off: hours, mostly days, now and then months. */
  #pause(): number {
    const { random } = this;
    if (random.chance(0.04)) return random.between(10 * DAY, 100 * DAY);
    if (random.chance(0.3)) return random.between(2 * HOUR, 20 * HOUR);
    return random.between(DAY, 7 * DAY);
  }

  /** Whose question the server answers. */
  #woken(deviceId: string | undefined): void {
    for (const device of this.devices) {
      const concerned = deviceId === undefined || device.deviceId === deviceId;
      if (!concerned) continue;
      device.disturb();
      if (device.on && device.network.up) device.watch?.woken();
    }
  }

  async #addDevice(name: string, size: FleetSize): Promise<void> {
    const { random, timeline, trace, server, invariants } = this;
    const device: Device = new Device(name, { random, timeline, trace, server });
    device.network = new SimulatedNetwork(name, {
      random,
      timeline,
      trace,
      deliver: (request) => this.#deliver(device, request),
      meanwhile: () => {
        this.focus = device;
        return this.meanwhile();
      },
      asked: () => invariants.asked(device),
      heard: (request, answer, at) => hear(device, request, answer, at),
    });
    for (const [at, account] of NAMES.slice(0, size.accounts).entries()) {
      const home = new Home(accountOf(account, 1001 + at), this.keys, invariants.over(device));
      device.homes.set(account, home);
    }
    this.devices.push(device);
    await this.enrol(device);
    this.use(device);
  }

  async #deliver(device: Device, request: Request): Promise<Response> {
    const look = this.invariants.asking(device, request);
    const answer = await this.server.fetch(request);
    await look(answer);
    return answer;
  }
}

function accountOf(name: string, uid: number): Account {
  return { name, uid: String(uid), home: `/home/${name}`, runAs: "self" };
}

/** What a device learns by an answer of the server itself. */
function hear(device: Device, request: Request, answer: Response, at: number): void {
  device.heardSinceBoot = true;
  const etag = answer.headers.get("etag");
  if (etag && new URL(request.url).pathname.endsWith("/desired-state")) {
    device.statedAt.set(etag, at);
  }
}
