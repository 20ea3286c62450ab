/** Debian's nginx in front of a portal, with the very configuration that docs/proxy.md shows. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Portal } from "./portal_fixture.ts";
import { until } from "./until.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/proxy.md", import.meta.url));

/** Where browsers meet the proxy: another loopback address, for the port is the portal's own. */
export const PROXY_ADDRESS = "127.0.0.2";

/** Starts it; disposing of it ends it. Its files are in the portal's folder. */
export async function startNginx(portal: Portal): Promise<AsyncDisposable> {
  const port = Number(new URL(portal.server.portalUrl).port);
  await Deno.writeTextFile(portal.path("proxy.conf"), await configuration(portal, port));
  const child = new Deno.Command("nginx", {
    args: ["-e", "stderr", "-c", portal.path("proxy.conf")],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  let ended = false;
  child.status.then(() => ended = true);
  await until("nginx listens", async () => ended || await accepts(port));
  if (ended) throw new Error(`nginx ended at its start: ${await said}`);
  return {
    async [Symbol.asyncDispose]() {
      if (!ended) child.kill("SIGTERM");
      await child.status;
      await said;
    },
  };
}

/** The document's configuration, in the surroundings that a package brings. */
async function configuration(portal: Portal, port: number): Promise<string> {
  const text = await Deno.readTextFile(DOCUMENT);
  let site = /\n```nginx\n(.*?)```\n/s.exec(text)?.[1];
  assert.ok(site, "the document shows a configuration");
  await Deno.writeTextFile(
    portal.path("device-root.pem"),
    portal.server.context.authority.root.pem,
  );
  const tls = portal.path("tls/server.pem");
  const ours = {
    "listen 443": `listen ${PROXY_ADDRESS}:${port}`,
    "portal.example.com": "localhost",
    "10.0.0.5:443": `127.0.0.1:${port}`,
    "/etc/nginx/portal/certificate.pem": tls,
    "/etc/nginx/portal/key.pem": tls,
    "/etc/nginx/portal/device-root.pem": portal.path("device-root.pem"),
    "/etc/nginx/portal/server-ca.pem": portal.server.serverCa,
  };
  for (const [example, own] of Object.entries(ours)) {
    assert.ok(site.includes(example), `the document's configuration has '${example}'`);
    site = site.replaceAll(example, own);
  }
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${portal.path(`nginx-${name}`)};`);
  return [
    "daemon off;",
    `pid ${portal.path("nginx.pid")};`,
    "events {}",
    `http { access_log off; ${temporary.join(" ")}`,
    site,
    "}",
  ].join("\n");
}

async function accepts(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: PROXY_ADDRESS, port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}
