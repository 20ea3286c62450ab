/**
 * A user's whole story on Windows, or in Wine (tests/windows_platform_test.ts): the real user-agent,
 * stores and registry, against an authority of the test. On a real Windows Edge presents the leaf. It
 * writes to the stores and policies of this computer, so it runs where nobody's own are.
 */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import { DeviceRoot } from "../agent/device_root.ts";
import { openLog } from "../agent/log.ts";
import { State } from "../agent/state.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { openServerTls } from "../ca/server_tls.ts";
import { openCertstore, USER_STORES } from "../platform/windows/certstore.ts";
import { windowsDevice } from "../platform/windows/device_platform.ts";
import { keyProvider } from "../platform/windows/key_provider.ts";
import { windowsUser } from "../platform/windows/user_platform.ts";
import { type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";
import { type MachineFact, testWith } from "./skip.ts";
import { hasKey, isWine, ScratchLedger } from "./windows_scratch.ts";

const WINE = isWine();
const NOBODYS: MachineFact = {
  met: WINE || (Deno.build.os === "windows" && Deno.env.get("CI") === "true"),
  otherwise: "this machine is no Windows that is there for tests (CI=true)",
};
const EDGE = "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe";
const POLICY =
  "HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Edge\\AutoSelectCertificateForUrls";
const DAY = 24 * 3_600_000;

testWith(
  [NOBODYS],
  `a user on Windows: filter, root, leaf, ${
    WINE ? "" : "Edge presents it, "
  }a signed renewal, and OFF leaves nothing`,
  async () => {
    await withUserAgent(async (scratch) => {
      using _local = stateOfSomebody("Zoë Müller 鍵");
      await using portal = await startPortal(scratch);
      const before = await everything();
      const device = windowsDevice(undefined);
      const ledger = new ScratchLedger();
      const state = new State(":memory:", Date.now);
      const root = deviceRoot(scratch, state);
      Object.assign(scratch.world, windowsUser(undefined));
      scratch.pass(Date.now() - scratch.world.now());
      scratch.slice = { ...scratch.slice, keyAlgorithm: keyProvider().algorithms[0] };
      const filters = { brand: "JumpCloud", patterns: [portal.url] };
      try {
        const reports = device.writeFilters(filters, ledger);
        assert.ok(reports.every((report) => report.state === "ok"), JSON.stringify(reports));
        await root.install();
        await step(scratch, "installed");
        const { store, leafName = "" } = scratch.lastReport();
        assert.equal(store?.kind, "certstore");
        if (!WINE) assert.equal(await shownByEdge(portal), leafName);
        scratch.pass(17 * DAY);
        await step(scratch, "installed");
        assert.ok(scratch.asked.at(-1)?.leafSignature, "the elder's key signed for its successor");
      } finally {
        scratch.slice = { ...scratch.slice, wanted: false, final: true, leaves: [] };
        await step(scratch, "removed");
        assert.deepEqual(device.removeFilters("JumpCloud", ledger).left, []);
        assert.equal(await root.remove(), undefined);
        state.close();
      }
      assert.deepEqual(await everything(), before);
    });
  },
);

/** The user's own folder for state is below one of this name, until it is disposed of. */
function stateOfSomebody(name: string): Disposable {
  const usual = Deno.env.get("LOCALAPPDATA");
  const local = Deno.makeTempDirSync({ prefix: `${name} ` });
  Deno.env.set("LOCALAPPDATA", local);
  return {
    [Symbol.dispose]() {
      if (usual !== undefined) Deno.env.set("LOCALAPPDATA", usual);
      Deno.removeSync(local, { recursive: true });
    },
  };
}

function deviceRoot({ authority }: ScratchUserAgent, state: State): DeviceRoot {
  const device = {
    deviceId: "11111111-1111-4111-8111-111111111111",
    server: "https://agents.test",
    publicUrl: "https://agents.test",
    leaving: false,
    root: authority.root.pem,
  };
  const platform = windowsDevice(undefined);
  return new DeviceRoot({ state, platform, identity: { device }, log: openLog() });
}

/** One run of the user-agent, and what it has to report. */
async function step(scratch: ScratchUserAgent, state: string): Promise<void> {
  await runUserAgent(scratch.world);
  scratch.listIssued();
  const report = scratch.lastReport();
  assert.equal(report.state, state, JSON.stringify(report, null, 2));
}

/** What of anybody's is in the stores, among the policies, and in the user's folder. */
async function everything(): Promise<unknown> {
  const store = openCertstore(USER_STORES);
  try {
    const { certificates, keys } = await store.list();
    const folder = `${Deno.env.get("LOCALAPPDATA")}`;
    return {
      certificates: certificates.map(({ sha256 }) => sha256).toSorted(),
      keys,
      filter: await hasKey(POLICY),
      folder: [...Deno.readDirSync(folder)].filter(({ name }) => name === "Device Trust"),
    };
  } finally {
    store.close();
  }
}

/** A TLS server that asks for a leaf of this authority and notes which it was shown first. */
async function startPortal({ authority, home }: ScratchUserAgent) {
  const names = { names: ["localhost"], ips: [], now: new Date() };
  const { keyPem, certPem } = await openServerTls(`${home}/portal`, names);
  const ca = [authority.root.pem, authority.intermediate.pem];
  const tls = { key: keyPem, cert: certPem, ca, requestCert: true, rejectUnauthorized: false };
  const shown = Promise.withResolvers<string | undefined>();
  const server = createServer(tls, ({ socket }, response) => {
    const peer = "getPeerCertificate" in socket && typeof socket.getPeerCertificate === "function"
      ? socket.getPeerCertificate()
      : undefined;
    shown.resolve(peer?.subject?.CN);
    response.end("seen");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("It listens at no port.");
  return {
    url: `https://localhost:${address.port}`,
    shown: shown.promise,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a headless Edge shows the portal; one that asks its user shows nothing, and waits. */
async function shownByEdge(
  portal: { url: string; shown: Promise<string | undefined> },
): Promise<string | undefined> {
  const profile = await Deno.makeTempDir();
  const edge = new Deno.Command(EDGE, {
    args: [
      ...["--headless=new", "--no-first-run", "--disable-gpu", "--ignore-certificate-errors"],
      ...[`--user-data-dir=${profile}`, portal.url],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const patience = AbortSignal.timeout(120_000);
  try {
    return await Promise.race([
      portal.shown,
      new Promise<never>((_, reject) => {
        patience.addEventListener("abort", () => reject(new Error("Edge shows nothing: it asks.")));
      }),
    ]);
  } finally {
    edge.kill();
    await edge.status;
    // Its helpers hold the folder a moment longer than it lives.
    await Deno.remove(profile, { recursive: true }).catch(() => {});
  }
}
