/** The command `mock-server` (DESIGN section 7). */
import { BRAND_PATTERN } from "../ca/names.ts";
import { cidrProblem } from "./cidr.ts";
import { parseListenAddress } from "./listen_address.ts";
import { type MockServerOptions, startMockServer } from "./server.ts";

/** The command's options as they were typed. */
export interface MockServerArguments {
  listen: string;
  portal: string;
  data: string;
  brand?: string | undefined;
  leafTtl: string;
  renewAfter: string;
  overlap: string;
  trustedProxy?: string[] | undefined;
}

/** Where a command writes. */
export interface CommandOutput {
  out: (text: string) => void;
  err: (text: string) => void;
}

const DONE = 0;
const USAGE = 2;

/** Runs a server until SIGINT or SIGTERM; gives the exit code. Throws what starting it throws. */
export async function runMockServer(
  typed: MockServerArguments,
  output: CommandOutput,
): Promise<number> {
  const options = readOptions(typed);
  if (typeof options === "string") {
    output.err(`error: ${options}\n`);
    return USAGE;
  }
  const ended = endOfProcess();
  const server = await startMockServer(options);
  if (server.newSecrets) {
    output.err(`A new admin token and connect key are in ${options.dataDir}/server.json\n`);
  }
  output.out(`agent server ${server.agentUrl}\nportal ${server.portalUrl}\n`);
  await ended;
  await server.close();
  return DONE;
}

/** Seconds of `30s`, `5m`, `12h` or `14d`; undefined for anything else, and for over 10 years. */
export function parseDuration(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit ?? ""] ?? NaN);
  return seconds <= 3650 * 86_400 ? seconds : undefined;
}

/** The options, or what is wrong with them. */
function readOptions(typed: MockServerArguments): MockServerOptions | string {
  const listen = parseListenAddress(typed.listen);
  const portal = parseListenAddress(typed.portal);
  if (!listen) return `--listen '${typed.listen}' is not HOST:PORT, for instance localhost:8443`;
  if (!portal) return `--portal '${typed.portal}' is not HOST:PORT, for instance localhost:9443`;
  const leafTtlSeconds = parseDuration(typed.leafTtl);
  const renewAfterSeconds = parseDuration(typed.renewAfter);
  const overlapSeconds = parseDuration(typed.overlap);
  if (!leafTtlSeconds) return `--leaf-ttl ${DURATION}: '${typed.leafTtl}'`;
  if (renewAfterSeconds === undefined) return `--renew-after ${DURATION}: '${typed.renewAfter}'`;
  if (overlapSeconds === undefined || overlapSeconds > 365 * 86_400) {
    return `--overlap ${DURATION}, of a year at most: '${typed.overlap}'`;
  }
  if (renewAfterSeconds >= leafTtlSeconds) {
    return `--renew-after ${typed.renewAfter} must be shorter than --leaf-ttl ${typed.leafTtl}`;
  }
  const { brand, data: dataDir, trustedProxy: trustedProxies = [] } = typed;
  if (brand !== undefined && !BRAND_PATTERN.test(brand)) {
    return `--brand '${brand}' must be 1 to 32 letters and digits`;
  }
  for (const range of trustedProxies) {
    const problem = cidrProblem(range);
    if (problem) return `--trusted-proxy '${range}' ${problem}`;
  }
  const times = { leafTtlSeconds, renewAfterSeconds, overlapSeconds };
  return { listen, portal, dataDir, ...(brand && { brand }), ...times, trustedProxies };
}

const DURATION = "must be a duration such as 30s, 5m, 12h or 14d";

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process as it always would. */
function endOfProcess(): Promise<void> {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  return new Promise((resolve) => {
    const end = () => {
      for (const signal of signals) Deno.removeSignalListener(signal, end);
      resolve();
    };
    for (const signal of signals) Deno.addSignalListener(signal, end);
  });
}
