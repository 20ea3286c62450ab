/** The answering end of channels where agent and user-agents meet in exchange folders. */
import type { Hono } from "hono";
import type { Account } from "../platform/accounts.ts";
import type { DevicePlatform } from "../platform/platform.ts";
import type { Channels, Control, OpenApp } from "./channels.ts";
import { FolderChannel } from "./folder_channel.ts";
import type { Log } from "./log.ts";
import { CONTROL } from "./worker_messages.ts";

/** What they need of the world. */
export interface FolderChannelsWorld {
  platform: Pick<DevicePlatform, "paths" | "makeRunFolders" | "readUserFile">;
  log: Log;
  openApp: OpenApp;
}

/**
 * How long a worker stays for a user-agent that has asked something, milliseconds: in one run it asks
 * three times, and each would else start a worker.
 */
const LINGER = 3000;

/** One exchange folder per account. */
export class FolderChannels implements Channels {
  readonly #channels = new Map<string, { channel: FolderChannel; invite: () => void }>();

  constructor(private readonly world: FolderChannelsWorld) {}

  has(uid: string): boolean {
    return this.#channels.has(uid);
  }

  open({ uid }: Account): void {
    const open = this.#channels.get(uid);
    if (open) {
      open.invite();
      open.channel.look();
      return;
    }
    const { platform, log, openApp } = this.world;
    platform.makeRunFolders(uid);
    const { app, invite } = openApp(uid);
    const folder = `${platform.paths.usersRunDir}/${uid}`;
    const answer = (request: Request) => app.fetch(request);
    const channel = new FolderChannel({
      folder,
      name: uid,
      platform,
      log,
      answer,
      linger: LINGER,
    });
    this.#channels.set(uid, { channel, invite });
  }

  async call({ uid }: Account): Promise<boolean> {
    return await this.#channels.get(uid)?.channel.call() ?? false;
  }

  async quiet(): Promise<boolean> {
    const were = await Promise.all(
      [...this.#channels.values()].map(({ channel }) => channel.quiet()),
    );
    return were.includes(true);
  }

  async close(): Promise<void> {
    // A request to an agent server that does not answer would hold the end up.
    const closed = [...this.#channels.values()].map(({ channel }) => channel.close());
    await Promise.race([Promise.all(closed), new Promise((done) => setTimeout(done, 500))]);
  }
}

/** The administrator's channel in its exchange folder. */
export function openControlFolder(
  { platform, log }: Omit<FolderChannelsWorld, "openApp">,
  app: Hono,
): Control {
  return new FolderChannel({
    folder: platform.paths.control,
    name: CONTROL,
    platform,
    log,
    answer: (request) => app.fetch(request),
    linger: 0,
  });
}
