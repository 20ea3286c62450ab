/** A user-agent as a process. It loads little, because the agent waits for it. */
import { type UserPlatform, userPlatform } from "../platform/platform.ts";
import { endSignal } from "./end_signal.ts";
import { EXIT } from "./exit.ts";
import { pause } from "./pause.ts";
import { runUserAgent, runUserAgentForever } from "./user_agent.ts";
import { openUserWorld } from "./user_world.ts";

/** How often a second session of a user looks whether it is the only one now, milliseconds. */
const RESIDENCE_LOOK = 60_000;

/** One run, or for as long as the session lasts. Gives the exit code. */
export async function userAgentProcess(root: string | undefined, once: boolean): Promise<number> {
  const platform = await userPlatform(root);
  const world = openUserWorld(platform);
  try {
    if (once) return await runUserAgent(world) === "done" ? EXIT.done : EXIT.attention;
    const signal = endSignal();
    await residence(platform, signal);
    await runUserAgentForever(world, signal);
    return EXIT.done;
  } finally {
    world.client.close();
  }
}

/** Resolves when no other session of this user has a user-agent, or at the signal. */
async function residence(platform: UserPlatform, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && platform.claimResidence?.() === false) {
    await pause(RESIDENCE_LOOK, signal);
  }
}
