/** The user-agent's real world: the way to the agent, this user's store, the system's clock. */
import type { UserPlatform } from "../platform/platform.ts";
import { isThere } from "../platform/presence.ts";
import { socketExchange } from "./exchange.ts";
import { folderExchange, untilFolder } from "./folder_exchange.ts";
import { openLocalClient } from "./local_client.ts";
import { accountSockets } from "./sockets.ts";
import type { UserWorld } from "./user_agent.ts";

/** Opens it. The store is opened when a run needs it. */
export function openUserWorld(platform: UserPlatform): UserWorld {
  return {
    ...wayToAgent(platform),
    stateDir: platform.stateDir,
    checkHome: () => platform.checkHome(),
    openStore: (options) => platform.openStore(options),
    ...(platform.removeStore ? { removeStore: platform.removeStore } : {}),
    ...(platform.filters ? { filters: platform.filters } : {}),
    removeCreated: (created) => platform.removeCreated(created),
    runningBrowsers: () => platform.runningBrowsers(),
    now: Date.now,
    random: Math.random,
    sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  };
}

function wayToAgent(
  { meeting, paths, uid }: UserPlatform,
): Pick<UserWorld, "client" | "untilServed"> {
  const sockets = accountSockets(paths, uid);
  if (meeting === "folders") {
    return {
      client: openLocalClient(folderExchange(sockets.dir)),
      untilServed: (signal) => untilFolder(sockets.dir, signal),
    };
  }
  // The worker's own socket is there while one works; else the agent's door leads to one.
  const socket = isThere(sockets.worker) ? sockets.worker : sockets.agent;
  return { client: openLocalClient(socketExchange(socket)) };
}
