/**
 * The keychain, the filters and a browser of a real Mac: what the model cannot show. It writes to
 * the keychains and preferences of the user that runs it, so it runs where CI says that nobody's
 * own are there.
 */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import { runUserAgent } from "../agent/user_agent.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { FILTER_POLICY } from "../platform/filter_entries.ts";
import { passwordItemName } from "../platform/macos/keychain_password.ts";
import { macosUser } from "../platform/macos/user_platform.ts";
import { type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";
import { type MachineFact, testWith } from "./skip.ts";

const MAC: MachineFact = {
  met: Deno.build.os === "darwin" && Deno.env.get("CI") === "true",
  otherwise: "this machine is no Mac that is there for tests (CI=true)",
};
const CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
const DAY = 24 * 3_600_000;

testWith(
  [MAC],
  "a real Mac: install, Chrome presents the leaf, a silent renewal, and OFF leaves nothing",
  async () => {
    await withUserAgent(async (scratch) => {
      await using portal = await startPortal(scratch);
      const platform = macosUser(undefined);
      const searchList = run("security", ["list-keychains", "-d", "user"]).out;
      const { removeStore, filters } = platform;
      Object.assign(scratch.world, { ...platform, removeStore, filters });
      scratch.pass(Date.now() - scratch.world.now());
      const selection = { patterns: [portal.url], macosApplications: [] };
      scratch.slice = { ...scratch.slice, selection };
      try {
        await step(scratch, "installed");
        const { store, leafName = "", filters = [] } = scratch.lastReport();
        assert.deepEqual(filters.map(({ browser, state, hint }) => [browser, state, hint]), [
          ["chrome", "ok", undefined],
          ["safari", "ok", undefined],
        ]);
        const identities = run("security", [
          ...["find-identity", "-p", "ssl-client", store?.location ?? ""],
        ]);
        assert.ok(identities.out.includes(leafName), identities.out + identities.err);
        assert.ok((await presentedByChrome(portal.url)).includes(leafName), "Chrome presents it");
        scratch.pass(17 * DAY);
        await step(scratch, "installed");
        assert.ok(scratch.asked.at(-1)?.leafSignature, "this program may use the key, silently");
      } finally {
        scratch.slice = { ...scratch.slice, wanted: false, final: true, leaves: [] };
        await step(scratch, "removed");
      }
      assert.equal(run("security", ["list-keychains", "-d", "user"]).out, searchList);
      const item = ["find-generic-password", "-s", passwordItemName("JumpCloud")];
      assert.equal(run("security", item).code, 44);
      assert.notEqual(run("defaults", ["read", "com.google.Chrome", FILTER_POLICY]).code, 0);
    });
  },
);

/** One run of the user-agent, and what it has to report. */
async function step(scratch: ScratchUserAgent, state: string): Promise<void> {
  await runUserAgent(scratch.world);
  scratch.listIssued();
  const report = scratch.lastReport();
  assert.equal(report.state, state, JSON.stringify(report, null, 2));
}

/** A TLS server that asks for a leaf of this authority and says which it was shown. */
async function startPortal({ authority, home }: ScratchUserAgent) {
  const names = { names: ["localhost"], ips: [], now: new Date() };
  const { keyPem, certPem } = await openServerTls(`${home}/portal`, names);
  const ca = [authority.root.pem, authority.intermediate.pem];
  const tls = { key: keyPem, cert: certPem, ca, requestCert: true, rejectUnauthorized: false };
  const server = createServer(tls, ({ socket }, response) => {
    const shown = "getPeerCertificate" in socket && typeof socket.getPeerCertificate === "function"
      ? socket.getPeerCertificate().subject?.CN
      : undefined;
    response.end(`shown: ${shown ?? "nothing"}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("It listens at no port.");
  return {
    url: `https://localhost:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The page as Chrome has it; a chooser or a dialog of the keychain would wait for ever. */
async function presentedByChrome(url: string): Promise<string> {
  const profile = await Deno.makeTempDir();
  try {
    const { stdout, signal } = await new Deno.Command(CHROME, {
      args: [
        ...["--headless=new", "--no-first-run", "--disable-gpu", "--ignore-certificate-errors"],
        ...[`--user-data-dir=${profile}`, "--dump-dom", url],
      ],
      stdin: "null",
      stderr: "null",
      signal: AbortSignal.timeout(120_000),
    }).output();
    assert.equal(signal, null, "Chrome did not end: it asks somebody");
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(profile, { recursive: true });
  }
}

function run(program: "security" | "defaults", args: string[]) {
  const result = new Deno.Command(`/usr/bin/${program}`, { args, stdin: "null" }).outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: result.code, out: text(result.stdout), err: text(result.stderr) };
}
