/**
 * The resident agent's doors: a Unix socket for each managed account and one for the administrator.
 * Who knocks is connected through to the worker, byte for byte; the agent itself reads nothing.
 */
import type { SystemPaths } from "../platform/paths.ts";
import { Door, relay } from "./door.ts";
import type { Log } from "./log.ts";
import { accountSockets, bindSocket, removeSocket, workerControlSocket } from "./sockets.ts";
import type { WorkerHandle } from "./worker_handle.ts";
import { CONTROL, type WorkerMessage } from "./worker_messages.ts";

/** What doors need of the world. */
export interface DoorsWorld {
  /** The run folders are there; those of accounts are the worker's business. */
  paths: SystemPaths;
  /** Whether this process may give a socket to its user. */
  privileged: boolean;
  log: Log;
  now: () => number;
}

/** All doors of one agent. */
export class Doors {
  readonly #doors = new Map<string, Door>();
  #closed = false;

  constructor(
    private readonly world: DoorsWorld,
    private readonly worker: WorkerHandle,
    private readonly clock: () => WorkerMessage["clock"],
  ) {
    const { paths } = world;
    this.#listen(CONTROL, paths.control, undefined, async () => {
      await worker.channel(CONTROL, { ...clock() });
      return workerControlSocket(paths);
    });
  }

  /** Opens the doors of these accounts and closes all others; nothing once all are closed. */
  open(uids: readonly string[]): void {
    if (this.#closed) return;
    const { paths, privileged } = this.world;
    for (const uid of uids) {
      if (this.#doors.has(uid)) continue;
      const sockets = accountSockets(paths, uid);
      if (!isThere(sockets.dir)) continue;
      this.#listen(uid, sockets.agent, privileged ? Number(uid) : undefined, async () => {
        await this.worker.channel(uid, { ...this.clock() });
        return sockets.channel;
      });
    }
    for (const [uid, door] of this.#doors) {
      if (uid === CONTROL || uids.includes(uid)) continue;
      door.close();
      this.#doors.delete(uid);
      const sockets = accountSockets(paths, uid);
      removeSocket(sockets.agent);
      removeDir(sockets.dir);
    }
  }

  /** Closes all, for good: a worker that is about to end may still say whose it wants open. */
  close(): void {
    this.open([]);
    this.#closed = true;
    for (const door of this.#doors.values()) door.close();
    removeSocket(this.world.paths.control);
  }

  #listen(
    name: string,
    path: string,
    owner: number | undefined,
    behind: () => Promise<string>,
  ): void {
    const listener = bindSocket(path, owner, () => Deno.listen({ transport: "unix", path }));
    const enter = async (connection: Deno.Conn) => {
      using _hold = this.worker.hold();
      await relay(connection, await behind());
    };
    this.#doors.set(name, new Door(listener, { ...this.world, name, enter }));
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function removeDir(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    // A worker's socket is still in it: the next agent removes it.
    if (!(error instanceof Deno.errors.NotFound) && !isNotEmpty(error)) throw error;
  }
}

function isNotEmpty(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOTEMPTY";
}
