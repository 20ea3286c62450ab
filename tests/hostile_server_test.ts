/** A real agent process against a real TLS server that answers badly (DESIGN invariants 6 and 7). */
import assert from "node:assert/strict";
import { type DistortedServer, startElsewhere, withDistortedServer } from "./distorted_server.ts";
import { badAnswers, type Endless, type HostileAnswer, NO_JSON } from "./hostile_answers.ts";
import { hostileBundles } from "./hostile_bundles.ts";
import { HostileDevice, leavesIn } from "./hostile_device.ts";
import { hostileStates } from "./hostile_states.ts";
import { NSS_WITNESSES } from "./nss_witness.ts";
import { testWith } from "./skip.ts";

/** Most that an answer without end may send to one device: its bound, and what lies in buffers. */
const MOST_SENT = 16 * 1024 * 1024;

/** A server that may answer badly, a device that has a leaf, and one that never had any. */
interface World {
  folder: string;
  server: DistortedServer;
  installed: HostileDevice;
  fresh: HostileDevice;
  bad: HostileAnswer[];
  endless: Endless;
}

async function withWorld(test: (world: World) => Promise<void>): Promise<void> {
  await withDistortedServer(async (server, folder) => {
    await using elsewhere = await startElsewhere(server.tls);
    const installed = await HostileDevice.enroll(server, `${folder}/installed`);
    const fresh = await HostileDevice.enroll(server, `${folder}/fresh`);
    await installed.goodRound();
    const { answers: bad, endless } = badAnswers(elsewhere.url);
    await test({ folder, server, installed, fresh, bad, endless });
    assert.equal(elsewhere.visits(), 0, "somebody followed a redirect");
    assert.ok(endless.givenUp(), "somebody reads on");
    assert.ok(endless.sent() > 0 && endless.sent() < 2 * MOST_SENT, `${endless.sent()} bytes`);
  });
}

testWith(
  NSS_WITNESSES,
  "a bad desired state changes nothing and is told in words; the next good one heals it",
  async (t) => {
    await withWorld(async ({ folder, server, installed, fresh, bad }) => {
      const states = await hostileStates(`${folder}/stranger`);
      let had = await installed.holdings();
      const hadNothing = await fresh.holdings();
      const changesNothing = async ({ answer, words }: HostileAnswer) => {
        const bad = server.distort("desired-state", answer);
        const rounds = await Promise.all([installed.round(), fresh.round()]);
        bad[Symbol.dispose]();
        for (const { code, err } of rounds) {
          assert.equal(code, 1, err);
          assert.match(err, words);
        }
        assert.match(installed.lastError() ?? "", words);
        assert.deepEqual(await installed.holdings(), had);
        assert.deepEqual(await fresh.holdings(), hadNothing);
      };
      const heals = async () => {
        had = await installed.goodRound();
      };
      for (const hostile of bad) await t.step(hostile.what, () => changesNothing(hostile));
      await t.step("status tells of it, until a good answer comes", async () => {
        assert.match(await installed.told(), /^problem +Cannot reach the agent server/m);
        await heals();
        assert.doesNotMatch(await installed.told(), /problem/);
      });
      for (const hostile of [...NO_JSON, ...states]) {
        await t.step(hostile.what, async () => {
          await changesNothing(hostile);
          await heals();
        });
      }
      await t.step("the device that never had anything takes its first good one", async () => {
        await fresh.goodRound();
      });
    });
  },
);

testWith(
  NSS_WITNESSES,
  "a bad certificate answer installs and removes nothing, is told in words, and the next good one " +
    "heals it",
  async (t) => {
    await withWorld(async ({ folder, server, installed, fresh, bad }) => {
      const bundles = await hostileBundles(server.server.context.authority, folder);
      let had = await installed.holdings();
      /** Makes the device that has a leaf ask for another at once. */
      const revoke = async () => {
        const path = `/certificates/${had.row?.details.serial}/revoke`;
        await server.administrator.admin("POST", path, {});
      };
      const changesNothing = async ({ answer, words }: HostileAnswer) => {
        const bad = server.distort("certificates", answer);
        const rounds = await Promise.all([installed.round(), fresh.round()]);
        bad[Symbol.dispose]();
        for (const { code, err } of rounds) {
          assert.equal(code, 4, err);
          assert.match(err, words);
        }
        assert.match(installed.row()?.error?.message ?? "", words);
        assert.match(installed.lastUserEvent()?.detail ?? "", words);

        const [has, hasNothing] = [await installed.holdings(), await fresh.holdings()];
        assert.deepEqual(has.database?.trust, had.database?.trust);
        assert.deepEqual(has.database?.certificates, had.database?.certificates);
        assert.deepEqual(has.policies, had.policies);
        assert.deepEqual(has.row?.details, had.row?.details);
        // The key of the request waits for its answer, beside that of the leaf.
        assert.equal(newKeys(had.database?.keys, has.database?.keys).length, 1);
        assert.deepEqual(hasNothing.database?.certificates, []);
        assert.equal(hasNothing.database?.keys.length, 1);
        assert.deepEqual(hasNothing.row?.details.held, []);
      };
      const heals = async () => {
        const [old] = leavesIn(had);
        had = await installed.goodRound();
        assert.notEqual(leavesIn(had)[0], old);
      };
      await revoke();
      for (const hostile of bad) await t.step(hostile.what, () => changesNothing(hostile));
      await t.step("status tells of it, until a good answer comes", async () => {
        assert.match(await installed.told(), /^ +unreachable: Cannot reach the agent server/m);
        await heals();
        assert.doesNotMatch(await installed.told(), /unreachable/);
      });
      for (const hostile of [...NO_JSON, ...bundles]) {
        await t.step(hostile.what, async () => {
          await revoke();
          await changesNothing(hostile);
          await heals();
        });
      }
      await t.step("asking again and again leaves no more than one key", async () => {
        using _bad = server.distort("certificates", () => new Response(null, { status: 503 }));
        const [before] = [await fresh.holdings(), await fresh.round(), await fresh.round()];
        assert.deepEqual((await fresh.holdings()).database, before.database);
      });
      await t.step("the device that never had anything takes its first good one", async () => {
        const [key] = (await fresh.holdings()).database?.keys ?? [];
        const [id] = keyIds((await fresh.goodRound()).database?.keys);
        assert.equal(id, keyIds([key ?? ""])[0], "the key that was asked for all the time");
      });
    });
  },
);

function newKeys(before: string[] = [], after: string[] = []): string[] {
  const old = new Set(keyIds(before));
  assert.ok(keyIds(before).every((id) => keyIds(after).includes(id)), "a key is gone");
  return keyIds(after).filter((id) => !old.has(id));
}

/** The ids in lines of `certutil -K`: a key's name is its certificate's, and so may change. */
function keyIds(lines: readonly string[] = []): string[] {
  return lines.flatMap((line) => /\b[0-9a-f]{40}\b/.exec(line)?.[0] ?? []);
}
