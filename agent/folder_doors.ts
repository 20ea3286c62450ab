/**
 * The resident agent's doors where it meets user-agents in exchange folders: one name in each is
 * looked at, and a worker is started when a file is there. Nothing in a folder is read or listed.
 */
import { isThere } from "../platform/presence.ts";
import type { DoorsWorld } from "./doors.ts";
import { asksIn, slotFiles } from "./exchange_folder.ts";
import { FolderWatch } from "./folder_watch.ts";
import { pause } from "./pause.ts";
import type { WorkerHandle } from "./worker_handle.ts";
import { CONTROL, type WorkerMessage } from "./worker_messages.ts";

/** Times in a minute that a worker is told of one folder's requests. */
const PER_MINUTE = 30;

/** At most so long until a request is seen that the system told nothing of, milliseconds. */
const LOOK_EVERY = 5000;

/** Times that a folder is tried to be removed, 100 ms apart. */
const MOST_TRIES = 20;

/** How long an agent that ends waits for its folders to be removed, milliseconds. */
const REMOVED_IN = 5000;

/** All doors of one agent. */
export class FolderDoors {
  readonly #doors = new Map<string, FolderDoor>();
  #closed = false;

  constructor(
    private readonly world: Omit<DoorsWorld, "privileged">,
    private readonly worker: Pick<WorkerHandle, "channel">,
    private readonly clock: () => WorkerMessage["clock"],
  ) {
    this.#tend(CONTROL, world.paths.control);
  }

  /**
   * Tends the doors of these accounts and removes all others, also what an agent that was killed left
   * of them; nothing once all are closed.
   */
  open(uids: readonly string[]): void {
    if (this.#closed) return;
    for (const uid of uids) {
      const folder = this.#folderOf(uid);
      if (!this.#doors.has(uid) && isThere(asksIn(folder))) this.#tend(uid, folder);
    }
    for (const uid of this.#folders()) if (!uids.includes(uid)) this.#remove(uid);
  }

  /** Closes all, for good: a worker that is about to end may still say whose it wants open. */
  async close(): Promise<void> {
    this.#closed = true;
    const removed = this.#folders().map((uid) => this.#remove(uid));
    // A user can hold a file there so that whoever removes it waits.
    const end = new AbortController();
    await Promise.race([Promise.all(removed), pause(REMOVED_IN, end.signal)]);
    end.abort();
    this.#doors.get(CONTROL)?.close();
  }

  /** Whose folder is there; nobody but the agent makes one. */
  #folders(): string[] {
    return [...Deno.readDirSync(this.world.paths.usersRunDir)].map(({ name }) => name);
  }

  #folderOf(uid: string): string {
    return `${this.world.paths.usersRunDir}/${uid}`;
  }

  #tend(uid: string, folder: string): void {
    const knock = () => void this.worker.channel(uid, { ...this.clock() });
    this.#doors.set(uid, new FolderDoor(folder, this.world.now, knock));
  }

  /** May take its time: a user may have filled the folder. */
  async #remove(uid: string): Promise<void> {
    const folder = this.#folderOf(uid);
    this.#doors.get(uid)?.close();
    this.#doors.delete(uid);
    for (let tries = 1;; tries++) {
      try {
        return await Deno.remove(folder, { recursive: true });
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return;
        if (tries === MOST_TRIES) {
          // It goes with the next agent.
          return this.world.log.debug("door.left", { folder, reason: String(error) });
        }
        // A user-agent that does not know yet has just opened or written something.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

/** Knocks once for each request. */
class FolderDoor {
  readonly #watch: FolderWatch;
  readonly #asked: string;
  /** What tells the request that was knocked for from the next. */
  #known: string | undefined;
  #minute = 0;
  #count = 0;

  constructor(
    folder: string,
    private readonly now: () => number,
    private readonly knock: () => void,
  ) {
    this.#asked = slotFiles(folder, "request").asked;
    this.#watch = new FolderWatch(asksIn(folder), () => this.#look(), LOOK_EVERY);
    this.#look();
  }

  close(): void {
    this.#watch[Symbol.dispose]();
  }

  #look(): void {
    const request = stamp(this.#asked);
    if (request === undefined || request === this.#known) {
      this.#known = request;
      return;
    }
    const minute = Math.floor(this.now() / 60_000);
    if (minute !== this.#minute) [this.#minute, this.#count] = [minute, 0];
    if (++this.#count > PER_MINUTE) return;
    this.#known = request;
    this.knock();
  }
}

/** Changes with the file at `path`; undefined when there is none, or none that can be looked at. */
function stamp(path: string): string | undefined {
  try {
    const { mtime, birthtime, size, ino } = Deno.lstatSync(path);
    return [mtime?.getTime(), birthtime?.getTime(), size, ino].join();
  } catch {
    return undefined;
  }
}
