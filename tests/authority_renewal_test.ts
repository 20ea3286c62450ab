/** How a user's store follows the authority's generations: real CA and ledger, a store in memory. */
import assert from "node:assert/strict";
import { ledgerPath } from "../agent/ledger_file.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { describeCertificate } from "../agent/verify.ts";
import type { Generation } from "../ca/authority.ts";
import { sha256Hex } from "../ca/signature.ts";
import { Problem } from "../platform/errors.ts";
import { type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";

/** A user who holds a leaf of the first generation. */
async function withElderLeaf(
  test: (scratch: ScratchUserAgent, first: Generation) => Promise<void>,
): Promise<void> {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.listIssued();
    await test(scratch, scratch.authority);
  });
}

/** Which of these generations' authorities are in the store: "root 1, intermediate 1". */
async function authorities(scratch: ScratchUserAgent, ...of: Generation[]): Promise<string[]> {
  const names = await Promise.all(of.flatMap(({ number, root, intermediate }) =>
    [
      { name: `root ${number}`, der: root.der },
      { name: `intermediate ${number}`, der: intermediate.der },
    ].map(async ({ name, der }) => [await sha256Hex(der), name] as const)
  ));
  return names.filter(([sha256]) => scratch.store.certificates.has(sha256)).map(([, name]) => name);
}

async function leafIssuers(scratch: ScratchUserAgent): Promise<(string | undefined)[]> {
  const described = await Promise.all(
    [...scratch.store.certificates.values()].map((der) => describeCertificate(der)),
  );
  return described.filter(({ isCa }) => !isCa).map((leaf) => leaf.issuerKeyIdentifier);
}

/** The overlap of all but the newest leaf has ended. */
function endOverlap(scratch: ScratchUserAgent): void {
  const current = scratch.issued.at(-1);
  assert.ok(current);
  scratch.slice = {
    ...scratch.slice,
    renewNow: false,
    leaves: [{ serial: current.serial, status: "current" }],
  };
}

for (const what of ["intermediate", "root"] as const) {
  Deno.test(`a new ${what} comes in beside the old, which leaves with its last leaf`, async () => {
    await withElderLeaf(async (scratch, first) => {
      await scratch.renewAuthority(what);
      await runUserAgent(scratch.world);
      const second = scratch.authority;
      const ofFirst = ["root 1", "intermediate 1"];
      const both = what === "root"
        ? [...ofFirst, "root 2", "intermediate 2"]
        // The root is the same certificate.
        : ["root 1", "intermediate 1", "root 2", "intermediate 2"];
      assert.deepEqual(await authorities(scratch, first, second), both);
      assert.equal(scratch.requests, 1, "the leaf of before is good until its renewal");

      scratch.slice = { ...scratch.slice, renewNow: true };
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.deepEqual(
        (await leafIssuers(scratch)).toSorted(),
        [first.intermediate.keyIdentifier, second.intermediate.keyIdentifier].toSorted(),
      );
      assert.deepEqual(await authorities(scratch, first, second), both);

      endOverlap(scratch);
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.deepEqual(await leafIssuers(scratch), [second.intermediate.keyIdentifier]);
      const left = await authorities(scratch, first, second);
      assert.deepEqual(
        left,
        what === "root" ? ["root 2", "intermediate 2"] : ["root 1", "root 2", "intermediate 2"],
      );
      const kinds = scratch.lastReport().removed.map(({ kind }) => kind);
      const gone = what === "root" ? ["root", "intermediate"] : ["intermediate"];
      assert.deepEqual(kinds, ["leaf", "key", ...gone]);
    });
  });

  Deno.test(`OFF in the middle of a change of ${what} removes both generations`, async () => {
    await withElderLeaf(async (scratch) => {
      await scratch.renewAuthority(what);
      scratch.slice = { ...scratch.slice, renewNow: true };
      await runUserAgent(scratch.world);
      scratch.slice = { ...scratch.slice, wanted: false, leaves: [] };
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.equal(scratch.store.certificates.size, 0);
      assert.equal(scratch.store.keys.size, 0);
    });
  });

  Deno.test(`a reply lost before the ${what} changed gives the leaf of before, with its chain`, async () => {
    await withUserAgent(async (scratch) => {
      const { client } = scratch.world;
      const { certificate } = client;
      client.certificate = async (request) => {
        await certificate(request);
        throw new Problem("unreachable", "The reply was lost.");
      };
      assert.equal(await runUserAgent(scratch.world), "again");
      client.certificate = certificate;
      const first = scratch.authority;
      await scratch.renewAuthority(what);
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.equal(scratch.issued.length, 1);
      assert.deepEqual(await leafIssuers(scratch), [first.intermediate.keyIdentifier]);
      const chain = await authorities(scratch, first);
      assert.deepEqual(chain, ["root 1", "intermediate 1"]);
      scratch.listIssued();
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.deepEqual(await authorities(scratch, first), chain, "it stays with its leaf");
      assert.equal(scratch.requests, 2);
    });
  });
}

Deno.test("a leaf of an earlier generation is ours also when the ledger is lost", async () => {
  await withElderLeaf(async (scratch, first) => {
    await scratch.renewAuthority("root");
    for (const suffix of ["", "-wal", "-shm"]) {
      await Deno.remove(ledgerPath(scratch.world) + suffix).catch(() => {});
    }
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.equal(scratch.requests, 1);
    assert.deepEqual(await leafIssuers(scratch), [first.intermediate.keyIdentifier]);
    scratch.slice = { ...scratch.slice, wanted: false, leaves: [] };
    await runUserAgent(scratch.world);
    assert.deepEqual(await leafIssuers(scratch), []);
    assert.equal(scratch.store.keys.size, 0);
  });
});
