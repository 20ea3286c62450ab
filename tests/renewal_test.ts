/** Renewal by the user-agent, over a real CA, a real ledger and a store in memory. */
import assert from "node:assert/strict";
import { RenewalWindow } from "../agent/contract.ts";
import type { LocalCertificateRequest, UserSlice } from "../agent/local_contract.ts";
import { certificateRequestBody, certificatesPath } from "../agent/local_contract.ts";
import { contentDigest } from "../agent/http_signature.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { parseCertificate } from "../ca/certificate.ts";
import type { IssuedLeaf } from "../ca/issue.ts";
import { sha256Hex } from "../ca/signature.ts";
import {
  importLeafKey,
  isSignatureBy,
  readSignature,
} from "../mock_server/signature_verification.ts";
import { Problem } from "../platform/errors.ts";
import { HOUR, type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";

const DAY = 24 * HOUR;

/** A user with a leaf that the server has listed. */
async function withLeaf(
  test: (scratch: ScratchUserAgent, leaf: IssuedLeaf) => Promise<void>,
  changes: Partial<UserSlice> = {},
): Promise<void> {
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, ...changes };
    await runUserAgent(scratch.world);
    scratch.listIssued();
    const [leaf] = scratch.issued;
    assert.ok(leaf);
    await test(scratch, leaf);
  });
}

/** Who signed a request, if the signature is good for what the agent sends. */
async function signedBy(
  scratch: ScratchUserAgent,
  { csr, leafSignature }: LocalCertificateRequest,
  leaf: IssuedLeaf,
): Promise<boolean> {
  if (!leafSignature) return false;
  const body = certificateRequestBody(csr);
  const fields: Record<string, string> = {
    ...leafSignature,
    "content-digest": await contentDigest(body),
  };
  const signature = readSignature({
    method: "POST",
    targetUri: scratch.slice.publicUrl + certificatesPath(scratch.slice),
    header: (name) => fields[name],
    body,
  }, "leaf");
  assert.ok(signature);
  assert.equal(signature.keyid, await sha256Hex(leaf.der));
  assert.equal(signature.created, Math.floor(scratch.world.now() / 1000));
  const key = await importLeafKey(parseCertificate(leaf.der).spki, signature.alg);
  return await isSignatureBy(signature, key);
}

for (const keyAlgorithm of ["P-256", "RSA-2048"] as const) {
  Deno.test(`a ${keyAlgorithm} leaf that is due is renewed with a new key, signed for by the old, and stays`, async () => {
    await withLeaf(async (scratch, leaf) => {
      const planned = scratch.lastReport().renewAt ?? "";
      scratch.pass(Date.parse(planned) - scratch.world.now() - 1000);
      await runUserAgent(scratch.world);
      assert.equal(scratch.requests, 1, "not a second early");
      scratch.pass(1000);
      assert.equal(await runUserAgent(scratch.world), "done");
      const [, renewal] = scratch.asked;
      assert.ok(renewal);
      assert.equal(await signedBy(scratch, renewal, leaf), true);
      const [, successor] = scratch.issued;
      const report = scratch.lastReport();
      assert.equal(report.state, "installed");
      assert.equal(report.serial, successor?.serial);
      assert.deepEqual(report.held.toSorted(), [leaf.serial, successor?.serial].toSorted());
      assert.equal(scratch.store.keys.size, 2);
      scratch.listIssued();
      await runUserAgent(scratch.world);
      assert.equal(scratch.requests, 2, "renewed once");
    }, { keyAlgorithm });
  });
}

Deno.test("after the overlap the elder leaves with its key", async () => {
  await withLeaf(async (scratch, leaf) => {
    scratch.slice = { ...scratch.slice, renewNow: true };
    await runUserAgent(scratch.world);
    const serial = scratch.lastReport().serial ?? "";
    scratch.slice = {
      ...scratch.slice,
      renewNow: false,
      leaves: [{ serial, status: "current" }],
    };
    await runUserAgent(scratch.world);
    const report = scratch.lastReport();
    assert.deepEqual(report.held, [serial]);
    assert.deepEqual(report.removed.map(({ kind }) => kind), ["leaf", "key"]);
    assert.equal(report.removed[0]?.id, leaf.serial);
    assert.equal(scratch.store.keys.size, 1);
  });
});

Deno.test("a renewal that fails leaves the leaf as it is, says so, and goes on with its key", async () => {
  await withLeaf(async (scratch, leaf) => {
    scratch.slice = { ...scratch.slice, renewNow: true };
    scratch.answer = () => {
      throw new Problem("unreachable", "The agent server is not there.");
    };
    assert.equal(await runUserAgent(scratch.world), "again");
    const report = scratch.lastReport();
    assert.equal(report.state, "renewing");
    assert.equal(report.error?.code, "unreachable");
    assert.equal(report.serial, leaf.serial);
    assert.deepEqual(report.held, [leaf.serial]);
    const keys = [...scratch.store.keys.keys()];
    scratch.answer = undefined;
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.deepEqual([...scratch.store.keys.keys()], keys, "no third key was made");
    assert.equal(scratch.lastReport().held.length, 2);
  });
});

Deno.test("a lost reply to a renewal is asked for again and gives the same leaf", async () => {
  await withLeaf(async (scratch) => {
    scratch.slice = { ...scratch.slice, renewNow: true };
    const { client } = scratch.world;
    const { certificate } = client;
    client.certificate = async (request) => {
      await certificate(request);
      throw new Problem("unreachable", "The reply was lost.");
    };
    await runUserAgent(scratch.world);
    client.certificate = certificate;
    await runUserAgent(scratch.world);
    assert.equal(scratch.issued.length, 2);
    assert.equal(scratch.lastReport().serial, scratch.issued[1]?.serial);
    assert.equal(scratch.store.keys.size, 2);
  });
});

Deno.test("the instant is drawn once for a window, kept over restarts, and drawn anew when the window moves", async () => {
  await withLeaf(async (scratch) => {
    const draws = [0.25, 0.75];
    scratch.world.random = () => draws.shift() ?? 0;
    const first = scratch.lastReport().renewAt;
    await runUserAgent(scratch.world);
    assert.equal(scratch.lastReport().renewAt, first);
    assert.equal(draws.length, 2);
    const start = scratch.world.now() + DAY;
    const moved = RenewalWindow.parse({
      start: new Date(start).toISOString(),
      end: new Date(start + DAY).toISOString(),
    });
    scratch.slice = { ...scratch.slice, renewal: moved };
    await runUserAgent(scratch.world);
    await runUserAgent(scratch.world);
    const report = scratch.lastReport();
    assert.deepEqual(report.renewal, moved);
    assert.equal(Date.parse(report.renewAt ?? ""), start + DAY / 4);
    assert.equal(scratch.requests, 1);
  });
});

Deno.test("a leaf that expired while the machine was off is replaced without its signature", async () => {
  await withLeaf(async (scratch, leaf) => {
    scratch.pass(31 * DAY);
    scratch.slice = { ...scratch.slice, leaves: [] };
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.equal(scratch.asked[1]?.leafSignature, undefined);
    const report = scratch.lastReport();
    assert.notEqual(report.serial, leaf.serial);
    assert.deepEqual(report.held, [report.serial]);
    assert.equal(scratch.store.keys.size, 1);
  });
});

Deno.test("a clock that is wrong renews nothing before the server has told the time", async () => {
  await withLeaf(async (scratch) => {
    scratch.pass(3650 * DAY);
    scratch.slice = { ...scratch.slice, clock: { offset: 0, known: false } };
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, clock: { offset: -3650 * DAY, known: true } };
    await runUserAgent(scratch.world);
    assert.equal(scratch.requests, 1);
    assert.equal(scratch.lastReport().held.length, 1);
  });
});
