/** For the bench: a mock agent server with one managed user, whose leaf and key it prints. */
import { scratchFleet } from "../mock_server/scratch_context.ts";
import { startMockServer } from "../mock_server/server.ts";

const [dataDir] = Deno.args;
if (!dataDir) throw new Error("usage: portal_server.ts FOLDER");
const anyPort = { host: "localhost", port: 0 };
const { context, agentUrl, portalUrl, adminToken, serverCa } = await startMockServer({
  listen: anyPort,
  portal: anyPort,
  dataDir,
});
const fleet = scratchFleet(context);
const alice = fleet.addManaged("alice@example.com");
const { pem, key } = await fleet.issue(alice);
// deno-lint-ignore no-console -- how the bench learns of them
console.log(JSON.stringify({ agentUrl, portalUrl, adminToken, serverCa, pem, key }));
