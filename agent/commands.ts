/** What the one-shot commands do; main.ts parses for them and gives their exit codes. */
import { Problem, toProblem } from "../platform/errors.ts";
import { devicePlatform } from "../platform/platform.ts";
import { readRegularFile } from "../platform/files.ts";
import { leaveOnce } from "./agent_once.ts";
import type { Config } from "./config.ts";
import { enroll, EnrolledElsewhere } from "./enrollment.ts";
import { EXIT } from "./exit.ts";
import { UsageError } from "./failure.ts";
import type { Leaving } from "./leave.ts";
import { lockHolder } from "./lock.ts";
import { openLog } from "./log.ts";
import { lockAgent, openDevice } from "./processes.ts";
import { pause } from "./pause.ts";
import { selfProgram } from "./self_program.ts";
import { readStatus, statusExitCode, statusText } from "./status.ts";

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
  const platform = devicePlatform(root);
  const running = lockHolder(`${platform.paths.stateDir}/agent.lock`) !== undefined;
  const leaving = running
    ? await unenrollThroughAgent(platform.paths.controlSocket)
    : await unenrollHere(root);
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

async function unenrollHere(root: string | undefined): Promise<Leaving | undefined> {
  const device = openDevice(root);
  try {
    using _lock = lockAgent(device.platform);
    return await leaveOnce({
      ...device,
      program: selfProgram(root),
      log: openLog({ level: "warning" }),
      ...(device.config.proxy ? { proxy: device.config.proxy } : {}),
      now: Date.now,
      random: Math.random,
      pause,
      signal: new AbortController().signal,
    });
  } finally {
    device.state.close();
  }
}

async function unenrollThroughAgent(socket: string): Promise<Leaving | undefined> {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  try {
    const response = await fetch("http://agent/unenroll", { method: "POST", client });
    const answer = await response.json();
    if (!response.ok) throw new Problem("internal", String(answer.message));
    return answer;
  } catch (error) {
    throw toProblem(error);
  } finally {
    client.close();
  }
}
