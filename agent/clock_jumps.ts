/**
 * Tells when the wall clock was set or the computer slept: the steady clock, which stands still in
 * sleep, then moved otherwise than the wall clock did.
 */

/** A wall clock that jumps by more than this is no longer the one that was known. Milliseconds. */
const JUMP = 30_000;

/** Both clocks under watch, for as long as somebody looks. */
export class ClockJumps {
  #difference: number;

  /**
   * @param now the wall clock, milliseconds since 1970
   * @param jumped hears of each jump at the first look after it
   */
  constructor(private readonly now: () => number, private readonly jumped: () => void) {
    this.#difference = this.#measure();
  }

  /** Looks. What slowly drifts apart between looks is no jump. */
  look(): void {
    const next = this.#measure();
    const apart = Math.abs(next - this.#difference);
    this.#difference = next;
    if (apart > JUMP) this.jumped();
  }

  #measure(): number {
    return this.now() - performance.now();
  }
}
