/** What the one-shot commands do; main.ts parses for them and gives their exit codes. */
import { z } from "zod";
import { Problem, toProblem } from "../platform/errors.ts";
import { devicePlatform } from "../platform/platform.ts";
import { readRegularFile } from "../platform/files.ts";
import { leaveOnce, renewOnce } from "./agent_once.ts";
import type { Config } from "./config.ts";
import { enroll, EnrolledElsewhere } from "./enrollment.ts";
import { EXIT } from "./exit.ts";
import { UsageError } from "./failure.ts";
import { Leaving } from "./leave.ts";
import { RenewalOutcome } from "./local_contract.ts";
import { lockHolder } from "./lock.ts";
import { openLog } from "./log.ts";
import { lockAgent, openDevice, workWorld } from "./processes.ts";
import { readStatus, statusExitCode, statusText } from "./status.ts";
import type { WorkWorld } from "./work.ts";

/** Writes what a command has to say: results to `out`, everything else to `err`. */
export interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
}

/** Options of `enroll`; what is absent comes from the configuration file. */
export interface EnrollOptions {
  server?: string | undefined;
  connectKey?: string | undefined;
  /** A path, or `-` for standard input. */
  connectKeyFile?: string | undefined;
  serverCa?: string | undefined;
}

/** Longest connect key file, bytes. */
const KEY_FILE_BYTES = 4096;

/** `enroll`: 0 done or enrolled there already, 1 enrolled elsewhere or failed. */
export async function enrollCommand(
  root: string | undefined,
  options: EnrollOptions,
  output: Output,
): Promise<number> {
  const { config, ...device } = openDevice(root);
  const server = options.server ?? config.server;
  if (!server) throw new UsageError("Give the agent server: --server URL.");
  try {
    const caFile = options.serverCa ?? config.serverCa;
    const { deviceId, already } = await enroll(
      { ...device, system: await device.platform.system(), now: Date.now },
      {
        server,
        connectKey: await connectKey(options, config),
        ...(caFile ? { serverCa: readText(caFile, "--server-ca") } : {}),
        ...(config.proxy ? { proxy: config.proxy } : {}),
      },
    );
    output.out(already ? `Already enrolled as ${deviceId}.\n` : `Enrolled as ${deviceId}.\n`);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof EnrolledElsewhere)) throw error;
    output.err(`${error.message}\n`);
    return EXIT.failed;
  } finally {
    device.state.close();
  }
}

/** `unenroll`: 0 all is gone, 3 not enrolled, 4 something could not be removed yet. */
export async function unenrollCommand(root: string | undefined, output: Output): Promise<number> {
  const leaving = await throughAgentOrHere(root, {
    path: "/unenroll",
    read: (answer) => Leaving.parse(answer),
    here: leaveOnce,
  });
  if (!leaving) {
    output.err("This device is not enrolled; there is nothing to remove.\n");
    return EXIT.notEnrolled;
  }
  if (leaving.untold) output.err(`${leaving.untold}\nEverything here is removed all the same.\n`);
  for (const { username, message } of leaving.left) output.err(`${username}: ${message}\n`);
  if (leaving.clean) output.out("Unenrolled; nothing of it is left on this device.\n");
  else output.err("Not everything could be removed yet; the agent tries again while it runs.\n");
  return leaving.clean ? EXIT.done : EXIT.attention;
}

/** `renew`: 0 all were renewed, 3 not enrolled, 4 somebody's leaf was not. */
export async function renewCommand(
  root: string | undefined,
  username: string | undefined,
  output: Output,
): Promise<number> {
  const outcomes = await throughAgentOrHere(root, {
    path: "/renew",
    body: username === undefined ? {} : { username },
    read: (answer) => z.object({ users: z.array(RenewalOutcome) }).parse(answer).users,
    here: (world) => renewOnce(world, username),
  });
  if (!outcomes) {
    output.err("This device is not enrolled; there is nothing to renew.\n");
    return EXIT.notEnrolled;
  }
  if (outcomes.length === 0) {
    output.err(
      username === undefined
        ? "Nobody is to hold a leaf here now; there is nothing to renew.\n"
        : `'${username}' is to hold no leaf here now. Those who do: device-trust status.\n`,
    );
    return username === undefined ? EXIT.done : EXIT.failed;
  }
  for (const { username, renewed, serial, message } of outcomes) {
    if (renewed) output.out(`${username}: renewed, serial ${serial}\n`);
    else output.err(`${username}: not renewed. ${message}\n`);
  }
  return outcomes.every(({ renewed }) => renewed) ? EXIT.done : EXIT.attention;
}

/** `status`. */
export async function statusCommand(
  root: string | undefined,
  json: boolean,
  output: Output,
): Promise<number> {
  const status = await readStatus(devicePlatform(root), Date.now);
  const { lastError: _lastError, ...contract } = status;
  output.out(json ? `${JSON.stringify(contract, null, 2)}\n` : statusText(status));
  return statusExitCode(status);
}

async function connectKey(options: EnrollOptions, config: Config): Promise<string> {
  const file = options.connectKeyFile ?? config.connectKeyFile;
  if (options.connectKey !== undefined) return options.connectKey;
  if (file === "-") return (await new Response(Deno.stdin.readable).text()).trim();
  if (file !== undefined) return readText(file, "the connect key").trim();
  throw new UsageError("Give a connect key: --connect-key-file FILE, or - for standard input.");
}

function readText(path: string, what: string): string {
  const bytes = readRegularFile(path, 16 * KEY_FILE_BYTES);
  if (!bytes) throw new UsageError(`Cannot read ${what}: there is no file '${path}'.`);
  return new TextDecoder().decode(bytes);
}

/** Something that a running agent does, and that is done here when none runs. */
interface DeviceAction<T> {
  /** Its path on the administrator's channel. */
  path: string;
  body?: unknown;
  read: (answer: unknown) => T;
  here: (world: WorkWorld) => Promise<T | undefined>;
}

/** Undefined when this device is not enrolled. */
async function throughAgentOrHere<T>(
  root: string | undefined,
  action: DeviceAction<T>,
): Promise<T | undefined> {
  const { paths } = devicePlatform(root);
  if (lockHolder(`${paths.stateDir}/agent.lock`) !== undefined) {
    return await throughAgent(paths.controlSocket, action);
  }
  const device = openDevice(root);
  try {
    using _lock = lockAgent(device.platform);
    return await action.here({ ...workWorld(root, device), log: openLog({ level: "warning" }) });
  } finally {
    device.state.close();
  }
}

async function throughAgent<T>(socket: string, { path, body, read }: DeviceAction<T>): Promise<T> {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  try {
    const response = await fetch(`http://agent${path}`, {
      method: "POST",
      client,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body ?? {}),
    });
    const answer = await response.json();
    if (!response.ok) throw new Problem("internal", String(answer.message));
    return read(answer);
  } catch (error) {
    throw toProblem(error);
  } finally {
    client.close();
  }
}
