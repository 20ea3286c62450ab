/** The portal behind a real proxy: nginx ends TLS and passes `Client-Cert` on (RFC 9440). */
import assert from "node:assert/strict";
import { parseCertificatePem } from "../ca/certificate.ts";
import { ChallengeAnswer } from "../mock_server/challenge.ts";
import { PROXY_ADDRESS, startNginx } from "./nginx.ts";
import { curl, type Portal, QUERY, withPortal } from "./portal_fixture.ts";
import { runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

const NEEDS = ["nginx", "curl", "openssl"] as const;
const HOUR_MS = 3_600_000;
const MANAGED = /<section id="verdict"[^>]* data-managed="true" data-reason="ok"/;

/** Runs `test` with a portal that trusts the nginx in front of it, and nobody else. */
async function behindProxy(
  test: (portal: Portal) => Promise<void>,
  now?: () => Date,
): Promise<void> {
  await withPortal(async (portal) => {
    await using _nginx = await startNginx(portal);
    await test(portal);
  }, { trustedProxies: ["127.0.0.1/32"], ...(now && { now }) });
}

/** Options with which curl meets the proxy under every name of the portal. */
function throughProxy(portal: Portal): string[] {
  const { port } = new URL(portal.server.portalUrl);
  return ["--resolve", `*:${port}:${PROXY_ADDRESS}`];
}

/** A browser of its own: options with its cookies, and its certificate where it has one. */
function browser(portal: Portal, name: string, key: string[] = []): string[] {
  const jar = portal.path(`${name}.cookies`);
  return [...throughProxy(portal), "--cookie", jar, "--cookie-jar", jar, ...key];
}

/** What the portal says of one challenge. */
async function challenge(portal: Portal, ...args: string[]): Promise<ChallengeAnswer> {
  const { portalUrl } = portal.server;
  return ChallengeAnswer.parse(
    JSON.parse(await curl(portal, `${portalUrl}/challenge?${QUERY}`, ...args)),
  );
}

function withKey(portal: Portal, name = "leaf"): string[] {
  return ["--cert", portal.path(`${name}.pem`), "--key", portal.path(`${name}.key`)];
}

function clientCert(portal: Portal, name = "Client-Cert"): string[] {
  return ["--header", `${name}: :${portal.leaf.der.toBase64()}:`];
}

/** Makes a certificate that nobody but itself vouches for. */
async function selfSign(portal: Portal, name: string, names = ["own"]): Promise<void> {
  const files = ["-keyout", portal.path(`${name}.key`), "-out", portal.path(`${name}.pem`)];
  const alternatives = ["-addext", `subjectAltName=${names.map((each) => `DNS:${each}`)}`];
  const made = await runProgram(
    ["openssl"],
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own", "-days", "1"]
      .concat(files, alternatives),
  );
  assert.equal(made.code, 0, made.err);
}

/** Where a page sends the browser on to. */
async function redirect(portal: Portal, url: string, browser: string[]): Promise<string> {
  const printed = ["--output", "/dev/null", "--write-out", "%{redirect_url}"];
  return await curl(portal, url, ...printed, ...browser);
}

testWith(NEEDS, "a leaf that the proxy took is managed, and its end counts at once", async () => {
  await behindProxy(async (portal) => {
    const { store, now } = portal.server.context;
    const through = throughProxy(portal);
    const ask = () => challenge(portal, ...through, ...withKey(portal));
    const first = await ask();
    assert.equal(first.reason, "ok");
    assert.equal(first.serial, portal.leaf.serial);
    store.certificates.revoke(portal.leaf.serial, "keyCompromise", now().getTime());
    assert.equal((await ask()).reason, "revoked");
    store.settings.update({ globalCertificateDistribution: false }, now().getTime());
    assert.equal((await ask()).reason, "distribution-off");
  });
});

testWith(NEEDS, "what a client itself sends as Client-Cert does not get through", async () => {
  await behindProxy(async (portal) => {
    const through = throughProxy(portal);
    assert.equal((await challenge(portal, ...through)).reason, "no-certificate");
    for (const name of ["Client-Cert", "client-cert", "Client_Cert"]) {
      const forged = await challenge(portal, ...through, ...clientCert(portal, name));
      assert.equal(forged.reason, "no-certificate", name);
    }
    const twice = [...clientCert(portal), ...clientCert(portal)];
    assert.equal((await challenge(portal, ...through, ...twice)).reason, "no-certificate");
    await selfSign(portal, "own");
    const beside = await challenge(
      portal,
      ...through,
      ...withKey(portal, "own"),
      ...clientCert(portal),
    );
    assert.equal(beside.reason, "untrusted");
    const own = await Deno.readTextFile(portal.path("own.pem"));
    assert.equal(beside.serial, parseCertificatePem(own).serial, "the presented one counted");
  });
});

testWith(NEEDS, "Client-Cert counts from the proxy's address and from no other", async () => {
  await behindProxy(async (portal) => {
    const stranger = ["--interface", "127.0.0.9"];
    const forged = await challenge(portal, ...stranger, ...clientCert(portal));
    assert.equal(forged.reason, "no-certificate");
    const own = await challenge(portal, ...stranger, ...clientCert(portal), ...withKey(portal));
    assert.equal(own.reason, "ok", "its own certificate counts as ever");
    const proxy = await challenge(portal, ...clientCert(portal));
    assert.equal(proxy.reason, "ok", "so it is the address that makes the difference");
  });
});

testWith(NEEDS, "a field of the proxy's that is malformed is untrusted", async () => {
  await behindProxy(async (portal) => {
    await selfSign(portal, "large", Array.from({ length: 40 }, (_, n) => `name-${n}.example.com`));
    const large = await challenge(portal, ...throughProxy(portal), ...withKey(portal, "large"));
    assert.deepEqual([large.reason, large.serial], ["untrusted", null], "too long to be joined");
    for (const bad of [":", "::", "MAA=", portal.leaf.der.toBase64(), ":MAA=:, :MAA=:", "ä"]) {
      const answer = await challenge(portal, "--header", `Client-Cert: ${bad}`);
      assert.deepEqual([answer.reason, answer.deviceId], ["untrusted", null], bad);
    }
  });
});

testWith(NEEDS, "the portal and not the proxy says that a leaf has expired", async () => {
  let offset = -3 * HOUR_MS;
  await behindProxy(async (portal) => {
    offset = 0;
    const answer = await challenge(portal, ...throughProxy(portal), ...withKey(portal));
    assert.equal(answer.reason, "expired");
    assert.equal(answer.serial, portal.leaf.serial);
  }, () => new Date(Date.now() + offset));
});

testWith(
  NEEDS,
  "policies see the address that the proxy saw, whatever the client says",
  async () => {
    await behindProxy(async (portal) => {
      const { store } = portal.server.context;
      const from = ["--interface", "127.0.0.7", "--header", "X-Forwarded-For: 192.0.2.99"];
      await challenge(portal, ...throughProxy(portal), ...from);
      const [event] = store.events.list({ limit: 1 }).items;
      assert.equal(event?.detail["ip"], "127.0.0.7");
    });
  },
);

testWith(NEEDS, "the proxy's certificate request names the root, as Chrome needs it", async () => {
  await behindProxy(async (portal) => {
    const { port } = new URL(portal.server.portalUrl);
    const { out } = await runProgram(
      ["openssl"],
      ["s_client", "-connect", `${PROXY_ADDRESS}:${port}`, "-servername", "localhost"]
        .concat("-alpn", "h2,http/1.1"),
    );
    const names = /Acceptable client certificate CA names\n(.*)\n/.exec(out)?.[1];
    assert.equal(names, "CN = JumpCloud Production Device Identification Root CA");
    assert.match(out, /ALPN protocol: http\/1\.1/, "names that shared a connection would share it");
  });
});

testWith(NEEDS, "the page leads over a fresh name of the proxy's, and back", async () => {
  await behindProxy(async (portal) => {
    const page = `${portal.server.portalUrl}/?${QUERY}`;
    const alice = browser(portal, "alice", withKey(portal));
    const fresh = await redirect(portal, page, alice);
    assert.match(new URL(fresh).hostname, /^[0-9a-f]{32}\.challenge\.localhost$/);
    const shown = await curl(portal, page, "--location", ...alice);
    assert.match(shown, MANAGED);
  });
});

testWith(NEEDS, "a challenge that was relayed to another browser gives no verdict", async () => {
  await behindProxy(async (portal) => {
    const page = `${portal.server.portalUrl}/?${QUERY}`;
    const [alice, thief] = [browser(portal, "alice", withKey(portal)), browser(portal, "thief")];
    const lure = await redirect(portal, page, thief);
    const back = await redirect(portal, lure, alice);
    assert.match(back, /&code=/, "she presented her leaf");
    const ca = ["-sS", "--cacert", portal.server.serverCa];
    const shown = await runProgram(["curl"], [...ca, ...alice, back]);
    assert.match(shown.out, /id="refusal"/);
    const gained = await curl(portal, back, "--location", ...thief);
    assert.match(gained, /data-managed="false" data-reason="no-certificate"/);
  });
});
