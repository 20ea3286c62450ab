/**
 * What the resident agent does, on virtual time: it asks, has the work done and plans the next try.
 * The waiting itself (agent/agent.ts) is left out: whom the server would wake asks.
 */
import { backOff, LONGEST_BACK_OFF } from "../../agent/back_off.ts";
import {
  openServerClient,
  refusal,
  sentState,
  type ServerAnswer,
  type ServerClock,
} from "../../agent/server_client.ts";
import { toProblem } from "../../platform/errors.ts";
import type { Device } from "./device.ts";
import { HOUR, SECOND } from "./timeline.ts";
import { doWork, type WorkMessage } from "./work.ts";

/** How long a service manager waits before it starts an agent again that ended by itself. */
const RESTART = 30 * SECOND;

/** The agent of one device from its start to its end. */
export class Watch {
  readonly clock: ServerClock;
  #etag: string | undefined;
  #check = true;
  #failures = 0;
  #asking: (() => void) | undefined;
  #retrying: (() => void) | undefined;
  #stopped = false;

  constructor(private readonly device: Device) {
    this.clock = { offset: device.state.sync().clockOffset, known: false };
    this.#askIn(device.world.random.between(100, 3 * SECOND));
  }

  /** The server has news, also when they are taken back by then. After a failure it goes on waiting. */
  woken(): void {
    if (this.#failures > 0 && this.#asking) return;
    this.#etag = undefined;
    this.#askIn(this.device.world.random.between(10, 500));
  }

  /** The wall clock moved otherwise than the steady one, or the machine slept. */
  jumped(): void {
    this.#stopped = false;
    this.#failures = 0;
    this.clock.known = false;
    this.#askIn(SECOND);
    this.#retryIn(SECOND);
  }

  stop(): void {
    this.#stopped = true;
    this.#asking?.();
    this.#retrying?.();
  }

  /** Has something done at once that an administrator of this device wants. */
  async command(message: WorkMessage): Promise<void> {
    await this.#work(message);
  }

  #askIn(milliseconds: number): void {
    this.#asking?.();
    if (!this.#stopped) {
      this.#asking = this.device.world.timeline.after(milliseconds, () => this.#ask());
    }
  }

  async #ask(): Promise<void> {
    const { device } = this;
    this.#asking = undefined;
    const identity = device.identity();
    if (!identity) return;
    if (device.state.device()?.leaving) {
      await this.#work({ do: "deleted" });
      return this.#askIn(LONGEST_BACK_OFF);
    }
    const client = openServerClient({
      publicUrl: identity.device.publicUrl,
      signer: identity.key.signer(identity.device.deviceId),
      clock: this.clock,
      now: device.now,
      network: device.network,
    });
    try {
      const answer = await client.request({
        method: "GET",
        path: `/v1/devices/${identity.device.deviceId}/desired-state`,
        headers: this.#etag === undefined ? {} : { "if-none-match": this.#etag },
        maxBytes: 1024 * 1024,
      });
      await this.#take(answer);
    } catch (error) {
      device.world.trace.line(`${device.name} failed: ${toProblem(error).message}`);
      this.#failed();
    }
  }

  async #take(answer: ServerAnswer): Promise<void> {
    const unchanged = answer.status === 304 ||
      answer.status === 200 && answer.headers.get("etag") === this.#etag;
    if (unchanged) return this.#synced();
    if (answer.status === 200) {
      const { etag, body } = sentState(answer);
      this.#synced();
      this.#etag = etag;
      const check = this.#check;
      this.#check = false;
      return await this.#work({ do: "desired", etag, body, check });
    }
    if (answer.status === 410 && answer.problemType === "urn:device-trust:device-deleted") {
      await this.#work({ do: "deleted" });
      return this.#askIn(LONGEST_BACK_OFF);
    }
    const seconds = Number(answer.headers.get("retry-after"));
    if ((answer.status === 429 || answer.status === 503) && seconds > 0) {
      return this.#askIn(Math.min(seconds, 3600) * SECOND);
    }
    throw refusal("read the desired state", answer);
  }

  #synced(): void {
    const { device } = this;
    device.state.saveSync({ lastSync: device.now(), clockOffset: this.clock.offset });
  }

  async #work(message: WorkMessage): Promise<void> {
    const { device } = this;
    const result = await doWork(device, message, this.clock);
    if (result.end === "device-killed") return device.crashed();
    if (device.state.device() === undefined) return device.left();
    if (result.end !== "done") this.#failed();
    else if (this.#etag !== undefined) this.#failures = 0;
    const { nextTry } = result;
    if (nextTry !== undefined) {
      this.#retryIn(Math.min(Math.max(nextTry - device.now(), 100), HOUR));
    }
  }

  #retryIn(milliseconds: number): void {
    this.#retrying?.();
    if (this.#stopped) return;
    this.#retrying = this.device.world.timeline.after(milliseconds, async () => {
      const leaving = this.device.state.device()?.leaving;
      await this.#work({ do: leaving ? "deleted" : "retry" });
    });
  }

  #failed(): void {
    const { random } = this.device.world;
    this.#etag = undefined;
    this.#failures++;
    this.#askIn(this.device.diskFull ? RESTART : backOff(this.#failures, random.next));
  }
}
