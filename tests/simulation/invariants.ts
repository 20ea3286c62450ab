/** What must be true of a fleet, always, and what must be true once nothing has disturbed it. */
import type { Device } from "./device.ts";
import { anchorsOf, holds, isLeaf, isLive, leavesIn, ownerOf } from "./holdings.ts";
import { type HeldCertificate, type Home, type HomeWatch, sha256 } from "./home.ts";
import type { SimulatedServer } from "./server.ts";
import { unsettled } from "./settled.ts";
import { HOUR, MINUTE, SECOND, type Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

/** Something that must never be. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken";
}

/**
 * After so long without a disturbance everything is as it shall be: stores are looked at once an
 * hour, three re-issues an hour are allowed, and pauses are 5 min at most.
 */
export const CALM = 2 * HOUR + 20 * MINUTE;

/** Most requests of a device in an hour: three users' back-offs and its own. */
const REQUESTS_AN_HOUR = 400;
/** Most new leaves of a user on a device in a day that nobody but our code has caused. */
const LEAVES_A_DAY = 8;

/** The watch over all invariants of DESIGN section 3 that a simulation can see. */
export class Invariants {
  #broken: InvariantBroken | undefined;
  #disturbedAt = -Infinity;

  constructor(
    private readonly server: SimulatedServer,
    private readonly timeline: Timeline,
    private readonly trace: Trace,
    private readonly devices: readonly Device[],
  ) {}

  /** Something happened that every device has to react to. */
  disturb(): void {
    this.#disturbedAt = this.timeline.now;
  }

  /** Notes what the server wants of each home now: what is to be removed, may be. */
  noteWanted(): void {
    for (const device of this.devices) {
      for (const home of device.homes.values()) {
        const owner = ownerOf(this.server, device, home);
        if (owner === undefined || owner !== home.owner) home.unwantedAt = this.timeline.now;
        home.owner = owner;
      }
    }
  }

  /** Watches what our code does to a home. */
  over(device: Device): HomeWatch {
    return {
      removing: (home, certificate) => this.#removing(device, home, certificate),
      removingKey: (home, ours) => {
        if (!ours) this.#fail(device, home, "a key was removed that is not ours (invariant 2)");
      },
      changed: (home) => this.#changed(device, home),
    };
  }

  /** Watches a request for a certificate; the returned function looks at the answer. */
  asking(device: Device, request: Request): (answer: Response) => Promise<void> {
    const userId = /users\/([^/]+)\/certificates$/.exec(new URL(request.url).pathname)?.[1];
    const { deviceId } = device;
    if (userId === undefined || deviceId === undefined) return () => Promise.resolve();
    const home = [...device.homes.values()].find((home) => home.owner === userId);
    const live = this.server.live(deviceId, userId);
    const held = home ? live.filter((leaf) => holds(home, leaf)) : [];
    const { now } = this.timeline;
    return async (answer) => {
      if (answer.status !== 201 || !home) return;
      const { serial } = await answer.clone().json();
      const issued = this.server.context.store.certificates.get(serial);
      const [current] = live;
      this.trace.count(`issued ${issued?.kind}`, `${device.name}/${home.name}`);
      home.issuedAt = [...home.issuedAt.filter((at) => at > now - 24 * HOUR), now];
      if (home.issuedAt.length > LEAVES_A_DAY) {
        this.#fail(device, home, `${home.issuedAt.length} leaves were issued within a day`);
      }
      if (issued?.kind === "reissue" && held.length > 0) {
        this.#fail(
          device,
          home,
          "a re-issue was asked for although a live leaf and its key are there",
        );
      }
      if (issued?.kind !== "renewal" || device.renews || !current || !holds(home, current)) return;
      if (current.renewalStart > now + 5 * SECOND) {
        this.#fail(device, home, "a leaf was renewed before its window");
      }
    };
  }

  /** Counts a request. */
  asked(device: Device): void {
    const { now } = this.timeline;
    device.asked = [...device.asked.filter((at) => at > now - HOUR), now];
    if (device.asked.length > REQUESTS_AN_HOUR) {
      this.#fail(device, undefined, `${device.asked.length} requests were made within an hour`);
    }
  }

  /** Throws the first thing that was wrong; to be called after every step. */
  check(): void {
    for (const device of this.devices) {
      const homes = [...device.homes.values()];
      const calm = homes.filter((home) =>
        this.isCalm(device, home) && !this.#waitsForFormer(device, home)
      );
      for (const home of calm) {
        this.trace.counts.set("calm looks", (this.trace.counts.get("calm looks") ?? 0) + 1);
        const wrong = unsettled(this.server, device, home, calm.length === homes.length);
        if (wrong) this.#fail(device, home, `after ${CALM / MINUTE} calm minutes ${wrong}`);
      }
    }
    if (this.#broken) throw this.#broken;
  }

  /** Whether nothing has disturbed a home for so long that all must be as wanted. */
  isCalm(device: Device, home: Home): boolean {
    const since = Math.max(this.#disturbedAt, device.disturbedAt, home.disturbedAt);
    const { network, diskFull, fuse, on } = device;
    return on && network.up && !network.bad && !diskFull && !fuse && home.trouble === undefined &&
      !this.server.misbehaves && this.timeline.now - since >= CALM;
  }

  /** A user who moved to another account is served there when the former account is empty. */
  #waitsForFormer(device: Device, home: Home): boolean {
    const owner = ownerOf(this.server, device, home);
    const { certificates } = this.server.context.store;
    return [...device.homes.values()].some((former) =>
      former !== home && !this.isCalm(device, former) &&
      leavesIn(this.server, former).some(({ serial }) => certificates.get(serial)?.userId === owner)
    );
  }

  #removing(device: Device, home: Home, certificate: HeldCertificate): void {
    if (!certificate.ours) {
      return this.#fail(device, home, "a foreign certificate was removed (invariant 2)");
    }
    if (this.#mayEmpty(device, home)) return;
    // What another user had here goes whenever it likes.
    const { certificates } = this.server.context.store;
    const own = leavesIn(this.server, home).filter(({ serial }) =>
      certificates.get(serial)?.userId === home.owner
    );
    if (!isLeaf(this.server, certificate)) {
      const hash = sha256(certificate.der);
      if (own.length === 0 || !anchorsOf(this.server, home).includes(hash)) return;
      return this.#fail(device, home, "an authority that is wanted was removed (invariant 7)");
    }
    if (!own.includes(certificate)) return;
    const others = own.filter((leaf) => leaf !== certificate);
    if (others.length === 0) {
      return this.#fail(device, home, "the only leaf was removed before its successor was in");
    }
    if (
      isLive(this.server, home, certificate) &&
      !others.some((leaf) => isLive(this.server, home, leaf))
    ) {
      this.#fail(device, home, "the last leaf that the server counts was removed (invariant 1)");
    }
    const stated = device.state.desired()?.body.includes(certificate.serial);
    if (stated && !device.heardSinceBoot && home.keys.has(certificate.spkiSha256)) {
      this.#fail(device, home, "a leaf was purged before the time was known (invariant 10)");
    }
  }

  #changed(device: Device, home: Home): void {
    if (leavesIn(this.server, home).length > 2) {
      this.#fail(device, home, "there are more than two leaves (invariant 1)");
    }
    const { ledger } = home;
    const keys = new Set(ledger?.keys());
    const rows = new Set(ledger?.certificates().map((row) => row.sha256));
    for (const [spki, { ours }] of home.keys) {
      if (ours && !keys.has(spki)) {
        this.#fail(
          device,
          home,
          "a key is in the store that the ledger does not know (invariant 5)",
        );
      }
    }
    for (const [hash, { ours }] of home.certificates) {
      if (ours && !rows.has(hash)) {
        this.#fail(
          device,
          home,
          "a certificate is there that the ledger does not know (invariant 5)",
        );
      }
    }
  }

  /** Whether all of ours may go: by the server's word, as the device heard it, or by its own. */
  #mayEmpty(device: Device, home: Home): boolean {
    if (device.unenrolled || ownerOf(this.server, device, home) === undefined) return true;
    return home.unwantedAt >= device.goesBy;
  }

  #fail(device: Device, home: Home | undefined, what: string): void {
    const message = `${device.name}${home ? `/${home.name}` : ""}: ${what}`;
    if (!this.#broken) this.trace.line(`BROKEN ${message}`);
    this.#broken ??= new InvariantBroken(message);
  }
}
