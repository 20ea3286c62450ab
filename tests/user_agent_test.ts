/** The user-agent's run over a real CA, a real ledger and a store in memory. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { BROWSER_START_TIME, FILTER_READ_TIME } from "../agent/filter_timing.ts";
import { Ledger } from "../agent/ledger.ts";
import type { UserAgentReport } from "../agent/local_contract.ts";
import { KeyRefused } from "../agent/key_refused.ts";
import { ledgerPath } from "../agent/ledger_file.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { Problem } from "../platform/errors.ts";
import { HOUR, type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";

/** The serials and roles in a store, in words. */
function holds(scratch: ScratchUserAgent): { leaves: number; authorities: number; keys: number } {
  const { certificates, keys } = scratch.store;
  const { root, intermediate } = scratch.authority;
  const authorities =
    [root, intermediate].filter(({ der }) =>
      certificates.has(createHash("sha256").update(der).digest("hex"))
    ).length;
  return { leaves: certificates.size - authorities, authorities, keys: keys.size };
}

const nothing = { leaves: 0, authorities: 0, keys: 0 };
const whole = { leaves: 1, authorities: 2, keys: 1 };

Deno.test("a wanted user gets one leaf with its key, and the anchors", async () => {
  await withUserAgent(async (scratch) => {
    assert.equal(await runUserAgent(scratch.world), "done");
    const report = scratch.lastReport();
    assert.equal(report.state, "installed");
    assert.match(report.leafName ?? "", /^JumpCloud Device Trust Certificate - [0-9a-f]{8}$/);
    assert.deepEqual(report.held, [report.serial]);
    assert.deepEqual(holds(scratch), whole);
  });
});

Deno.test("asking again changes nothing and requests nothing", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.listIssued();
    const before = [...scratch.store.certificates.keys()];
    await runUserAgent(scratch.world);
    assert.equal(scratch.requests, 1);
    assert.deepEqual([...scratch.store.certificates.keys()], before);
  });
});

Deno.test("OFF removes leaf, key and anchors, and says so piece by piece", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, wanted: false, leaves: [] };
    await runUserAgent(scratch.world);
    const report = scratch.lastReport();
    assert.equal(report.state, "removed");
    assert.deepEqual(report.removed.map((item) => item.kind).toSorted(), [
      "intermediate",
      "key",
      "leaf",
      "root",
    ]);
    assert.deepEqual(holds(scratch), nothing);
  });
});

Deno.test("OFF for a user that never had anything makes nothing in the home", async () => {
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, wanted: false };
    await runUserAgent(scratch.world);
    assert.equal(scratch.lastReport().state, "removed");
    assert.deepEqual([...Deno.readDirSync(scratch.home)], []);
  });
});

Deno.test("leaving takes the ledger along", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, wanted: false, final: true, leaves: [] };
    await runUserAgent(scratch.world);
    assert.deepEqual(holds(scratch), nothing);
    assert.throws(() => Deno.lstatSync(scratch.world.stateDir), Deno.errors.NotFound);
  });
});

Deno.test("a leaving user whose store fails keeps the ledger, which knows what is ours", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, wanted: false, final: true, leaves: [] };
    scratch.fail = new Problem("store-locked", "Somebody holds it.");
    assert.equal(await runUserAgent(scratch.world), "again");
    assert.equal(scratch.lastReport().state, "removing");
    assert.ok(Deno.lstatSync(ledgerPath(scratch.world)).isFile);
    scratch.fail = undefined;
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.deepEqual(holds(scratch), nothing);
  });
});

Deno.test("a leaving user whose removal breaks off keeps the ledger, which knows what is left", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, wanted: false, final: true, leaves: [] };
    const { openStore } = scratch.world;
    scratch.world.openStore = (options) => ({
      ...openStore(options),
      removeKey: () => Promise.reject(new Problem("disk-full", "No room.")),
    });
    assert.equal(await runUserAgent(scratch.world), "again");
    scratch.world.openStore = openStore;
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.deepEqual(holds(scratch), nothing);
  });
});

Deno.test("a lost answer is asked for again with the same key", async () => {
  await withUserAgent(async (scratch) => {
    scratch.answer = () => {
      throw new Problem("unreachable", "The line was cut.");
    };
    assert.equal(await runUserAgent(scratch.world), "again");
    assert.equal(scratch.lastReport().state, "waiting");
    assert.deepEqual(holds(scratch), { leaves: 0, authorities: 0, keys: 1 });
    const [key] = scratch.store.keys.keys();
    scratch.answer = undefined;
    await runUserAgent(scratch.world);
    assert.deepEqual([...scratch.store.keys.keys()], [key]);
    assert.deepEqual(holds(scratch), whole);
  });
});

Deno.test("a key that the server will never certify is replaced, not asked for again and again", async () => {
  await withUserAgent(async (scratch) => {
    scratch.answer = () => {
      throw new Problem("unreachable", "No answer.");
    };
    await runUserAgent(scratch.world);
    const [pending] = scratch.store.keys.keys();
    scratch.answer = () => {
      throw new KeyRefused("This key belongs to another user.");
    };
    await runUserAgent(scratch.world);
    scratch.answer = undefined;
    assert.equal(await runUserAgent(scratch.world), "done");
    assert.equal(scratch.store.keys.size, 1);
    assert.ok(!scratch.store.keys.has(pending ?? ""));
  });
});

Deno.test("the leaf that the server revoked goes only after its successor is in", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    const old = scratch.lastReport().serial;
    scratch.slice = { ...scratch.slice, leaves: [] };
    scratch.answer = () => {
      throw new Problem("unreachable", "No answer.");
    };
    await runUserAgent(scratch.world);
    assert.equal(holds(scratch).leaves, 1);
    scratch.answer = undefined;
    await runUserAgent(scratch.world);
    assert.notEqual(scratch.lastReport().serial, old);
    assert.deepEqual(holds(scratch), whole);
  });
});

Deno.test("a leaf deleted by hand comes back with the same key", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.listIssued();
    const [key] = scratch.store.keys.keys();
    const leaf = scratch.issued.at(-1);
    scratch.store.certificates.delete(leaf?.sha256 ?? "");
    await runUserAgent(scratch.world);
    assert.deepEqual(holds(scratch), whole);
    assert.deepEqual([...scratch.store.keys.keys()], [key]);
  });
});

Deno.test("a lost ledger loses nothing: the leaf is known by its issuer and its device", async () => {
  await withUserAgent(async (scratch) => {
    await runUserAgent(scratch.world);
    scratch.listIssued();
    Deno.removeSync(scratch.world.stateDir, { recursive: true });
    await runUserAgent(scratch.world);
    assert.equal(scratch.requests, 1);
    assert.equal(scratch.lastReport().state, "installed");
    scratch.slice = { ...scratch.slice, wanted: false, leaves: [] };
    await runUserAgent(scratch.world);
    assert.equal(holds(scratch).leaves + holds(scratch).keys, 0);
  });
});

Deno.test("a leaf of our issuer for another device is left alone", async () => {
  await withUserAgent(async (scratch) => {
    const foreign = await scratch.issueFor("99999999-9999-4999-8999-999999999999");
    scratch.store.certificates.set(foreign.sha256, foreign.der);
    await runUserAgent(scratch.world);
    scratch.slice = { ...scratch.slice, wanted: false, leaves: [] };
    await runUserAgent(scratch.world);
    assert.deepEqual([...scratch.store.certificates.keys()], [foreign.sha256]);
    const ledger = new Ledger(ledgerPath(scratch.world), () => 0);
    try {
      assert.deepEqual(ledger.certificates(), []);
    } finally {
      ledger.close();
    }
  });
});

Deno.test("a first leaf waits until a running browser has read the filter", async () => {
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, filterWrittenAt: scratch.world.now() - 4000 };
    scratch.browsers = [{ name: "chromium", pid: 1, startedAt: 0 }];
    await runUserAgent(scratch.world);
    assert.deepEqual(scratch.slept, [FILTER_READ_TIME - 4000]);
    assert.deepEqual(holds(scratch), whole);
  });
});

Deno.test("a first leaf waits longer for a browser that was starting when the filter was written", async () => {
  await withUserAgent(async (scratch) => {
    const writtenAt = scratch.world.now() - 4000;
    scratch.slice = { ...scratch.slice, filterWrittenAt: writtenAt };
    scratch.browsers = [{ name: "chromium", pid: 1, startedAt: writtenAt - 1000 }];
    // The agent touched the filter a little late.
    const touchedAt = writtenAt + BROWSER_START_TIME + 300;
    scratch.afterSleep = () => {
      assert.equal(holds(scratch).leaves, 0);
      scratch.slice = { ...scratch.slice, filterWrittenAt: touchedAt };
    };
    await runUserAgent(scratch.world);
    assert.deepEqual(scratch.slept, [BROWSER_START_TIME + FILTER_READ_TIME - 4000, 300]);
    assert.deepEqual(holds(scratch), whole);
  });
});

Deno.test("without a running browser, or with the filter long written, it does not wait", async () => {
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, filterWrittenAt: scratch.world.now() };
    await runUserAgent(scratch.world);
    assert.deepEqual(scratch.slept, []);
  });
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, filterWrittenAt: scratch.world.now() - HOUR };
    scratch.browsers = [{ name: "chromium", pid: 1, startedAt: 0 }];
    await runUserAgent(scratch.world);
    assert.deepEqual(scratch.slept, []);
  });
});

Deno.test("an RSA leaf is made when the desired state asks for one", async () => {
  await withUserAgent(async (scratch) => {
    scratch.slice = { ...scratch.slice, keyAlgorithm: "RSA-2048" };
    await runUserAgent(scratch.world);
    assert.equal(scratch.lastReport().state, "installed");
    const [key] = scratch.store.keys.values();
    assert.equal(key?.asymmetricKeyType, "rsa");
  });
});

const hostile: [string, (scratch: ScratchUserAgent) => void][] = [
  ["for another key", (s) => s.tamper = (_, other) => other],
  ["of another authority", (s) => s.signer = s.stranger],
  ["of another user", (s) => s.userId = "88888888-8888-4888-8888-888888888888"],
  ["that is expired", (s) => s.skew = -900 * 24 * HOUR],
  ["that begins in the future", (s) => s.skew = 2 * HOUR],
  ["that is no certificate", (s) => s.tamper = () => "-----BEGIN CERTIFICATE-----\n!!\n"],
  ["that is cut short", (s) => s.tamper = (pem) => pem.slice(0, pem.length / 2)],
  ["with trailing garbage", (s) => s.tamper = (pem) => pem.replace("\n-----END", "AAAA\n-----END")],
];

for (const [what, prepare] of hostile) {
  Deno.test(`a bundle ${what} changes nothing, is named, and the next good one heals it`, async () => {
    await withUserAgent(async (scratch) => {
      prepare(scratch);
      assert.equal(await runUserAgent(scratch.world), "again");
      const report: UserAgentReport = scratch.lastReport();
      assert.equal(report.state, "failed");
      assert.equal(report.error?.code, "bundle-rejected");
      assert.equal(scratch.store.certificates.size, 0);
      scratch.behave();
      assert.equal(await runUserAgent(scratch.world), "done");
      assert.deepEqual(holds(scratch), whole);
    });
  });
}
