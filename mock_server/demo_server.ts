/** The demo's agent server: this program's `mock-server` as a process, driven by its admin API. */
import { z } from "zod";
import { selfProgram, withArguments } from "../agent/self_program.ts";
import { ServerFile } from "./server_file.ts";

/** A running mock agent server with its admin API at hand. */
export interface DemoServer extends ServerFile {
  /** Makes `NAME@example.com` and binds that user to the account NAME. */
  bind(deviceId: string, name: string): Promise<void>;
  distribute(on: boolean): Promise<void>;
  /** The portal's verdict on a request that presents no certificate. */
  challengeWithout(
    user: string,
  ): Promise<{ managed: boolean; reason: string; message: string; serial: string | null }>;
  close(): Promise<void>;
}

/** Longest that it may take to start, milliseconds. */
const START = 30_000;

/**
 * Starts the server with its data in `folder`, on ports that are free.
 *
 * @param source see `selfProgram`
 */
export async function startDemoServer(folder: string, source?: string): Promise<DemoServer> {
  const { argv: [command, ...args], env } = withArguments(
    selfProgram(undefined, source),
    "mock-server",
    "--listen=localhost:0",
    "--portal=localhost:0",
    `--data=${folder}`,
  );
  const child = new Deno.Command(command, { args, env, stdin: "null", stdout: "null" }).spawn();
  const file = await serverFile(`${folder}/server.json`, child.status);
  const client = Deno.createHttpClient({ caCerts: [await Deno.readTextFile(file.serverCa)] });

  async function admin(method: string, path: string, body: unknown): Promise<unknown> {
    const response = await fetch(`${file.agentUrl}/admin/v1${path}`, {
      method,
      client,
      headers: { authorization: `Bearer ${file.adminToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    }
    return await response.json();
  }

  let closed = false;
  return {
    ...file,
    async bind(deviceId, name) {
      const user = await admin("POST", "/users", { email: `${name}@example.com`, name });
      const { userId } = z.object({ userId: z.string() }).parse(user);
      await admin("PUT", `/devices/${deviceId}/users/${userId}`, { username: name });
    },
    async distribute(on) {
      await admin("PUT", "/settings", { globalCertificateDistribution: on });
    },
    async challengeWithout(user) {
      const query = `user=${user}@example.com&resource=demo`;
      return await (await fetch(`${file.portalUrl}/challenge?${query}`, { client })).json();
    },
    async close() {
      if (closed) return;
      closed = true;
      client.close();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** Waits for the file that the server writes when both its listeners accept. */
async function serverFile(path: string, ended: Promise<Deno.CommandStatus>): Promise<ServerFile> {
  let code: number | undefined;
  ended.then((status) => code = status.code);
  for (const end = performance.now() + START; performance.now() < end;) {
    try {
      return ServerFile.parse(JSON.parse(await Deno.readTextFile(path)));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    if (code !== undefined) throw new Error(`The mock agent server ended with code ${code}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("The mock agent server did not start within 30 s.");
}
