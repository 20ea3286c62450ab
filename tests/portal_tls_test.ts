/** The portal's listener as strangers to this code meet it: openssl and curl, over real TLS. */
import assert from "node:assert/strict";
import { Agent, request } from "node:https";
import { ChallengeAnswer } from "../mock_server/challenge.ts";
import { curl, type Portal, QUERY, withPortal } from "./portal_fixture.ts";
import { runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

const VERSIONS = ["tls1_2", "tls1_3"] as const;

/** What openssl printed of one challenge, and the answer where there was one. */
async function challengeByOpenssl(portal: Portal, ...args: string[]) {
  const { port } = new URL(portal.server.portalUrl);
  const host = `localhost:${port}`;
  const text = `GET /challenge?${QUERY} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const { out, err } = await runProgram(
    ["openssl"],
    ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", "localhost", "-ign_eof"]
      .concat("-CAfile", portal.server.serverCa, args),
    text,
  );
  // Behind the answer openssl may print a session, in which any character can stand.
  const json = /\r\n\r\n(\{[^{}]*\})/.exec(out)?.[1];
  return {
    printed: out + err,
    reused: /^Reused, /m.test(out),
    answer: json === undefined ? undefined : ChallengeAnswer.parse(JSON.parse(json)),
  };
}

function withKey(portal: Portal, key = "leaf.key"): string[] {
  const chain = portal.path("leaf.pem");
  return ["-cert", chain, "-cert_chain", chain, "-key", portal.path(key)];
}

for (const version of VERSIONS) {
  testWith(["openssl"], `over ${version} the leaf with its key is managed`, async () => {
    await withPortal(async (portal) => {
      const { answer, printed } = await challengeByOpenssl(
        portal,
        `-${version}`,
        ...withKey(portal),
      );
      assert.equal(answer?.reason, "ok", printed);
      assert.equal(answer?.serial, portal.leaf.serial);
      const without = await challengeByOpenssl(portal, `-${version}`);
      assert.equal(without.answer?.reason, "no-certificate");
    });
  });

  testWith(["openssl"], `over ${version} the leaf without its key gets nowhere`, async () => {
    await withPortal(async (portal) => {
      await Deno.writeTextFile(portal.path("forged.key"), await keyOfAnother(portal.leaf.key));
      const { answer, printed } = await challengeByOpenssl(
        portal,
        `-${version}`,
        ...withKey(portal, "forged.key"),
      );
      assert.equal(answer, undefined);
      // The runtime closes at once, and its alert does not always get out before that.
      assert.match(printed, /alert decrypt error|unexpected eof|Connection reset/);
    });
  });

  testWith(
    ["openssl"],
    `over ${version} a resumed session gets the verdict that a new one would`,
    async () => {
      await withPortal(async (portal) => {
        const { store, now } = portal.server.context;
        const session = portal.path("session");
        const first = [`-${version}`, ...withKey(portal), "-sess_out", session];
        const resumed = () => challengeByOpenssl(portal, `-${version}`, "-sess_in", session);
        assert.equal((await challengeByOpenssl(portal, ...first)).answer?.reason, "ok");
        const ok = await resumed();
        assert.ok(ok.reused, "nothing was resumed, so nothing was shown");
        assert.equal(ok.answer?.reason, "ok");
        assert.equal(ok.answer?.serial, portal.leaf.serial);
        store.certificates.revoke(portal.leaf.serial, "keyCompromise", now().getTime());
        const revoked = await resumed();
        assert.ok(revoked.reused);
        assert.equal(revoked.answer?.reason, "revoked");
        store.settings.update({ globalCertificateDistribution: false }, now().getTime());
        assert.equal((await resumed()).answer?.reason, "distribution-off");
      });
    },
  );

  testWith(
    ["openssl"],
    `over ${version} a session without a certificate gains none by being resumed`,
    async () => {
      await withPortal(async (portal) => {
        const session = portal.path("session");
        await challengeByOpenssl(portal, `-${version}`, "-sess_out", session);
        const { reused, answer } = await challengeByOpenssl(
          portal,
          `-${version}`,
          ...withKey(portal),
          "-sess_in",
          session,
        );
        assert.ok(reused);
        assert.equal(answer?.reason, "no-certificate");
      });
    },
  );
}

testWith(["openssl"], "the certificate request names the root, which Chrome goes by", async () => {
  await withPortal(async (portal) => {
    const { printed } = await challengeByOpenssl(portal);
    const names = /Acceptable client certificate CA names\n(.*)\n/.exec(printed)?.[1];
    assert.equal(names, "CN = JumpCloud Production Device Identification Root CA");
  });
});

testWith(["openssl"], "a certificate that anybody signed for themselves is untrusted", async () => {
  await withPortal(async (portal) => {
    const files = ["-keyout", portal.path("own.key"), "-out", portal.path("own.pem")];
    const own = await runProgram(
      ["openssl"],
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...files, "-days", "1"].concat(
        "-subj",
        `/CN=JumpCloud Device Trust Certificate - 0badcafe`,
        "-addext",
        `subjectAltName=URI:urn:device-trust:${portal.alice.deviceId}:${portal.alice.userId}`,
      ),
    );
    assert.equal(own.code, 0, own.err);
    const { answer } = await challengeByOpenssl(
      portal,
      ...["-cert", portal.path("own.pem"), "-key", portal.path("own.key")],
    );
    assert.equal(answer?.reason, "untrusted");
    assert.equal(answer?.deviceId, null);
    assert.equal(answer?.userId, null);
  });
});

Deno.test("on one connection the verdict follows the switch from request to request", async () => {
  await withPortal(async (portal) => {
    const { store, now } = portal.server.context;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      assert.deepEqual(await keptChallenge(portal, agent), { reused: false, reason: "ok" });
      store.settings.update({ globalCertificateDistribution: false }, now().getTime());
      const off = await keptChallenge(portal, agent);
      assert.deepEqual(off, { reused: true, reason: "distribution-off" });
      store.settings.update({ globalCertificateDistribution: true }, now().getTime());
      store.bindings.remove(portal.alice.deviceId, portal.alice.userId, now().getTime());
      const unbound = await keptChallenge(portal, agent);
      assert.deepEqual(unbound, { reused: true, reason: "user-not-managed" });
    } finally {
      agent.destroy();
    }
  });
});

testWith(["curl"], "curl is led over a fresh name to the page's verdict", async () => {
  await withPortal(async (portal) => {
    const { portalUrl } = portal.server;
    const jar = ["--cookie", portal.path("jar"), "--cookie-jar", portal.path("jar")];
    const key = ["--cert", portal.path("leaf.pem"), "--key", portal.path("leaf.key")];
    const follow = ["--location", "--write-out", "\n%{num_redirects} %{url_effective}"];
    const html = await curl(portal, `${portalUrl}/?${QUERY}`, ...jar, ...key, ...follow);
    assert.match(html, /<section id="verdict"[^>]* data-managed="true" data-reason="ok"/);
    assert.match(html, new RegExp(`\n2 ${portalUrl}/\\?[^\n]*&code=`));
    const { port } = new URL(portalUrl);
    const anyName = `https://anything.challenge.localhost:${port}/challenge?${QUERY}`;
    assert.equal(JSON.parse(await curl(portal, anyName, ...key)).reason, "ok");
  });
});

function keptChallenge(
  { server, path }: Portal,
  agent: Agent,
): Promise<{ reused: boolean; reason: string }> {
  const read = (name: string) => Deno.readTextFileSync(name);
  return new Promise((resolve, reject) => {
    const sent = request(`${server.portalUrl}/challenge?${QUERY}`, {
      agent,
      ca: read(server.serverCa),
      cert: read(path("leaf.pem")),
      key: read(path("leaf.key")),
    }, (response) => {
      let text = "";
      response.on("data", (chunk) => text += chunk);
      response.on("end", () => {
        const { reason } = ChallengeAnswer.parse(JSON.parse(text));
        resolve({ reused: sent.reusedSocket, reason });
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

/**
 * The key file of a thief: the public key of the leaf, so that openssl takes both for a pair, and
 * another private one. P-256 in PKCS#8 has the private number at 36 to 68.
 */
async function keyOfAnother(pem: string): Promise<string> {
  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const other = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const forged = Uint8Array.fromBase64(pem.replace(/-----[^-]+-----/g, ""));
  assert.deepEqual([...forged.subarray(34, 36)], [0x04, 0x20]);
  forged.set(other.subarray(36, 68), 36);
  return `-----BEGIN PRIVATE KEY-----\n${forged.toBase64()}\n-----END PRIVATE KEY-----\n`;
}
