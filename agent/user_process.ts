/** A user-agent as a process. It loads little, because the agent waits for it. */
import { endSignal } from "./end_signal.ts";
import { EXIT } from "./exit.ts";
import { runUserAgent, runUserAgentForever } from "./user_agent.ts";
import { openUserWorld } from "./user_world.ts";

/** One run, or for as long as the session lasts. Gives the exit code. */
export async function userAgentProcess(root: string | undefined, once: boolean): Promise<number> {
  const world = await openUserWorld(root);
  try {
    if (once) return await runUserAgent(world) === "done" ? EXIT.done : EXIT.attention;
    await runUserAgentForever(world, endSignal());
    return EXIT.done;
  } finally {
    world.client.close();
  }
}
