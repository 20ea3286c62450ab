/** The answering end of channels where agent and user-agents meet at Unix sockets. */
import type { Hono } from "hono";
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { Channels, Control, OpenApp } from "./channels.ts";
import { Door, relay } from "./door.ts";
import type { Log } from "./log.ts";
import { accountSockets, bindSocket, removeSocket, workerControlSocket } from "./sockets.ts";

/** What they need of the world. */
export interface SocketChannelsWorld {
  platform: Pick<DevicePlatform, "paths" | "privileged" | "makeRunFolders">;
  log: Log;
  now: () => number;
  openApp: OpenApp;
}

/** One account's channel and the door before it. */
interface Channel {
  server: Deno.HttpServer;
  door: Door;
  /** Makes room for a user-agent that is about to start. */
  invite: () => void;
}

/** One socket per account. */
export class SocketChannels implements Channels {
  readonly #channels = new Map<string, Channel>();

  constructor(private readonly world: SocketChannelsWorld) {}

  has(uid: string): boolean {
    return this.#channels.has(uid);
  }

  open({ uid }: Account): void {
    const open = this.#channels.get(uid);
    if (open) return open.invite();
    const { platform, log, now, openApp } = this.world;
    platform.makeRunFolders(uid);
    const { worker: front, channel } = accountSockets(platform.paths, uid);
    const { app, invite } = openApp(uid);
    // Behind a door, because it would itself take every connection that a user makes.
    const server = bindSocket(channel, undefined, () => {
      return Deno.serve({ path: channel, onListen() {} }, app.fetch);
    });
    const owner = platform.privileged ? Number(uid) : undefined;
    const listener = bindSocket(front, owner, () => {
      return Deno.listen({ transport: "unix", path: front });
    });
    const enter = (connection: Deno.Conn) => relay(connection, channel);
    const door = new Door(listener, { name: uid, log, now, enter });
    const startOver = () => {
      door.startOver();
      invite();
    };
    this.#channels.set(uid, { server, door, invite: startOver });
  }

  /** The agent starts user-agents. */
  call(): Promise<boolean> {
    return Promise.resolve(true);
  }

  /** Who is connected is held by the agent's door. */
  quiet(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async close(): Promise<void> {
    for (const [uid, { server, door }] of this.#channels) {
      door.close();
      // A user-agent that still holds a question open would hold the end up.
      await Promise.race([server.shutdown(), new Promise((done) => setTimeout(done, 500))]);
      const sockets = accountSockets(this.world.platform.paths, uid);
      for (const path of [sockets.worker, sockets.channel]) removeSocket(path);
    }
  }
}

/** The administrator's channel at the worker's own socket. */
export function openControlSocket({ paths }: Pick<DevicePlatform, "paths">, app: Hono): Control {
  const path = workerControlSocket(paths);
  const server = bindSocket(path, undefined, () => Deno.serve({ path, onListen() {} }, app.fetch));
  return {
    look() {},
    quiet: () => Promise.resolve(false),
    async close() {
      removeSocket(path);
      await server.shutdown();
    },
  };
}
