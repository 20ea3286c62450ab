/** Held requests: who waits for news of which device, and how the news reaches them. */

/** Why a wait ended: something may have changed, the time is up, or nobody waits any more. */
export type Wake = "changed" | "time" | "ended";

/** A device's held request. */
export interface Hold {
  /** Waits for the next wake, at most that long. After `"ended"` it answers `"ended"` at once. */
  next(milliseconds: number): Promise<Wake>;
  /** Lets go; to be called however the request ends. */
  release(): void;
}

/** One waiting place per device. */
export class Changes {
  readonly #held = new Map<string, (wake: Wake) => void>();
  #closed = false;

  /** Takes the device's place; an older request that holds it ends. */
  hold(deviceId: string, signal?: AbortSignal): Hold {
    this.#held.get(deviceId)?.("ended");
    let ended = this.#closed;
    let resolve: ((wake: Wake) => void) | undefined;
    const wake = (why: Wake) => {
      if (why === "ended") ended = true;
      resolve?.(why);
    };
    const abandon = () => wake("ended");
    signal?.addEventListener("abort", abandon);
    this.#held.set(deviceId, wake);
    return {
      next: (milliseconds) => {
        if (ended || signal?.aborted) return Promise.resolve("ended");
        return new Promise((settle) => {
          const timer = setTimeout(() => wake("time"), milliseconds);
          resolve = (why) => {
            clearTimeout(timer);
            resolve = undefined;
            settle(why);
          };
        });
      },
      release: () => {
        signal?.removeEventListener("abort", abandon);
        if (this.#held.get(deviceId) === wake) this.#held.delete(deviceId);
      },
    };
  }

  /** Tells one device's held request to look again. */
  wake(deviceId: string): void {
    this.#held.get(deviceId)?.("changed");
  }

  /** Tells every held request to look again. */
  wakeAll(): void {
    for (const wake of [...this.#held.values()]) wake("changed");
  }

  /** How many requests are held. */
  get size(): number {
    return this.#held.size;
  }

  /** Ends every held request, and every later one at once. */
  close(): void {
    this.#closed = true;
    for (const wake of [...this.#held.values()]) wake("ended");
  }
}
