/** A simulated device: its power, clock, homes and network, around the agent's real code. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { EnrollmentAnswer } from "../../agent/contract.ts";
import { type DeviceKey, loadKey } from "../../agent/device_key.ts";
import type { Enrolled } from "../../agent/identity.ts";
import { answerJson, openServerClient } from "../../agent/server_client.ts";
import { State } from "../../agent/state.ts";
import { VERSION } from "../../agent/version.ts";
import { Problem } from "../../platform/errors.ts";
import { systemPaths } from "../../platform/paths.ts";
import type { DevicePlatform } from "../../platform/platform.ts";
import type { Home } from "./home.ts";
import type { SimulatedNetwork } from "./network.ts";
import { type Fuse, refusing } from "./process.ts";
import type { Random } from "./random.ts";
import { CONNECT_KEY, type SimulatedServer } from "./server.ts";
import { MINUTE, SECOND, type Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";
import { Watch } from "./watch.ts";

/** What a device needs of its world. */
export interface DeviceWorld {
  random: Random;
  timeline: Timeline;
  trace: Trace;
  server: SimulatedServer;
}

/** Who dies at the end of a fuse. */
export const VICTIMS = ["device", "worker", "user-agent"] as const;
export type Victim = typeof VICTIMS[number];

/** What a full disk answers. */
export class DiskFull extends Error {
  override readonly name = "DiskFull";
}

/** One device. */
export class Device {
  on = false;
  /** What its wall clock is ahead, milliseconds. */
  clockError = 0;
  diskFull = false;
  /** The content of its policy file. */
  filter: string | undefined;
  /** Somebody is to be killed in the next piece of work. */
  fuse: { victim: Victim; fuse: Fuse } | undefined;
  /** An administrator of the device had it leave. */
  unenrolled = false;
  /** An administrator of the device has it renew now. */
  renews = false;
  /** When it asked something of the server in the last hour. */
  asked: number[] = [];
  disturbedAt = -Infinity;
  /** Whether the server told the time since boot. */
  heardSinceBoot = false;
  /** When the server last said so, by ETag. */
  readonly statedAt = new Map<string, number>();
  readonly homes = new Map<string, Home>();
  network!: SimulatedNetwork;
  watch: Watch | undefined;
  /** Its id at the server, from enrolment until it has left. */
  deviceId: string | undefined;
  enrolledAt = -Infinity;
  #key: DeviceKey | undefined;
  #state: State;

  constructor(readonly name: string, readonly world: DeviceWorld) {
    this.#state = this.#newState();
  }

  /** Local time, milliseconds. */
  readonly now = (): number => this.world.timeline.now + this.clockError;

  /** The agent's state, on a disk that may be full. */
  get state(): State {
    return this.#state;
  }

  /** The identity that `readIdentity` gives. */
  identity(): Enrolled | undefined {
    const device = this.#state.device();
    if (!device?.deviceId || !device.publicUrl || !this.#key) return undefined;
    const { deviceId, publicUrl } = device;
    return { device: { ...device, deviceId, publicUrl }, key: this.#key };
  }

  /** When the server stood by the desired state that this device goes by. */
  get goesBy(): number {
    return this.statedAt.get(this.#state.desired()?.etag ?? "") ?? -Infinity;
  }

  /** Something happened that its agent has to react to. */
  disturb(): void {
    this.disturbedAt = this.world.timeline.now;
  }

  boot(): void {
    this.on = true;
    this.heardSinceBoot = false;
    this.disturb();
    this.watch?.stop();
    this.watch = this.deviceId === undefined ? undefined : new Watch(this);
  }

  shutDown(): void {
    this.on = false;
    this.fuse = undefined;
    this.watch?.stop();
    this.watch = undefined;
  }

  /** Power is lost in the middle of something. */
  crashed(): void {
    this.shutDown();
    const { random, timeline } = this.world;
    timeline.after(random.between(5 * SECOND, 10 * MINUTE), () => this.boot());
  }

  /** It has left its server, for good or until it is enrolled again. */
  left(): void {
    this.world.trace.count("device left", this.name);
    this.watch?.stop();
    this.watch = undefined;
    this.deviceId = undefined;
    this.disturb();
  }

  /** Lids are closed more often than machines are shut down: its processes stay. */
  suspend(): void {
    this.on = false;
    this.watch?.stop();
  }

  resume(): void {
    this.on = true;
    this.disturb();
    this.watch?.jumped();
  }

  /** Enrols; false when that did not work. */
  async enrol(newKey: boolean): Promise<boolean> {
    const { server } = this.world;
    const key = this.#key && !newKey ? this.#key : await makeKey();
    const { publicUrl } = server.context;
    const clock = { offset: 0, known: false };
    const { network, now } = this;
    const client = openServerClient({
      publicUrl,
      signer: key.signer(key.thumbprint),
      clock,
      now,
      network,
    });
    const body = JSON.stringify({
      connectKey: CONNECT_KEY,
      hostname: this.name,
      os: "linux",
      osVersion: "1",
      agentVersion: VERSION,
      publicKey: key.publicJwk,
    });
    try {
      const answer = await client.request({
        method: "POST",
        path: "/v1/devices",
        body: new TextEncoder().encode(body),
      });
      const { deviceId, trustAnchors } = EnrollmentAnswer.parse(answerJson(answer));
      this.#key = key;
      this.unenrolled = false;
      const { root, intermediate } = trustAnchors;
      const device = { deviceId, server: publicUrl, publicUrl, root, intermediate, leaving: false };
      this.#state.saveSync({ clockOffset: clock.offset });
      this.#state.saveDevice(device);
      this.deviceId = deviceId;
      this.enrolledAt = this.world.timeline.now;
      return true;
    } catch {
      return false;
    }
  }

  /** Everything of the agent's own is lost: the machine was set up anew. */
  loseState(): void {
    this.#state.close();
    this.#state = this.#newState();
    this.#key = undefined;
    this.deviceId = undefined;
    this.filter = undefined;
    this.statedAt.clear();
  }

  close(): void {
    this.watch?.stop();
    this.#state.close();
    for (const home of this.homes.values()) home.ledger?.close();
  }

  #newState(): State {
    return refusing(new State(":memory:", this.now), (method) => {
      if (this.diskFull && /^(save|record|forget)/.test(method)) {
        throw new DiskFull("database or disk is full");
      }
    });
  }

  /** Its operating system; user-agents are run by the work that starts them. */
  platform(): Omit<DevicePlatform, "startUserAgent"> {
    const report = () => {
      const state = this.filter === undefined ? "missing" as const : "ok" as const;
      return [{ browser: "chrome", location: "/policy.json", state, writtenAt: 0 }];
    };
    return {
      os: "linux",
      paths: systemPaths({ os: "linux", root: "/nowhere" }),
      privileged: true,
      meeting: "sockets",
      makeRunFolders: () => {},
      readUserFile: () => undefined,
      system: () => Promise.resolve({ os: "linux", hostname: this.name, osVersion: "1" }),
      account: (name) => {
        const home = this.homes.get(name);
        if (home && home.trouble !== "account-missing") return Promise.resolve(home.account);
        return Promise.reject(new Problem("no-local-account", `There is no account '${name}'.`));
      },
      writeFilters: ({ patterns }) => {
        this.filter = patterns.join(" ");
        return report();
      },
      inspectFilters: report,
      touchFilters: report,
      removeFilters: () => {
        const removed = this.filter === undefined ? [] : ["/policy.json"];
        this.filter = undefined;
        return { removed, removedDirectories: [], left: [] };
      },
    };
  }
}

async function makeKey(): Promise<DeviceKey> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pkcs8 = createPrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }))
    .export({ type: "pkcs8", format: "der" });
  return await loadKey(new Uint8Array(pkcs8));
}
