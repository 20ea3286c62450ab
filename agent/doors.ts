/**
 * The resident agent's doors: a Unix socket for each managed account and one for the administrator.
 * Who knocks is connected through to the worker, byte for byte; the agent itself reads nothing.
 */
import type { SystemPaths } from "../platform/paths.ts";
import type { Log } from "./log.ts";
import { accountSockets, bindSocket, removeSocket, workerControlSocket } from "./sockets.ts";
import type { WorkerHandle } from "./worker_handle.ts";
import { CONTROL, type WorkerMessage } from "./worker_messages.ts";

/** Connections that one account may have open, and may begin in a minute. */
const LIMITS = { open: 4, perMinute: 30 } as const;

/** What an account over its limit is told; a constant, since nothing of its request is read. */
const TOO_MANY = new TextEncoder().encode(
  "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n" +
    "connection: close\r\n\r\n",
);

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
  readonly #doors = new Map<string, Deno.Listener>();

  constructor(
    private readonly world: DoorsWorld,
    private readonly worker: WorkerHandle,
    private readonly clock: () => WorkerMessage["clock"],
  ) {
    const { paths } = world;
    this.#listen(CONTROL, paths.controlSocket, undefined, async () => {
      await worker.channel(CONTROL, { ...clock() });
      return workerControlSocket(paths);
    });
  }

  /** Opens the doors of these accounts and closes all others. */
  open(uids: readonly string[]): void {
    const { paths, privileged } = this.world;
    for (const uid of uids) {
      if (this.#doors.has(uid)) continue;
      const sockets = accountSockets(paths, uid);
      if (!isThere(sockets.dir)) continue;
      this.#listen(uid, sockets.agent, privileged ? Number(uid) : undefined, async () => {
        await this.worker.channel(uid, { ...this.clock() });
        return sockets.worker;
      });
    }
    for (const [uid, listener] of this.#doors) {
      if (uid === CONTROL || uids.includes(uid)) continue;
      listener.close();
      this.#doors.delete(uid);
      const sockets = accountSockets(paths, uid);
      removeSocket(sockets.agent);
      removeDir(sockets.dir);
    }
  }

  /** Closes all. */
  close(): void {
    this.open([]);
    for (const listener of this.#doors.values()) listener.close();
    removeSocket(this.world.paths.controlSocket);
  }

  #listen(
    name: string,
    path: string,
    owner: number | undefined,
    behind: () => Promise<string>,
  ): void {
    const listener = bindSocket(path, owner, () => Deno.listen({ transport: "unix", path }));
    this.#doors.set(name, listener);
    this.#accept(listener, behind).catch((error) => {
      this.world.log.error("door.failed", { door: name, reason: String(error) });
    });
  }

  async #accept(listener: Deno.Listener, behind: () => Promise<string>): Promise<void> {
    let open = 0;
    let minute = 0;
    let count = 0;
    for await (const connection of listener) {
      const thisMinute = Math.floor(this.world.now() / 60_000);
      if (thisMinute !== minute) [minute, count] = [thisMinute, 0];
      if (open >= LIMITS.open || ++count > LIMITS.perMinute) {
        refuse(connection);
        continue;
      }
      open++;
      this.#connect(connection, behind).finally(() => open--);
    }
  }

  async #connect(connection: Deno.Conn, behind: () => Promise<string>): Promise<void> {
    using _hold = this.worker.hold();
    try {
      using _connection = connection;
      using worker = await Deno.connect({ transport: "unix", path: await behind() });
      await Promise.race([
        connection.readable.pipeTo(worker.writable),
        worker.readable.pipeTo(connection.writable),
      ]);
    } catch (error) {
      // Either side may hang up at any time; that ends this connection and nothing else.
      this.world.log.debug("door.hung-up", { reason: String(error) });
    }
  }
}

function refuse(connection: Deno.Conn): void {
  connection.write(TOO_MANY).catch(() => {
    // It hung up before it was told.
  }).finally(() => connection.close());
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
