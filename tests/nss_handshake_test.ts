/** Challenges answered from NSS databases, as openssl and node:https see the answers. */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import { TLSSocket } from "node:tls";
import { ChallengeFixture, OpensslServer } from "./challenge_fixture.ts";
import { leavesUntouched, run } from "./nss_witness.ts";
import { testWith } from "./skip.ts";

const WITNESSES = ["libnss3", "certutil", "pk12util", "openssl"] as const;

/** Registers a test with a fixture of its own. */
function challengeTest(
  sentence: string,
  body: (fixture: ChallengeFixture) => Promise<void>,
): void {
  testWith(WITNESSES, sentence, async () => {
    using fixture = new ChallengeFixture();
    await body(fixture);
  });
}

for (const [version, name] of [["-tls1_2", "TLSv1.2"], ["-tls1_3", "TLSv1.3"]] as const) {
  for (const key of ["ec", "rsa"] as const) {
    challengeTest(
      `openssl verifies the ${key} leaf over ${name}; the database stays`,
      async (f) => {
        const sha256 = f.addLeaf("leaf", { key });
        const demand = ["-Verify", "5", "-verify_return_error", "-CAfile", f.path("root.pem")];
        await using server = await OpensslServer.start(f, version, ...demand);
        await leavesUntouched(f.database, async () => {
          const outcome = await f.challenge(server.port);
          assert.ok(outcome.answered, JSON.stringify(outcome));
          assert.equal(outcome.status, 200);
          assert.equal(outcome.protocol, name);
          assert.equal(outcome.serverVerified, true);
          assert.deepEqual(outcome.caNames, ["CN=Device Root"]);
          assert.deepEqual(outcome.presented, { sha256 });
        });
        const said = await server.ended();
        assert.match(said, /depth=2 CN = Device Root\nverify return:1/);
        assert.match(said, /depth=0 CN = leaf\nverify return:1/);
      },
    );
  }
}

challengeTest("node:https sees the leaf on a fresh name and its answer is read", async (f) => {
  const sha256 = f.addLeaf("leaf");
  const names: string[] = [];
  await withHttps(f, {}, (socket, url) => {
    names.push(`${socket.authorized} ${new URL(url ?? "", "https://x").searchParams.get("user")}`);
    return { managed: true, sent: socket.getPeerCertificate().fingerprint256 };
  }, async (port) => {
    const host = "0a1b.challenge.localhost";
    const outcome = await f.challenge(port, { host, path: "/challenge?user=a%40example.com" });
    assert.ok(outcome.answered, JSON.stringify(outcome));
    const { sent, managed } = JSON.parse(outcome.body);
    assert.equal(sent.replaceAll(":", "").toLowerCase(), sha256);
    assert.equal(managed, true);
  });
  assert.deepEqual(names, ["true a@example.com"]);
});

challengeTest("of several leaves the longest-lived of our issuer is presented", async (f) => {
  f.addLeaf("shorter", { days: 5 });
  const sha256 = f.addLeaf("longer", { days: 9 });
  f.addLeaf("longest, of another issuer", { days: 12, issuer: "root" });
  f.addLeaf("not for clients", { days: 15, usage: "emailProtection" });
  const seen: unknown[] = [];
  const note = (socket: TLSSocket) => (seen.push(socket.getPeerCertificate().subject.CN), {});
  await withHttps(f, {}, note, async (port) => {
    const outcome = await f.challenge(port);
    assert.deepEqual(outcome.presented, { sha256 });
    assert.deepEqual(seen, ["longer"]);
    assert.deepEqual(outcome.candidates?.map(({ issuerCommonName }) => issuerCommonName), [
      "Device Root",
      "device-trust.intermediate",
      "device-trust.intermediate",
    ]);
  });
});

challengeTest("a portal that names other authorities is offered nothing", async (f) => {
  f.addLeaf("leaf");
  await withHttps(f, { ca: f.read("elsewhere.pem") }, () => ({}), async (port) => {
    const outcome = await f.challenge(port);
    assert.ok(outcome.answered, JSON.stringify(outcome));
    assert.equal(outcome.requested, true);
    assert.deepEqual(outcome.caNames, ["CN=Somebody Else"]);
    assert.deepEqual(outcome.candidates, []);
    assert.equal(outcome.presented, undefined);
  });
});

challengeTest(
  "without the intermediate in the database the leaf reaches no authority",
  async (f) => {
    f.addLeaf("leaf");
    run("certutil", "-D", "-d", `sql:${f.database}`, "-n", "intermediate");
    await withHttps(f, {}, () => ({}), async (port) => {
      assert.deepEqual((await f.challenge(port)).candidates, []);
    });
  },
);

challengeTest("a server that asks for nothing gets nothing", async (f) => {
  f.addLeaf("leaf");
  await withHttps(f, { requestCert: false }, () => ({}), async (port) => {
    const outcome = await f.challenge(port);
    assert.ok(outcome.answered, JSON.stringify(outcome));
    assert.equal(outcome.requested, false);
    assert.equal(outcome.presented, undefined);
  });
});

challengeTest("a server of another authority or name is not talked to", async (f) => {
  f.addLeaf("leaf");
  const seen: unknown[] = [];
  const note = (socket: TLSSocket) => (seen.push(socket.getPeerCertificate()), {});
  await withHttps(f, {}, note, async (port) => {
    const other = await f.challenge(port, { serverCa: f.read("elsewhere.pem") });
    assert.ok(!other.answered);
    assert.equal(other.stage, "server");
    assert.match(other.message, /issuer \(Server CA\) is no authority that counts/);
    assert.match(other.message, /Cannot trust localhost:/);

    const name = await f.challenge(port, { host: "a.b.challenge.localhost" });
    assert.ok(!name.answered);
    assert.match(name.message, /not for a\.b\.challenge\.localhost but for localhost, /);

    const unknown = await f.challenge(port, { serverCa: undefined });
    assert.ok(!unknown.answered, "the system does not know the server's authority");
    assert.equal(unknown.stage, "server");
  });
  assert.deepEqual(seen, []);
});

challengeTest(
  "an authority that the database trusts for servers counts, as in browsers",
  async (f) => {
    const sha256 = f.addLeaf("leaf");
    const file = f.path("server-ca.pem");
    run("certutil", "-A", "-d", `sql:${f.database}`, "-n", "portal", "-t", "C,,", "-i", file);
    await withHttps(f, {}, () => ({}), async (port) => {
      const outcome = await f.challenge(port, { serverCa: undefined });
      assert.deepEqual(outcome.presented, { sha256 });
      assert.equal(outcome.serverVerified, true);
    });
  },
);

challengeTest("a server certificate for clients only is not a server's", async (f) => {
  f.addLeaf("leaf");
  f.issueServer("clientAuth");
  await withHttps(f, {}, () => ({}), async (port) => {
    const outcome = await f.challenge(port);
    assert.ok(!outcome.answered);
    assert.match(outcome.message, /not for TLS servers/);
  });
});

challengeTest("a portal that refuses the leaf says so, and which one it was", async (f) => {
  const sha256 = f.addLeaf("leaf");
  const demand = ["-Verify", "5", "-verify_return_error", "-CAfile", f.path("root.pem")];
  await using server = await OpensslServer.start(f, ...demand, "-verify_depth", "0");
  const outcome = await f.challenge(server.port);
  assert.ok(!outcome.answered, JSON.stringify(outcome));
  assert.ok(outcome.stage === "handshake" || outcome.stage === "answer", outcome.stage);
  assert.match(outcome.message, /SSL_ERROR_\w+_ALERT/);
  assert.deepEqual(outcome.presented, { sha256 });
});

challengeTest("a server that says nothing is given up in time", async (f) => {
  f.addLeaf("leaf");
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const outcome = await f.challenge(listener.addr.port, { timeoutMs: 300 });
  assert.ok(!outcome.answered);
  assert.equal(outcome.code, "unreachable");
  assert.match(outcome.message, /no answer in time/);
  (await accepted).close();
});

challengeTest(
  "a closed port, a name without address, a database that is none: each is told",
  async (f) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const closed = await f.challenge(port);
    assert.ok(!closed.answered && closed.stage === "connect" && closed.code === "unreachable");
    assert.match(
      closed.message,
      /^Cannot reach localhost:\d+: PR_Connect failed: PR_CONNECT_(REFUSED|RESET)_ERROR/,
    );

    const nobody = await f.challenge(port, { host: "nobody.invalid" });
    assert.ok(!nobody.answered && nobody.stage === "connect");
    assert.match(nobody.message, /its name leads to no address/);

    const none = await f.challenge(port, { directory: f.folder });
    assert.ok(!none.answered && none.stage === undefined);
    assert.match(none.message, /There is no certificate database that can be read in/);
    assert.deepEqual(
      [...Deno.readDirSync(f.folder)].filter(({ name }) => name.endsWith(".db")),
      [],
    );
  },
);

challengeTest("a database with a password is told, not asked about", async (f) => {
  f.addLeaf("leaf");
  Deno.writeTextFileSync(f.path("old"), "\n");
  Deno.writeTextFileSync(f.path("new"), "secret\n");
  run("certutil", "-W", "-d", `sql:${f.database}`, "-f", f.path("old"), "-@", f.path("new"));
  const outcome = await f.challenge(9);
  assert.ok(!outcome.answered);
  assert.equal(outcome.code, "store-password");
});

/** Runs `use` while a TLS server asks for certificates of the device root. */
async function withHttps(
  fixture: ChallengeFixture,
  options: { ca?: string; requestCert?: boolean },
  answer: (socket: TLSSocket, url: string | undefined) => unknown,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createServer({
    key: fixture.read("server.key"),
    cert: fixture.read("server.pem"),
    ca: fixture.read("root.pem"),
    requestCert: true,
    rejectUnauthorized: false,
    ...options,
  }, (request, response) => {
    response.setHeader("content-type", "application/json");
    // Written in two parts, so that it comes in chunks.
    response.write(" ");
    assert.ok(request.socket instanceof TLSSocket);
    response.end(JSON.stringify(answer(request.socket, request.url)));
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  try {
    await use(address.port);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
