/** This product's commands as an administrator uses them, each a process of its own. */
import { fileURLToPath } from "node:url";
import type { Status, UserStatus } from "../agent/status.ts";
import { TextLineStream } from "../agent/text_lines.ts";
import { ServerFile } from "../mock_server/server_file.ts";
import { until } from "./until.ts";

/** How the program is started, without a command. */
export type Program = readonly [string, ...string[]];

/** From source, with every system path under `root` where one is given. */
export function programFromSource(root?: string): Program {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const global = root === undefined ? [] : ["--root", root];
  return [Deno.execPath(), "run", "-A", "--quiet", "--no-prompt", main, ...global];
}

/** What a command did. */
export interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** Runs a command to its end. */
export async function runProgram(
  [executable, ...first]: Program,
  args: readonly string[],
  input = "",
): Promise<Outcome> {
  const child = new Deno.Command(executable, {
    args: [...first, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [{ code, stdout, stderr }] = await Promise.all([
    child.output(),
    new Blob([input]).stream().pipeTo(child.stdin),
  ]);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** What an administrator does at an agent server. Disposing of it closes connections. */
export interface Administration extends Disposable {
  /** A request to the admin API; `path` begins behind `/admin/v1`. @throws Error unless 2xx */
  admin(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Makes `NAME@example.com`, bound to the local account `username`. Gives the userId. */
  bind(deviceId: string, username: string): Promise<string>;
  /** Turns Global Certificate Distribution ON or OFF. */
  distribute(on: boolean): Promise<void>;
}

/** Administers the agent server that wrote this `server.json`. */
export async function administer(file: ServerFile): Promise<Administration> {
  const client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(file.serverCa)] });
  const admin = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${file.agentUrl}/admin/v1${path}`, {
      method,
      client,
      headers: { authorization: `Bearer ${file.adminToken}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
  return {
    admin,
    async bind(deviceId, username) {
      const user = await admin("POST", "/users", { email: `${username}@example.com` });
      const userId = idOf(user);
      await admin("PUT", `/devices/${deviceId}/users/${userId}`, { username });
      return userId;
    },
    async distribute(on) {
      await admin("PUT", "/settings", { globalCertificateDistribution: on });
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** A mock agent server with its administrator at hand. Disposing of it ends it. */
export interface DrivenServer
  extends ServerFile, Omit<Administration, keyof Disposable>, AsyncDisposable {}

/** Starts `mock-server` on free ports, with its data in `folder`. */
export async function startMockServer(
  program: Program,
  folder: string,
  options: readonly string[] = [],
): Promise<DrivenServer> {
  const [executable, ...first] = program;
  const ports = ["--listen=localhost:0", "--portal=localhost:0"];
  const child = new Deno.Command(executable, {
    args: [...first, "mock-server", ...ports, `--data=${folder}`, ...options],
    stdin: "null",
    stdout: "null",
  }).spawn();
  let ended = false;
  child.status.then(() => ended = true);
  const path = `${folder}/server.json`;
  await until("the mock agent server has started", () => ended || exists(path));
  if (ended) throw new Error("The mock agent server ended at its start.");
  const file = ServerFile.parse(JSON.parse(await Deno.readTextFile(path)));
  const administration = await administer(file);
  let disposed = false;
  return {
    ...file,
    ...administration,
    async [Symbol.asyncDispose]() {
      // A test may have ended it before.
      if (!disposed) administration[Symbol.dispose]();
      disposed = true;
      if (!ended) child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** A device with its administrator at hand. Disposing of it ends its agent. */
export interface DrivenDevice extends AsyncDisposable {
  /** Enrols it. Gives the deviceId. */
  enroll(server: Pick<ServerFile, "agentUrl" | "serverCa" | "connectKey">): Promise<string>;
  /** Starts the agent; gives its process id. */
  startAgent(): number;
  /** `status --json`. */
  status(): Promise<Status>;
  /** Waits until the status of every user, or of those of these names, is so. */
  untilUsers(
    what: string,
    isSo: (user: UserStatus) => boolean,
    names?: readonly string[],
  ): Promise<void>;
  /** `unenroll`. @throws Error unless everything went */
  unenroll(): Promise<void>;
  /** What the agent and its processes have logged so far. */
  log(): string;
}

/** Drives the device that `program` works on. */
export function driveDevice(program: Program): DrivenDevice {
  let agent: Deno.ChildProcess | undefined;
  let logged = "";
  const status = async (): Promise<Status> => {
    const { code, out, err } = await runProgram(program, ["status", "--json"]);
    if (code !== 0 && code !== 3 && code !== 4) throw new Error(`status: ${code} ${err}`);
    return JSON.parse(out);
  };
  return {
    status,
    log: () => logged,
    async enroll(server) {
      const where = ["--server", server.agentUrl, "--server-ca", server.serverCa];
      const args = ["enroll", ...where, "--connect-key-file", "-"];
      const { code, err } = await runProgram(program, args, server.connectKey);
      if (code !== 0) throw new Error(`enroll: ${code} ${err}`);
      return (await status()).device.id ?? "";
    },
    startAgent() {
      const [executable, ...first] = program;
      agent = new Deno.Command(executable, {
        args: [...first, "agent"],
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
      const lines = agent.stderr.pipeThrough(new TextDecoderStream())
        .pipeThrough(new TextLineStream());
      (async () => {
        for await (const line of lines) logged += `${line}\n`;
      })();
      return agent.pid;
    },
    async untilUsers(what, isSo, names) {
      let last: Status | undefined;
      try {
        await until(what, async () => {
          last = await status();
          const users = last.users.filter((user) => names?.includes(user.username) ?? true);
          return users.length > 0 && users.every(isSo);
        });
      } catch (error) {
        throw new Error(`${JSON.stringify(last, null, 2)}\n${logged}`, { cause: error });
      }
    },
    async unenroll() {
      const { code, err } = await runProgram(program, ["unenroll"]);
      if (code !== 0) throw new Error(`unenroll: ${code} ${err}`);
    },
    async [Symbol.asyncDispose]() {
      agent?.kill("SIGTERM");
      await agent?.status;
    },
  };
}

function idOf(user: unknown): string {
  if (typeof user === "object" && user !== null && "userId" in user) return String(user.userId);
  throw new Error(`The agent server's user has no userId: ${JSON.stringify(user)}`);
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
