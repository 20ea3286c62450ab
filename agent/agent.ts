/**
 * The resident agent: it waits, at the agent server for a change and at its own doors for somebody
 * who knocks, and has a worker do everything else. It parses nothing that a user or the server
 * sends, which keeps it small in memory and in what can be attacked.
 */
import { toProblem } from "../platform/errors.ts";
import type { SystemPaths } from "../platform/paths.ts";
import type { Meeting, SelfProgram } from "../platform/platform.ts";
import { backOff } from "./back_off.ts";
import { readIdentity } from "./identity.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";
import type { State } from "./state.ts";
import { Watch } from "./watch.ts";

/** How often a device without an identity looks whether it has one now, milliseconds. */
const ENROLLMENT_LOOK = 1000;

/** Everything of the world that the resident agent touches. */
export interface AgentWorld {
  paths: SystemPaths;
  /** Whether this process may act for other users. */
  privileged: boolean;
  meeting: Meeting;
  /** What tells this machine from a clone of it; see `SystemFacts`. */
  system: { machine?: string };
  state: State;
  program: SelfProgram;
  deviceKey: string;
  log: Log;
  now: () => number;
  /** Uniform in [0, 1). */
  random: () => number;
  proxy?: string;
  /** Enrols this device when its configuration says how; false when it does not. */
  enrollByConfiguration: () => Promise<boolean>;
  /** Ends the agent. */
  signal: AbortSignal;
}

/** Runs until the signal says to end. */
export async function runAgent(world: AgentWorld): Promise<void> {
  const { log, signal, state } = world;
  log.info("agent.started", { pid: Deno.pid });
  const enrolled = enrolling(world);
  while (!signal.aborted) {
    const identity = await readIdentity(world);
    if (identity) await new Watch(world, identity).run();
    else if (!await enrolled()) await pause(ENROLLMENT_LOOK, signal);
  }
  log.info("agent.stopped");
  state.close();
}

/**
 * Enrols by the configuration, at most so often; meanwhile an administrator may do it by hand. Who
 * has left, or was deleted, does not come back unasked.
 */
function enrolling(
  { enrollByConfiguration, log, random, signal, state, system }: AgentWorld,
) {
  let failures = 0;
  let notBefore = 0;
  let told = false;
  return async (): Promise<boolean> => {
    if (performance.now() < notBefore) return false;
    try {
      const done = !state.hasLeft(system.machine) && await enrollByConfiguration();
      failures = 0;
      if (!done && !told) log.info("device.not-enrolled", { fix: "device-trust enroll" });
      told = !done;
      return done;
    } catch (error) {
      if (signal.aborted) return false;
      log.warning("enrollment.failed", { reason: toProblem(error).message });
      notBefore = performance.now() + backOff(++failures, random);
      return false;
    }
  };
}
