/**
 * Runs the user-agent's job in its user's login session and waits for its end. launchd starts it, so
 * that it is in the security session that the login keychain is open in.
 */
import type { RunCommand } from "../command.ts";
import { Problem } from "../errors.ts";
import type { UserAgentExit } from "../platform.ts";
import { USER_AGENT_LABEL } from "./launchd_jobs.ts";
import { type Argv, MACOS, systemEnvironment } from "./system_commands.ts";

/** What running it needs. */
export interface SessionWorld {
  run: RunCommand;
  now: () => number;
  pause: (milliseconds: number) => Promise<void>;
}

/** What launchd says of a job. */
export interface JobState {
  running: boolean;
  /** How often it was started. */
  runs: number;
  /** Exit code of its last run; undefined before the first. */
  exitCode?: number;
}

/** Longest run, milliseconds; then it is told to end, and after {@link STOP_MS} made to. */
const DEADLINE_MS = 120_000;
const STOP_MS = 10_000;
/** Between two looks at a job that runs. */
const LOOK_MS = 100;

/**
 * Runs the job of `uid` once, to its end.
 *
 * @throws Problem `not-logged-on` without a session at the screen: then it runs at the next login
 */
export async function runUserAgentJob(
  uid: string,
  signal: AbortSignal,
  world: SessionWorld,
): Promise<UserAgentExit> {
  const target = `gui/${uid}/${USER_AGENT_LABEL}`;
  const deadline = world.now() + DEADLINE_MS;
  const isOver = () => signal.aborted || world.now() >= deadline;
  // One that runs already was told what was wanted earlier.
  const before = await untilIdle(uid, world, isOver);
  if (before.running) return await stop(uid, target, world);
  const { code, stderrTail } = await command(MACOS.startJob(target), world);
  if (code !== 0) {
    const why = stderrTail.trim() || `launchctl ended with ${code}`;
    throw new Problem("internal", `launchd does not start the user-agent: ${why}`);
  }
  const after = await until(
    uid,
    world,
    ({ running, runs }) => !running && runs > before.runs,
    isOver,
  );
  if (after.running || after.runs === before.runs) return await stop(uid, target, world);
  return { code: after.exitCode ?? 0, timedOut: false, errors: "" };
}

/** From what `launchctl print` says of a job. */
export function jobStateIn(text: string): JobState {
  const value = (name: string) => new RegExp(`^\\t${name} = (.*)$`, "m").exec(text)?.[1];
  const exitCode = /^-?\d+/.exec(value("last exit code") ?? "")?.[0];
  return {
    running: /^\d+$/.test(value("pid") ?? ""),
    runs: Number(value("runs") ?? 0),
    ...(exitCode === undefined ? {} : { exitCode: Number(exitCode) }),
  };
}

async function untilIdle(uid: string, world: SessionWorld, isOver: () => boolean) {
  return await until(uid, world, ({ running }) => !running, isOver);
}

async function until(
  uid: string,
  world: SessionWorld,
  isReached: (state: JobState) => boolean,
  isOver: () => boolean,
): Promise<JobState> {
  let state = await look(uid, world);
  while (!isReached(state) && !isOver()) {
    await world.pause(LOOK_MS);
    state = await look(uid, world);
  }
  return state;
}

async function stop(uid: string, target: string, world: SessionWorld): Promise<UserAgentExit> {
  const end = world.now() + STOP_MS;
  await command(MACOS.signalJob("SIGTERM", target), world);
  const { running } = await untilIdle(uid, world, () => world.now() >= end);
  if (running) await command(MACOS.signalJob("SIGKILL", target), world);
  return { code: 1, timedOut: true, errors: "" };
}

async function look(uid: string, world: SessionWorld): Promise<JobState> {
  const job = await command(MACOS.jobs(`gui/${uid}/${USER_AGENT_LABEL}`), world);
  if (job.code === 0) return jobStateIn(job.stdoutTail);
  const session = await command(MACOS.jobs(`gui/${uid}`), world);
  throw session.code === 0
    ? new Problem(
      "internal",
      "The user-agent is not loaded in this user's session: allow device-trust in System " +
        "Settings > General > Login Items, then 'sudo device-trust service install'.",
    )
    : new Problem(
      "not-logged-on",
      "This user is not logged in at the screen, and macOS opens the login keychain only then: " +
        "it goes on by itself at the next login.",
    );
}

async function command(argv: Argv, { run }: SessionWorld) {
  return await run({ argv, env: systemEnvironment(), timeoutMs: 20_000 });
}
