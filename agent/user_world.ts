/** The user-agent's real world: the agent's socket, this user's store, the system's clock. */
import { userPlatform } from "../platform/platform.ts";
import { isThere } from "../platform/presence.ts";
import { openLocalClient } from "./local_client.ts";
import { accountSockets } from "./sockets.ts";
import type { UserWorld } from "./user_agent.ts";

/** Opens it. The store is opened when a run needs it. */
export async function openUserWorld(root: string | undefined): Promise<UserWorld> {
  const platform = await userPlatform(root);
  const sockets = accountSockets(platform.paths, platform.uid);
  return {
    // The worker's own socket is there while one works; else the agent's door leads to one.
    client: openLocalClient(isThere(sockets.worker) ? sockets.worker : sockets.agent),
    stateDir: platform.stateDir,
    checkHome: () => platform.checkHome(),
    openStore: (options) => platform.openStore(options),
    removeCreated: (created) => platform.removeCreated(created),
    runningBrowsers: () => platform.runningBrowsers(),
    now: Date.now,
    random: Math.random,
    sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  };
}
