/** The desired state as this device holds it: accepted, stored, and cut by user. */
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { CertificateAnswer, DesiredState, TrustAnchors } from "./contract.ts";
import { parseDesiredState, type SliceContext, sliceFor, withIssuedLeaf } from "./desired.ts";
import type { Enrolled } from "./identity.ts";
import type { UserSlice } from "./local_contract.ts";
import type { Log } from "./log.ts";
import type { ServerClient } from "./server_client.ts";
import type { DeviceRecord, State } from "./state.ts";
import { followAnchors, type PinnedAnchors } from "./trust_anchors.ts";

/** What the desired state depends on. */
export interface DesiredWorld {
  state: State;
  identity: Enrolled;
  client: Pick<ServerClient, "clock">;
  platform: Pick<DevicePlatform, "os">;
  log: Log;
  now: () => number;
}

/** The desired state of one device. */
export class DeviceDesired {
  /** The stored one, parsed once. */
  #current: { body: string; desired: DesiredState } | undefined;

  constructor(private readonly world: DesiredWorld) {}

  /**
   * Takes a desired state as the server sent it, and follows its trust anchors when they are
   * successors of the pinned ones.
   *
   * @throws Problem `bundle-rejected` when it is refused; then nothing changed
   */
  async take(etag: string, body: string): Promise<void> {
    const { state, log } = this.world;
    const before = state.desired()?.body;
    try {
      const { trustAnchors } = parseDesiredState(parseJson(body));
      const successor = await this.#successor(trustAnchors);
      state.transaction(() => {
        if (successor) this.#pin(successor);
        state.saveDesired(etag, body);
      });
    } catch (error) {
      const problem = toProblem(error);
      state.recordEvent("desired-state.refused", problem.message);
      throw problem;
    }
    if (body === before) return;
    state.recordEvent("desired-state.changed", `ETag ${etag}`);
    log.info("desired-state.changed", { etag });
  }

  /** The stored one; undefined before the first. */
  get current(): DesiredState | undefined {
    const body = this.world.state.desired()?.body;
    if (body === undefined) return undefined;
    if (this.#current?.body !== body) {
      this.#current = { body, desired: parseDesiredState(parseJson(body)) };
    }
    return this.#current.desired;
  }

  /** Whether the device leaves its server, or has left it meanwhile: nothing of us is to stay. */
  get leaving(): boolean {
    return this.world.state.device()?.leaving ?? true;
  }

  /** One user's slice of a desired state. */
  slice(
    desired: DesiredState,
    userId: string,
    more: Pick<SliceContext, "username" | "renewNow"> & { filterWrittenAt: number | undefined },
  ): UserSlice {
    const { identity, client, platform } = this.world;
    return sliceFor(desired, userId, {
      deviceId: identity.device.deviceId,
      publicUrl: identity.device.publicUrl,
      leaving: this.leaving,
      clock: { ...client.clock },
      username: more.username,
      renewNow: more.renewNow,
      formerAnchors: identity.device.former ?? [],
      ownFilters: platform.os === "macos",
      ...(more.filterWrittenAt === undefined ? {} : { filterWrittenAt: more.filterWrittenAt }),
    });
  }

  /**
   * Adds a leaf that the server has just issued and will list in its next desired state. An answer
   * with the authorities of somebody else names no leaf of ours: the user-agent will refuse it.
   */
  rememberIssued(
    userId: string,
    leaf: Pick<CertificateAnswer, "serial" | "renewal" | "root" | "intermediate">,
  ): void {
    const { state, identity } = this.world;
    const { former, ...pinned } = pinnedBy(identity.device);
    const isOurs = [pinned, ...former].some(({ root, intermediate }) =>
      root === leaf.root && intermediate === leaf.intermediate
    );
    if (!isOurs) return;
    const desired = this.current;
    const stored = state.desired();
    if (!desired || !stored) return;
    const next = withIssuedLeaf(desired, userId, leaf);
    const body = JSON.stringify(next);
    state.saveDesired(stored.etag, body);
    // With very many users it takes a while to parse, and each of them comes by here.
    this.#current = { body, desired: next };
  }

  /** The anchors to pin instead of the present ones, proved; undefined while those stay. */
  async #successor(offered: TrustAnchors): Promise<PinnedAnchors | undefined> {
    const { identity, client, now } = this.world;
    const pinned = pinnedBy(identity.device);
    const serverTime = new Date(now() + client.clock.offset);
    const next = await followAnchors(pinned, offered, serverTime);
    return next === pinned ? undefined : next;
  }

  #pin(anchors: PinnedAnchors): void {
    const { state, identity, log } = this.world;
    const device = state.device() ?? identity.device;
    state.saveDevice({ ...device, ...anchors });
    Object.assign(identity.device, anchors);
    state.recordEvent(
      "trust-anchors.renewed",
      device.root === anchors.root ? "intermediate" : "root and intermediate",
    );
    log.info("trust-anchors.renewed");
  }
}

function pinnedBy({ root = "", intermediate = "", former }: DeviceRecord): PinnedAnchors {
  return { root, intermediate, former: former ?? [] };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new Problem("bundle-rejected", "The desired state is not JSON; nothing changed.", {
      cause,
    });
  }
}
