/**
 * Looks at a folder when something in it changes, and now and then all the same. Whoever changes it
 * without end causes so many looks and no more: what the system tells meanwhile waits with it, and
 * the look after a pause sees whatever happened in it.
 */

import { pause } from "./pause.ts";

/** Between two looks at a folder that changes all the time, milliseconds. */
const APART = 20;

/** Looks until it is disposed of. */
export class FolderWatch {
  readonly #watcher: Deno.FsWatcher | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #end = new AbortController();

  /**
   * @param look is called soon after each change; it must not throw
   * @param every is called at least so often, milliseconds: systems drop news of what is too much
   */
  constructor(folder: string, private readonly look: () => void, every: number) {
    this.#watcher = watch(folder);
    this.#timer = setInterval(look, every);
    this.#tend();
  }

  [Symbol.dispose](): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    clearInterval(this.#timer);
    this.#close();
  }

  async #tend(): Promise<void> {
    const { signal } = this.#end;
    try {
      for await (const { kind } of this.#watcher ?? []) {
        if (signal.aborted) return;
        // Linux tells of reading, too, and so of every look.
        if (kind !== "access") this.look();
        await pause(APART, signal);
      }
    } catch {
      // The folder went, or the system watches no more of them: the timer looks.
    }
  }

  #close(): void {
    try {
      this.#watcher?.close();
    } catch (error) {
      // It ended by itself.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

function watch(folder: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(folder, { recursive: false });
  } catch {
    return undefined;
  }
}
