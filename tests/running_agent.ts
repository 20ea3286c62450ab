/** An agent as a process of its own, for tests that end it in every way that there is. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { selfProgram } from "../agent/self_program.ts";
import { TextLineStream } from "../agent/text_lines.ts";
import { inPassableFolder, makeDeviceRoot } from "./device_root.ts";
import {
  driveDevice,
  type DrivenDevice,
  type DrivenServer,
  type Program,
  programFromSource,
  startMockServer,
} from "./product.ts";
import { until } from "./until.ts";

/** A device with one account, alice, and the server that it may enrol at. */
export interface World {
  folder: string;
  root: string;
  program: Program;
  server: DrivenServer;
  device: DrivenDevice;
}

/** Runs a test with them; the device is not enrolled yet, and no process of it may stay. */
export async function withDevice(test: (world: World) => Promise<void>): Promise<void> {
  await inPassableFolder(async (folder) => {
    const root = `${folder}/device`;
    await makeDeviceRoot(root, ["alice"]);
    await using server = await startMockServer(programFromSource(), `${folder}/server`);
    const program = programFromSource(root);
    await test({ folder, root, program, server, device: driveDevice(program) });
    assert.deepEqual(rolesUnder(root), [], "no process is left");
  });
}

/** Has the running agent do something that shows; needs no certificate store. */
export async function seeItWork(
  { server, device }: Pick<World, "server" | "device">,
  deviceId: string,
): Promise<void> {
  const name = `nobody-${crypto.randomUUID().slice(0, 8)}`;
  await server.bind(deviceId, name);
  await server.distribute(true);
  await device.untilUsers(`${name} is known`, ({ state }) => state === "failed", [name]);
}

/** How a process ended after it was told to. */
export interface End {
  code: number;
  /** Milliseconds since it was told. */
  took: number;
}

/** A process of the program that runs until it is ended. Disposing of it ends it. */
export interface RunningProgram extends AsyncDisposable {
  readonly pid: number;
  /** What it and its children have said on standard error. */
  log(): string;
  /** Waits until a text is in the log. */
  untilLogged(text: string): Promise<void>;
  /** Paths of the files that it has open now. @throws Error when it has ended */
  openFiles(): string[];
  signal(signal: Deno.Signal): void;
  /** Sends the signal and waits for the end. */
  end(signal: Deno.Signal): Promise<End>;
  /** Waits for the end by itself; gives the exit code. */
  ended(): Promise<number>;
}

/** Starts the program with these arguments, and in this environment beside the test's own. */
export function startProgram(
  [executable, ...first]: Program,
  args: string[],
  env: Record<string, string> = {},
): RunningProgram {
  const child = new Deno.Command(executable, {
    args: [...first, ...args],
    // Another HOME must not be another cache of modules.
    env: { ...selfProgram(undefined, "main.ts").env, ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let logged = "";
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  const reading = (async () => {
    for await (const line of lines) logged += `${line}\n`;
  })();
  let ended = false;
  child.status.then(() => ended = true);
  const end = async (signal: Deno.Signal): Promise<End> => {
    const started = performance.now();
    if (!ended) child.kill(signal);
    // One that a test has stopped would not hear it.
    if (!ended) child.kill("SIGCONT");
    const { code } = await child.status;
    const took = performance.now() - started;
    await reading;
    return { code, took };
  };
  return {
    pid: child.pid,
    log: () => logged,
    async untilLogged(text) {
      await until(`'${text}' is logged`, () => {
        if (ended) throw new Error(`It ended before it logged '${text}':\n${logged}`);
        return logged.includes(text);
      });
    },
    openFiles() {
      if (ended) throw new Error(`It has ended:\n${logged}`);
      return openFiles(child.pid);
    },
    signal: (signal) => child.kill(signal),
    end,
    async ended() {
      await reading;
      return (await child.status).code;
    },
    [Symbol.asyncDispose]: async () => void await end("SIGTERM"),
  };
}

function openFiles(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
}

/** What the processes on the device under `root` run as, in order. */
export function rolesUnder(root: string): string[] {
  return processesUnder(root).map(({ role }) => role).sort();
}

/** The processes on the device under `root`, and what they run as, by the kernel (proc(5)). */
export function processesUnder(root: string): { pid: number; role: string }[] {
  return [...Deno.readDirSync("/proc")].filter(({ name }) => /^\d+$/.test(name))
    .map(({ name }) => ({ pid: Number(name), words: commandLine(name) }))
    .filter(({ words }) => words.includes(root))
    .map(({ pid, words }) => ({ pid, role: words[words.lastIndexOf(root) + 1] ?? "" }));
}

function commandLine(pid: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
  } catch {
    // It ended meanwhile.
    return [];
  }
}

/** Every socket below a folder, which need not be there. */
export function socketsBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) return socketsBelow(path);
    return Deno.lstatSync(path).isSocket ? [path] : [];
  });
}
