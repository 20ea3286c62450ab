/**
 * Every way in which a leaf ends: at once on the list of revoked, with its reason, and at the
 * portal with the next request on a connection that was open before.
 */
import assert from "node:assert/strict";
import { Agent, request } from "node:https";
import type { RequestSigner } from "../agent/http_signature.ts";
import { ChallengeAnswer } from "../mock_server/challenge.ts";
import { newCsr, type ScratchDevice, signerOf } from "../mock_server/scratch_device.ts";
import { type ScratchRunning, withRunning } from "../mock_server/scratch_running.ts";
import { inFolder } from "./ask.ts";
import { administer, type Administration, runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

const EMAIL = "alice@example.com";
const OVERLAP_MS = 7 * 86_400_000;

/** A device with a leaf, whose browser keeps a connection to the portal. */
interface Stage {
  server: ScratchRunning;
  admin: Administration["admin"];
  device: ScratchDevice;
  userId: string;
  serial: string;
  /** The leaf's key. */
  signer: RequestSigner;
  folder: string;
}

/** A way for a leaf to end, and what is to be seen of it. */
interface End {
  what: string;
  end(stage: Stage): Promise<unknown>;
  /** As openssl prints it. */
  reason: string;
  verdict: ChallengeAnswer["reason"];
}

const ENDS: readonly End[] = [
  {
    what: "OFF",
    end: ({ admin }) => admin("PUT", "/settings", { globalCertificateDistribution: false }),
    reason: "Cessation Of Operation",
    verdict: "distribution-off",
  },
  {
    what: "OFF, and ON again,",
    async end({ admin }) {
      await admin("PUT", "/settings", { globalCertificateDistribution: false });
      await admin("PUT", "/settings", { globalCertificateDistribution: true });
    },
    reason: "Cessation Of Operation",
    verdict: "revoked",
  },
  {
    what: "unassigning the user",
    end: ({ admin, device, userId }) =>
      admin("DELETE", `/devices/${device.deviceId}/users/${userId}`),
    reason: "Affiliation Changed",
    verdict: "user-not-managed",
  },
  {
    what: "deleting the user",
    end: ({ admin, userId }) => admin("DELETE", `/users/${userId}`),
    reason: "Affiliation Changed",
    verdict: "user-not-managed",
  },
  {
    what: "deleting the device",
    end: ({ admin, device }) => admin("DELETE", `/devices/${device.deviceId}`),
    reason: "Cessation Of Operation",
    verdict: "device-deleted",
  },
  {
    what: "the device's own unenrolment",
    async end({ device }) {
      assert.equal((await device.request("DELETE", device.path(""))).status, 204);
    },
    reason: "Cessation Of Operation",
    verdict: "device-deleted",
  },
  {
    what: "an administrator's revocation without a reason",
    end: ({ admin, serial }) => admin("POST", `/certificates/${serial}/revoke`, {}),
    reason: "Privilege Withdrawn",
    verdict: "revoked",
  },
  {
    what: "an administrator's revocation of a stolen key",
    end: ({ admin, serial }) =>
      admin("POST", `/certificates/${serial}/revoke`, { reason: "keyCompromise" }),
    reason: "Key Compromise",
    verdict: "revoked",
  },
  {
    what: "the end of its overlap",
    async end({ server, device, userId, signer }) {
      const { answer } = await device.newLeaf(userId, signer);
      await device.report({ userId, state: "installed", serial: answer.serial });
      server.clock.now += OVERLAP_MS;
    },
    reason: "Superseded",
    verdict: "revoked",
  },
  {
    what: "a re-issue",
    end: ({ device, userId }) => device.newLeaf(userId),
    reason: "Superseded",
    verdict: "revoked",
  },
];

for (const { what, end, reason, verdict } of ENDS) {
  testWith(
    ["openssl"],
    `${what} revokes a leaf: ${reason}; at the portal: ${verdict}`,
    () =>
      withStage(async (stage, challenge) => {
        assert.deepEqual(await challenge(), { reused: false, reason: "ok" });
        assert.equal(await revocation(stage), undefined);
        await end(stage);
        assert.deepEqual(await challenge(), { reused: true, reason: verdict });
        assert.equal(await revocation(stage), reason);
      }),
  );
}

/** Runs `test` with a stage and its browser's question, which says whether a connection was reused. */
async function withStage(
  test: (
    stage: Stage,
    challenge: () => Promise<{ reused: boolean; reason: string }>,
  ) => Promise<void>,
): Promise<void> {
  await withRunning((server) =>
    inFolder(async (folder) => {
      const { device, userId } = await server.managed(EMAIL);
      const { csr, keys } = await newCsr();
      const response = await device.certificate(userId, csr);
      assert.equal(response.status, 201);
      const { serial, leaf, intermediate } = await response.json();
      const { sha256 = "" } = server.context.store.certificates.get(serial) ?? {};
      const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
      const agent = new Agent({
        keepAlive: true,
        maxSockets: 1,
        ca: server.caCertificate,
        cert: leaf + intermediate,
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toBase64()}\n-----END PRIVATE KEY-----\n`,
      });
      using administration = await administer(server.running);
      const { admin } = administration;
      const signer = signerOf("leaf", sha256, keys);
      try {
        await test(
          { server, admin, device, userId, serial, signer, folder },
          () => challengeOn(agent, server.running.portalUrl),
        );
      } finally {
        agent.destroy();
      }
    })
  );
}

function challengeOn(agent: Agent, portalUrl: string) {
  return new Promise<{ reused: boolean; reason: string }>((resolve, reject) => {
    const url = `${portalUrl}/challenge?user=${EMAIL}&resource=mail`;
    const sent = request(url, { agent }, (response) => {
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
 * The reason for which the list names the leaf now, as openssl prints it; undefined for one that is
 * not on it, and that openssl takes for good.
 */
async function revocation({ server, serial, folder }: Stage): Promise<string | undefined> {
  const { context: { authority, store, publicUrl }, clock } = server;
  const path = (name: string) => `${folder}/${name}`;
  const response = await server.fetch(new Request(`${publicUrl}/v1/crl`));
  assert.equal(response.status, 200);
  await Deno.writeFile(path("crl.der"), await response.bytes());
  await Deno.writeTextFile(path("leaf.pem"), store.certificates.get(serial)?.pem ?? "");
  await Deno.writeTextFile(path("root.pem"), authority.root.pem);
  await Deno.writeTextFile(path("intermediate.pem"), authority.intermediate.pem);
  const verified = await runProgram(
    ["openssl"],
    ["verify", "-crl_check", "-CRLfile", path("crl.der"), "-CAfile", path("root.pem")]
      // Lists and certificates have whole seconds: the next one is behind them.
      .concat("-attime", String(Math.ceil(clock.now / 1000)))
      .concat("-untrusted", path("intermediate.pem"), path("leaf.pem")),
  );
  const list = ["crl", "-inform", "DER", "-in", path("crl.der"), "-noout", "-text"];
  const { out } = await runProgram(["openssl"], list);
  const entry = out.split(/Serial Number: /).slice(1)
    .find((entry) => entry.toLowerCase().startsWith(serial));
  if (entry === undefined) assert.match(verified.out, /leaf\.pem: OK/, verified.err);
  else assert.match(verified.err, /certificate revoked/);
  return entry && /CRL Reason Code:\s+(.*)/.exec(entry)?.[1]?.trim();
}
