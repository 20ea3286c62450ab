/**
 * One process of a Linux device on which agent and user-agents meet in folders, and user-agents live
 * in their sessions, as on Windows: `folder_device.ts ROOT agent|agent-worker|user-agent`.
 */
import { fileURLToPath } from "node:url";
import { runAgent } from "../agent/agent.ts";
import { openState } from "../agent/device_state.ts";
import { endSignal } from "../agent/end_signal.ts";
import { openLog } from "../agent/log.ts";
import { pause } from "../agent/pause.ts";
import { State } from "../agent/state.ts";
import { runUserAgentForever } from "../agent/user_agent.ts";
import { openUserWorld } from "../agent/user_world.ts";
import { runWorkerProcess } from "../agent/worker_process.ts";
import { linuxDevice } from "../platform/linux/device_platform.ts";
import { linuxUser } from "../platform/linux/user_platform.ts";
import { systemPaths } from "../platform/paths.ts";
import type { DevicePlatform, SelfProgram } from "../platform/platform.ts";
import type { Program } from "./product.ts";

/** What starts such a process; the role follows. */
export function folderProgram(root: string): Program {
  return [Deno.execPath(), "run", "-A", "--quiet", "--no-prompt", SOURCE, root];
}

/** Where the agent of such a device is met. */
export function folderPaths(root: string) {
  const paths = systemPaths({ os: "linux", root });
  return { ...paths, control: `${paths.runDir}/control` };
}

const SOURCE = fileURLToPath(import.meta.url);

function platform(root: string): DevicePlatform {
  const paths = folderPaths(root);
  return {
    ...linuxDevice(root),
    paths,
    meeting: "folders",
    makeRunFolders(uid) {
      const users = uid === undefined ? [] : [`${paths.usersRunDir}/${uid}`];
      Deno.mkdirSync(paths.usersRunDir, { recursive: true });
      for (const folder of [paths.control, ...users]) {
        for (const name of ["in", "out"]) Deno.mkdirSync(`${folder}/${name}`, { recursive: true });
      }
    },
    startUserAgent: () => Promise.resolve(undefined),
  };
}

async function agent(root: string): Promise<void> {
  const { paths, makeRunFolders } = platform(root);
  makeRunFolders();
  await runAgent({
    ...common(root),
    paths,
    privileged: false,
    meeting: "folders",
    system: {},
    state: new State(`${paths.stateDir}/state.db`, Date.now),
    enrollByConfiguration: () => Promise.resolve(false),
    signal: endSignal(),
  });
}

async function worker(root: string): Promise<void> {
  const { stateDir } = folderPaths(root);
  await runWorkerProcess({
    ...common(root),
    platform: platform(root),
    state: openState(stateDir, Date.now),
    pause,
    signal: endSignal(),
    input: Deno.stdin.readable,
    answer: (answer) => {
      Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(answer)}\n`));
    },
  });
}

async function userAgent(root: string): Promise<void> {
  const own = linuxUser(root);
  const world = openUserWorld({ ...own, meeting: "folders", paths: folderPaths(root) });
  await runUserAgentForever(world, endSignal());
}

function common(root: string) {
  const [executable, ...args] = folderProgram(root);
  const program: SelfProgram = { argv: [executable, ...args], env: {}, files: [] };
  return {
    program,
    deviceKey: `${folderPaths(root).stateDir}/device.key`,
    log: openLog({ text: false }),
    now: Date.now,
    random: Math.random,
  };
}

if (import.meta.main) {
  const [root = "", role] = Deno.args;
  if (role === "agent") await agent(root);
  else if (role === "agent-worker") await worker(root);
  else await userAgent(root);
  Deno.exit(0);
}
