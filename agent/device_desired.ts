/** The desired state as this device holds it: accepted, stored, and cut by user. */
import { Problem, toProblem } from "../platform/errors.ts";
import type { CertificateAnswer, DesiredState } from "./contract.ts";
import { acceptDesiredState, sliceFor, withIssuedLeaf } from "./desired.ts";
import type { Enrolled } from "./identity.ts";
import type { UserSlice } from "./local_contract.ts";
import type { Log } from "./log.ts";
import type { ServerClient } from "./server_client.ts";
import type { State } from "./state.ts";

/** What the desired state depends on. */
export interface DesiredWorld {
  state: State;
  identity: Enrolled;
  client: Pick<ServerClient, "clock">;
  log: Log;
}

/** The desired state of one device. */
export class DeviceDesired {
  /** The stored one, parsed once. */
  #accepted: { body: string; desired: DesiredState } | undefined;

  constructor(private readonly world: DesiredWorld) {}

  /**
   * Takes a desired state as the server sent it.
   *
   * @throws Problem `bundle-rejected` when it is refused; then nothing changed
   */
  take(etag: string, body: string): void {
    const { state, identity, log } = this.world;
    try {
      acceptDesiredState(parseJson(body), identity.device);
    } catch (error) {
      const problem = toProblem(error);
      state.recordEvent("desired-state.refused", problem.message);
      throw problem;
    }
    if (state.desired()?.body !== body) {
      state.recordEvent("desired-state.changed", `ETag ${etag}`);
      log.info("desired-state.changed", { etag });
    }
    state.saveDesired(etag, body);
  }

  /** The stored one; undefined before the first. */
  get current(): DesiredState | undefined {
    const body = this.world.state.desired()?.body;
    if (body === undefined) return undefined;
    if (this.#accepted?.body !== body) {
      const desired = acceptDesiredState(parseJson(body), this.world.identity.device);
      this.#accepted = { body, desired };
    }
    return this.#accepted.desired;
  }

  /** Whether the device leaves its server: nothing of us is to stay. */
  get leaving(): boolean {
    return this.world.state.device()?.leaving ?? false;
  }

  /** One user's slice of a desired state. */
  slice(
    desired: DesiredState,
    userId: string,
    more: { renewNow: boolean; filterWrittenAt: number | undefined },
  ): UserSlice {
    const { identity, client } = this.world;
    return sliceFor(desired, userId, {
      deviceId: identity.device.deviceId,
      publicUrl: identity.device.publicUrl,
      leaving: this.leaving,
      clock: { ...client.clock },
      renewNow: more.renewNow,
      ...(more.filterWrittenAt === undefined ? {} : { filterWrittenAt: more.filterWrittenAt }),
    });
  }

  /** Adds a leaf that the server has just issued and will list in its next desired state. */
  rememberIssued(userId: string, leaf: Pick<CertificateAnswer, "serial" | "renewal">): void {
    const { state } = this.world;
    const desired = this.current;
    const stored = state.desired();
    if (!desired || !stored) return;
    state.saveDesired(stored.etag, JSON.stringify(withIssuedLeaf(desired, userId, leaf)));
  }
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
