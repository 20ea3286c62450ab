/** Randomness by a seed: the same seed draws the same, on every machine. */

/** A stream of draws. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds shall not begin alike.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
    for (let warm = 0; warm < 4; warm++) this.next();
  }

  /** Uniform in [0, 1) (mulberry32). */
  readonly next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** True that often. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** One of these. Throws without any. */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.next() * items.length)];
    if (item === undefined) throw new RangeError("There is nothing to pick from.");
    return item;
  }

  /** Milliseconds until the next of events that come that far apart on average. */
  wait(average: number): number {
    return Math.ceil(-Math.log(1 - this.next()) * average);
  }

  /** That many bytes. */
  readonly bytes = (length: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length }, () => this.between(0, 255));
}
