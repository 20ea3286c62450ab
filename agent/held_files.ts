/**
 * Files that a user can hold: on Windows so that whoever renames or removes them waits for as long as
 * that user likes (opportunistic locks). Here nobody does.
 */

/** How long somebody who holds a file may keep a change up, milliseconds. */
const HELD_UP = 2000;

/** Changes that may be kept up at a time. */
const MOST_HELD_UP = 4;

/** Renames and removes, and gives up soon; what is given up may still come to pass. */
export class HeldFiles {
  /** Changes under way. */
  #changes = 0;

  /** @throws Error when somebody holds it, or for what the system says */
  async rename(from: string, to: string): Promise<void> {
    await this.#change(() => Deno.rename(from, to));
  }

  /** What cannot be removed, or is a full folder, stays: it is in its owner's way alone. */
  async remove(path: string): Promise<void> {
    try {
      await this.#change(() => Deno.remove(path));
    } catch {
      // See above.
    }
  }

  async #change(change: () => Promise<void>): Promise<void> {
    if (this.#changes >= MOST_HELD_UP) throw new Error("Too much is held.");
    this.#changes++;
    const changed = change().finally(() => this.#changes--);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error("Somebody holds it.")), HELD_UP);
    try {
      await Promise.race([changed, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
