/** Ledgers and state files whose bytes or rows are garbage, whoever or whatever made them so. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { DamagedDatabase, NewerDatabase } from "../agent/database.ts";
import { Ledger } from "../agent/ledger.ts";
import { ledgerSummary } from "../agent/ledger_summary.ts";
import { UserAgentReport } from "../agent/local_contract.ts";
import { State } from "../agent/state.ts";
import { ledgerPath } from "../agent/ledger_file.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { Problem } from "../platform/errors.ts";
import { inFolder } from "./ask.ts";
import { fuzz, mutatedBytes } from "./fuzz.ts";
import { type ScratchUserAgent, withUserAgent } from "./scratch_user_agent.ts";

const ODD = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("", "aa", "/", "/etc", "directory", "leaf", "root", "{}", "[]", "null", "{"),
);
const NUMBER = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, -1, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
);

/** Statements that make a row of each table of a ledger garbage. */
const garbage = fc.oneof(
  fc.tuple(fc.constant("UPDATE key SET spki = ?"), fc.uint8Array({ maxLength: 120 })),
  fc.tuple(fc.constant("UPDATE key SET algorithm = ?"), ODD),
  fc.tuple(fc.constant("UPDATE OR REPLACE key SET spki_sha256 = ?"), ODD),
  fc.tuple(fc.constant("UPDATE key SET created_at = ?"), NUMBER),
  fc.tuple(fc.constant("UPDATE key SET applications = ?"), ODD),
  fc.tuple(fc.constant("INSERT OR IGNORE INTO filter VALUES (?, 0)"), ODD),
  fc.tuple(fc.constant("INSERT OR IGNORE INTO key VALUES (?, x'30', 'P-256', 0, '[1]')"), ODD),
  fc.tuple(fc.constant("UPDATE certificate SET role = ?"), ODD),
  fc.tuple(fc.constant("UPDATE OR REPLACE certificate SET sha256 = ?"), ODD),
  fc.tuple(fc.constant("UPDATE certificate SET serial = ?"), ODD),
  fc.tuple(fc.constant("INSERT OR IGNORE INTO certificate VALUES (?, 'leaf', 'aa', '', 0)"), ODD),
  fc.tuple(fc.constant("INSERT OR IGNORE INTO created_path VALUES (?, 'directory')"), ODD),
  fc.tuple(fc.constant("UPDATE renewal SET renew_at = ?"), NUMBER),
  fc.tuple(fc.constant("UPDATE renewal SET window_start = ?"), ODD),
  fc.tuple(fc.constant("UPDATE OR REPLACE renewal SET serial = ?"), ODD),
  fc.tuple(fc.constant("INSERT OR REPLACE INTO summary VALUES (1, ?)"), ODD),
);

/** What a run may end in: a report that the agent takes, whatever it says. */
async function runs(scratch: ScratchUserAgent): Promise<UserAgentReport> {
  await runUserAgent(scratch.world);
  return UserAgentReport.parse(JSON.parse(JSON.stringify(scratch.lastReport())));
}

/** A user with a leaf, and a stranger's things in the same store. */
async function withLeaf(
  test: (scratch: ScratchUserAgent, path: string, foreign: string) => Promise<void>,
): Promise<void> {
  await withUserAgent(async (scratch) => {
    const stranger = await scratch.issueFor("99999999-9999-4999-8999-999999999999");
    scratch.store.certificates.set(stranger.sha256, stranger.der);
    await runUserAgent(scratch.world);
    scratch.listIssued();
    await test(scratch, ledgerPath(scratch.world), stranger.sha256);
  });
}

Deno.test("with a ledger of garbage bytes a run says what is wrong, and the next sound one converges", async () => {
  await withLeaf(async (scratch, path, foreign) => {
    const sound = await Deno.readFile(path);
    const before = [...scratch.store.certificates.keys()].toSorted();
    let used = 0;
    await fuzz("bytes of ledger.db", damaged(sound), 250, async (bytes) => {
      await removeSides(path);
      await Deno.writeFile(path, bytes);
      const report = await runs(scratch);
      if (report.state === "installed") used++;
      else assert.match(report.error?.message ?? "", /\S/);
      assert.ok(scratch.store.certificates.has(foreign), "a stranger's certificate is gone");
      // It may have believed what it read, and have asked for a leaf anew.
      if (scratch.issued.length > 1) scratch.listIssued();
    });
    assert.ok(used > 0, "most of a file's bytes mean nothing");
    await removeSides(path);
    await Deno.remove(path, { recursive: true });
    for (let round = 0; round < 3; round++) {
      assert.equal((await runs(scratch)).state, "installed");
      scratch.listIssued();
    }
    const { held } = await runs(scratch);
    assert.ok(held.length >= 1 && held.length <= 2);
    assert.ok(before.includes(foreign) && scratch.store.certificates.has(foreign));
  });
});

Deno.test("rows of garbage cost no stranger's certificate, and do not outlast the next runs", async () => {
  const changes = fc.array(garbage, { minLength: 1, maxLength: 4 });
  await withLeaf(async (scratch, path, foreign) => {
    await fuzz("rows of ledger.db", changes, 60, async (statements) => {
      const database = new DatabaseSync(path);
      for (const [sql, value] of statements) database.prepare(sql).run(value);
      database.close();
      await runs(scratch);
      scratch.listIssued();
      await runs(scratch);
      scratch.listIssued();
      const { state, held, error } = await runs(scratch);
      assert.equal(state, "installed", `${JSON.stringify(statements)}: ${error?.message}`);
      assert.ok(held.length >= 1 && held.length <= 2, held.join());
      assert.ok(scratch.store.certificates.has(foreign), "a stranger's certificate is gone");
    });
  });
});

Deno.test("a user's own status survives whatever their ledger says of the last run", async () => {
  const valid = { userId: "a", state: "installed", held: [], removed: [] };
  const inputs = fc.oneof(fc.json(), ODD, fc.constant(JSON.stringify(valid)));
  await inFolder(async (home) => {
    const was = Deno.env.get("HOME");
    const folder = `${home}/.local/state/device-trust`;
    await Deno.mkdir(folder, { recursive: true });
    const ledger = new Ledger(`${folder}/ledger.db`, Date.now);
    Deno.env.set("HOME", home);
    try {
      await fuzz("summaries", inputs, 300, (body) => {
        ledger.saveSummary(body);
        assert.equal(ledgerSummary({ os: "linux" }, Date.now), undefined);
      });
    } finally {
      ledger.close();
      if (was === undefined) Deno.env.delete("HOME");
      else Deno.env.set("HOME", was);
    }
  });
});

Deno.test("a state.db of garbage bytes is read or refused by SQLite, and nothing worse", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/state.db`;
    const made = new State(path, Date.now);
    made.saveDevice({ server: "https://agents.test", leaving: false, deviceId: "a" });
    made.saveDesired('"1"', "{}");
    made.recordEvent("device.enrolled", "a");
    made.close();
    const sound = await Deno.readFile(path);
    await fuzz("bytes of state.db", damaged(sound), 400, async (bytes) => {
      await removeSides(path);
      await Deno.writeFile(path, bytes);
      let state: State | undefined;
      try {
        state = new State(path, Date.now);
        state.device();
        state.desired();
        state.users();
        state.sync();
        state.events(10);
        state.recordEvent("agent.started", "");
      } catch (error) {
        assert.ok(
          [NewerDatabase, DamagedDatabase, Problem, SyntaxError].some((type) =>
            error instanceof type
          ) || error instanceof Error && "code" in error && error.code === "ERR_SQLITE_ERROR",
          String(error),
        );
      } finally {
        state?.close();
      }
    });
  });
});

/** Damage where it hurts, in the header and the schema, and anywhere else. */
function damaged(sound: Uint8Array): fc.Arbitrary<Uint8Array> {
  const head = mutatedBytes(sound.slice(0, 200))
    .map((bytes) => Uint8Array.of(...bytes, ...sound.subarray(200)));
  return fc.oneof(mutatedBytes(sound), head, fc.uint8Array({ maxLength: 5000 }));
}

/** What SQLite keeps beside a database belongs to the one that was there. */
async function removeSides(path: string): Promise<void> {
  for (const side of ["-wal", "-shm", "-journal"]) {
    await Deno.remove(path + side).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
