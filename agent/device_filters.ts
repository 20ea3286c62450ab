/** The device's selection filters: written before leaves, told twice to browsers that just start. */
import { Problem, toProblem } from "../platform/errors.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { DesiredState, FilterReport } from "./contract.ts";
import { noteRemoved } from "./device_removed.ts";
import { BROWSER_START_TIME } from "./filter_timing.ts";
import type { Log } from "./log.ts";
import type { State } from "./state.ts";

/** What filters need of the world. */
export interface FiltersWorld {
  state: State;
  platform: DevicePlatform;
  log: Log;
  now: () => number;
  /** Resolves after so many milliseconds, or at once when the signal says to end. */
  pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** A filter older than this has been read by every browser that can read it. Milliseconds. */
const FRESH = 60_000;

/** The selection filters of one device. */
export class DeviceFilters {
  readonly #world: FiltersWorld;
  #writtenAt: number | undefined;
  /** When the filters were touched last, as browsers see it. */
  #touchedAt: number | undefined;
  #pausing = new AbortController();

  constructor(world: FiltersWorld) {
    this.#world = world;
  }

  /** When the newest filter came to be as it is, local milliseconds; undefined without one. */
  get writtenAt(): number | undefined {
    return this.#writtenAt;
  }

  /** Brings the filters to the desired state; new ones are touched once, while somebody waits. */
  write(desired: DesiredState): void {
    const { platform, now } = this.#world;
    this.#take(platform.writeFilters(filtersOf(desired), this.#ledger()));
    if (this.#writtenAt === undefined || this.#writtenAt === this.#touchedAt) return;
    const age = now() - this.#writtenAt;
    if (age < FRESH) this.#touchAfter(BROWSER_START_TIME - age, desired);
  }

  /** Nobody waits for a browser any more. */
  rest(): void {
    this.#pausing.abort();
  }

  /** How each browser's filter is now. */
  inspect(desired: DesiredState): FilterReport[] {
    return this.#world.platform.inspectFilters(filtersOf(desired))
      .map(({ browser, location, state }) => ({ browser, location, state }));
  }

  /**
   * Removes the filters; what went is reported with a user that has something to report. Gives why
   * one of ours is left, if one is.
   */
  remove(desired: DesiredState): Problem | undefined {
    const { state, platform, log } = this.#world;
    this.rest();
    const removal = platform.removeFilters(desired.brand, this.#ledger());
    for (const path of removal.removedDirectories) state.forgetDirectory(path);
    for (const left of removal.left) log.warning("filter.left", { ...left });
    noteRemoved(state, "filter", removal.removed);
    const left = removal.left.find(({ mayGo }) => mayGo);
    return left && new Problem("internal", `The filter ${left.location} is left: ${left.hint}.`);
  }

  async #touchAfter(milliseconds: number, desired: DesiredState): Promise<void> {
    this.#pausing.abort();
    const { signal } = this.#pausing = new AbortController();
    const { platform, log, pause } = this.#world;
    await pause(milliseconds, signal);
    if (signal.aborted) return;
    try {
      this.#take(platform.touchFilters(filtersOf(desired)));
      this.#touchedAt = this.#writtenAt;
    } catch (error) {
      log.warning("filter.untouched", { reason: toProblem(error).message });
    }
  }

  #take(reports: readonly { writtenAt?: number }[]): void {
    const times = reports.flatMap((report) => report.writtenAt ?? []);
    this.#writtenAt = times.length > 0 ? Math.max(...times) : undefined;
  }

  #ledger() {
    const { state } = this.#world;
    return {
      recordCreated: (path: string) => state.recordDirectory(path),
      createdDirectories: state.createdDirectories(),
    };
  }
}

function filtersOf(desired: DesiredState) {
  return { brand: desired.brand, patterns: desired.selection.patterns };
}
