/** A running portal, and curl in front of it, for tests. */
import assert from "node:assert/strict";
import {
  scratchFleet,
  type ScratchLeaf,
  type ScratchUser,
} from "../mock_server/scratch_context.ts";
import {
  type MockServerOptions,
  type RunningServer,
  startMockServer,
} from "../mock_server/server.ts";
import { runProgram } from "./product.ts";

const EMAIL = "alice@example.com";

/** What every challenge here asks for. */
export const QUERY = `user=${EMAIL}&resource=mail`;

/** A running server with one managed user, whose leaf and key are in files. */
export interface Portal {
  server: RunningServer;
  alice: ScratchUser;
  leaf: ScratchLeaf;
  folder: string;
  /** A path in `folder`; the chain is in `leaf.pem`, its key in `leaf.key`. */
  path(name: string): string;
}

/** Runs `test` with a portal of its own; distribution is ON. */
export async function withPortal(
  test: (portal: Portal) => Promise<void>,
  options: Pick<MockServerOptions, "trustedProxies" | "now"> = {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "portal-tls-" });
  const loopback = { host: "localhost", port: 0 };
  const server = await startMockServer({
    listen: loopback,
    portal: loopback,
    dataDir: folder,
    ...options,
  });
  try {
    const { context } = server;
    const now = context.now().getTime();
    context.store.settings.update({ globalCertificateDistribution: true }, now);
    const fleet = scratchFleet(context);
    const alice = fleet.addManaged(EMAIL);
    const leaf = await fleet.issue(alice);
    const path = (name: string) => `${folder}/${name}`;
    await Deno.writeTextFile(path("leaf.pem"), leaf.pem + context.authority.intermediate.pem);
    await Deno.writeTextFile(path("leaf.key"), leaf.key);
    await test({ server, alice, leaf, folder, path });
  } finally {
    await server.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** What curl gets there; trusts the server's own authority. Fails on what is not 2xx. */
export async function curl(portal: Portal, url: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runProgram(
    ["curl"],
    ["-sS", "--fail", "--cacert", portal.server.serverCa, ...args, url],
  );
  assert.equal(code, 0, err);
  return out;
}
