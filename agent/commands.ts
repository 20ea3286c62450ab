/** What the one-shot commands do; main.ts parses for them and gives their exit codes. */
import { z } from "zod";
import { toProblem } from "../platform/errors.ts";
import { readRegularFile } from "../platform/files.ts";
import { leaveOnce, renewOnce } from "./agent_once.ts";
import type { Config } from "./config.ts";
import { throughAgentOrHere } from "./device_action.ts";
import { enroll, EnrolledElsewhere } from "./enrollment.ts";
import { EXIT } from "./exit.ts";
import { UsageError } from "./failure.ts";
import { Leaving } from "./leave.ts";
import { RenewalOutcome } from "./local_contract.ts";
import { lockFile } from "./lock.ts";
import type { Output } from "./output.ts";
import { openDevice } from "./processes.ts";
import { oneLine } from "./text_lines.ts";

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
  const { config, ...device } = await openDevice(root);
  try {
    const server = options.server ?? config.server;
    if (!server) throw new UsageError("Give the agent server: --server URL.");
    const connectKey = connectKeySource(options, config);
    const caFile = options.serverCa ?? config.serverCa;
    // Two at once would each make a device key, and one of them be overwritten.
    using _lock = lockFile(`${device.platform.paths.stateDir}/enrollment.lock`, "wait");
    const { deviceId, already } = await enroll(
      { ...device, system: await device.platform.system(), now: Date.now },
      {
        server,
        connectKey,
        ...(caFile ? { serverCa: readCertificates(caFile) } : {}),
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
  for (const { username, message } of leaving.left) {
    output.err(`${oneLine(`${username}: ${message}`)}\n`);
  }
  if (leaving.clean) output.out("Unenrolled; nothing of it is left on this device.\n");
  else {output.err(
      "Not everything could be removed yet. A running agent tries again; without one, run this again.\n",
    );}
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
    if (renewed) output.out(`${oneLine(username)}: renewed, serial ${serial}\n`);
    else output.err(`${oneLine(`${username}: not renewed. ${message}`)}\n`);
  }
  return outcomes.every(({ renewed }) => renewed) ? EXIT.done : EXIT.attention;
}

/** Where the connect key comes from; it is read when it is needed. @throws UsageError */
function connectKeySource(options: EnrollOptions, config: Config): () => Promise<string> {
  const { connectKey, connectKeyFile } = options;
  if (connectKey !== undefined && connectKeyFile !== undefined) {
    throw new UsageError("Give --connect-key or --connect-key-file, not both.");
  }
  const file = connectKeyFile ?? config.connectKeyFile;
  if (connectKey === undefined && file === undefined) {
    throw new UsageError("Give a connect key: --connect-key-file FILE, or - for standard input.");
  }
  return async () => {
    const text = connectKey ??
      (file === "-" || file === undefined
        ? await new Response(Deno.stdin.readable).text()
        : readText(file, "the connect key"));
    if (text.trim() === "") throw new UsageError("The connect key is empty.");
    return text.trim();
  };
}

function readCertificates(path: string): string {
  const text = readText(path, "the server's authority");
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new UsageError(`There is no certificate (PEM) in '${path}', given for the server's CA.`);
}

function readText(path: string, what: string): string {
  try {
    const bytes = readRegularFile(path, 16 * KEY_FILE_BYTES);
    if (bytes) return new TextDecoder().decode(bytes);
  } catch (cause) {
    throw new UsageError(`Cannot read ${what}: ${toProblem(cause).message}.`, { cause });
  }
  throw new UsageError(`Cannot read ${what}: there is no file '${path}'.`);
}
