/**
 * The root certificate that a device keeps for all its users, where the platform has such a place
 * (Windows): it is there before a user-agent is told of its leaf, and leaves with the last user.
 */
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { TrustStore } from "../platform/trust_store.ts";
import { noteRemoved } from "./device_removed.ts";
import type { Enrolled } from "./identity.ts";
import type { Log } from "./log.ts";
import type { State } from "./state.ts";
import { certificateDer, sha256Hex } from "./verify.ts";

/** What it needs of the world. */
export interface RootWorld {
  state: State;
  platform: Pick<DevicePlatform, "openDeviceStore">;
  identity: Pick<Enrolled, "device">;
  log: Log;
}

/** The roots of one device. The state knows of each that we add before it is there. */
export class DeviceRoot {
  readonly #world: RootWorld;
  /** SHA-256 of the one that was seen in its place. */
  #seen: string | undefined;

  constructor(world: RootWorld) {
    this.#world = world;
  }

  /**
   * Adds the pinned root where it is missing; one that was there before us stays whose it is. A
   * failure is logged: user-agents say what follows from it.
   */
  async install(): Promise<void> {
    const { state, platform, identity, log } = this.#world;
    if (!platform.openDeviceStore || !identity.device.root) return;
    const der = certificateDer(identity.device.root);
    const sha256 = await sha256Hex(der);
    if (this.#seen === sha256) return;
    try {
      await using(platform.openDeviceStore(), async (store) => {
        const { certificates } = await store.list();
        if (!certificates.some((found) => found.sha256 === sha256)) {
          state.recordDeviceCertificate(sha256);
          await store.install("root", der);
          state.recordEvent("root.installed", sha256);
        }
      });
      this.#seen = sha256;
    } catch (error) {
      log.error("root.failed", { reason: toProblem(error).message });
    }
  }

  /** Removes the roots that we added. Gives why one is left, if one is. */
  async remove(): Promise<Problem | undefined> {
    const { state, platform } = this.#world;
    const ours = state.deviceCertificates();
    if (!platform.openDeviceStore || ours.length === 0) return undefined;
    this.#seen = undefined;
    try {
      await using(platform.openDeviceStore(), async (store) => {
        for (const sha256 of ours) {
          await store.removeCertificate(sha256);
          state.forgetDeviceCertificate(sha256);
          noteRemoved(state, "root", [sha256]);
        }
      });
      return undefined;
    } catch (error) {
      const { code, message } = toProblem(error);
      return new Problem(code, `The root certificate is left: ${message}`, { cause: error });
    }
  }
}

async function using(store: TrustStore, work: (store: TrustStore) => Promise<void>): Promise<void> {
  try {
    await work(store);
  } finally {
    store.close();
  }
}
