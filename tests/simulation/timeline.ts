/** Virtual time: what is to happen, one thing after the other. */

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Something that is to happen. */
interface Entry {
  at: number;
  happen: () => void | Promise<void>;
}

/** The order of events. Each is awaited before the next, so that nothing can overtake. */
export class Timeline {
  /** Milliseconds since 1970, as a perfect clock shows them. */
  now: number;
  readonly #entries = new Set<Entry>();

  constructor(start: number) {
    this.now = start;
  }

  /** Plans something in so many milliseconds; returns how to call it off. */
  after(milliseconds: number, happen: Entry["happen"]): () => void {
    const entry = { at: this.now + Math.max(0, Math.round(milliseconds)), happen };
    this.#entries.add(entry);
    return () => this.#entries.delete(entry);
  }

  /** Time passes while something goes on. */
  pass(milliseconds: number): void {
    this.now += milliseconds;
  }

  /** Lets happen what is planned until `end`, and calls `then` after each. */
  async run(end: number, then: () => void): Promise<void> {
    for (let next = this.#first(end); next; next = this.#first(end)) {
      this.#entries.delete(next);
      // What took long has let later things wait.
      this.now = Math.max(this.now, next.at);
      await next.happen();
      then();
    }
    this.now = Math.max(this.now, end);
  }

  /** The earliest; of several, the one that was planned first. */
  #first(end: number): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.#entries) if (entry.at < (first?.at ?? end + 1)) first = entry;
    return first;
  }
}
