/**
 * A door: a Unix socket of one user's that lets a few connections through to a socket behind it,
 * byte for byte. A user who knocks without end, or keeps coming in, costs the agent no more than
 * these few: what is over the limits is told so and hung up on, and nothing of it is read.
 */
import type { Log } from "./log.ts";

/** Connections that one door lets be open, and lets begin in a minute. */
const LIMITS = { open: 4, perMinute: 30 } as const;

/** What one over the limits is told; a constant, since nothing of its request is read. */
const TOO_MANY = new TextEncoder().encode(
  "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n" +
    "connection: close\r\n\r\n",
);

/** After an error of the system's (no file descriptor left), milliseconds. */
const PAUSE = 1000;

/** What a door needs of the world. */
export interface DoorWorld {
  /** For the log. */
  name: string;
  log: Log;
  now: () => number;
  /** Lets a connection through until either side hangs up; may reject when one does. */
  enter: (connection: Deno.Conn) => Promise<void>;
}

/** A door that is open until it is closed. */
export class Door {
  #open = 0;
  #minute = 0;
  #count = 0;
  #closed = false;

  constructor(private readonly listener: Deno.Listener, private readonly world: DoorWorld) {
    this.#tend();
  }

  /** Forgets how many came in this minute. */
  startOver(): void {
    this.#count = 0;
  }

  /** Lets nobody in any more; who is in may stay. */
  close(): void {
    this.#closed = true;
    this.listener.close();
  }

  async #tend(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#admit(await this.listener.accept());
      } catch (error) {
        if (this.#closed) return;
        const { log, name } = this.world;
        log.error("door.failed", { door: name, reason: String(error) });
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
  }

  /** Waits for a refusal, so that there is one at a time, and for nothing else. */
  async #admit(connection: Deno.Conn): Promise<void> {
    const minute = Math.floor(this.world.now() / 60_000);
    if (minute !== this.#minute) [this.#minute, this.#count] = [minute, 0];
    if (this.#open < LIMITS.open && ++this.#count <= LIMITS.perMinute) this.#letIn(connection);
    else await refuse(connection);
  }

  async #letIn(connection: Deno.Conn): Promise<void> {
    this.#open++;
    try {
      using _connection = connection;
      await this.world.enter(connection);
    } catch (error) {
      // Either side may hang up at any time; that ends this connection and nothing else.
      this.world.log.debug("door.hung-up", { door: this.world.name, reason: String(error) });
    } finally {
      this.#open--;
    }
  }
}

/** Connects through to the socket at `path` until either side hangs up. @throws of any kind */
export async function relay(connection: Deno.Conn, path: string): Promise<void> {
  using behind = await Deno.connect({ transport: "unix", path });
  await Promise.race([
    connection.readable.pipeTo(behind.writable),
    behind.readable.pipeTo(connection.writable),
  ]);
}

/** What it is told fits into the socket's buffer, whether anybody reads it or not. */
async function refuse(connection: Deno.Conn): Promise<void> {
  using _connection = connection;
  try {
    await connection.write(TOO_MANY);
  } catch {
    // It hung up before it was told.
  }
}
