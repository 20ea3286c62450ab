/** The main job of the program on Windows, end to end: its agent server runs here, all else there. */
import { fileURLToPath } from "node:url";
import { startMockServer } from "../mock_server/server.ts";
import { execute } from "./private_root.ts";
import { startTerminator, TERMINATOR } from "./tls_terminator.ts";
import { testInWindows } from "./wine.ts";

testInWindows(
  [],
  "a Windows device gets its leaf, shows it, renews it, and loses every trace of it",
  {
    files: ["windows_job_story.ts"],
    programs: [
      { source: "certstore_witness.c", libraries: ["crypt32", "ncrypt", "advapi32"] },
      { source: "portal_witness.c", libraries: ["crypt32", "winhttp"] },
    ],
    prepare,
  },
);

/** Starts the server; leaves `server.json`, its authority, and the program for the story. */
async function prepare(directory: string): Promise<AsyncDisposable> {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const program = `${directory}/device-trust.js`;
  await execute(Deno.execPath(), "bundle", "--quiet", "--output", program, main);
  const loopback = { host: "localhost", port: 0 };
  const dataDir = `${directory}/server`;
  const server = await startMockServer({
    listen: loopback,
    portal: loopback,
    dataDir,
    trustedProxies: [TERMINATOR],
  });
  const terminator = await startTerminator(server, dataDir);
  const { agentUrl, portalUrl, adminToken, connectKey } = server;
  await Deno.copyFile(server.serverCa, `${directory}/ca.pem`);
  await Deno.writeTextFile(
    `${directory}/server.json`,
    JSON.stringify({
      ...{ agentUrl, portalUrl, adminToken, connectKey },
      serverCa: "ca.pem",
      terminatorPort: terminator.port,
    }),
  );
  return {
    async [Symbol.asyncDispose]() {
      await terminator[Symbol.asyncDispose]();
      await server.close();
    },
  };
}
