/** `events`: the audit log, read by people and programs, also where no agent runs. */
import assert from "node:assert/strict";
import { State } from "../agent/state.ts";
import { ensureRootOwnedDir } from "../platform/files.ts";
import { inPassableFolder } from "./device_root.ts";
import { type Outcome, programFromSource, runProgram } from "./product.ts";
import { testWith } from "./skip.ts";

const HOUR = 3_600_000;
const ALICE = "22222222-2222-4222-8222-222222222222";
const DEVICE = {
  deviceId: "11111111-1111-4111-8111-111111111111",
  server: "https://agents.test",
  publicUrl: "https://agents.test",
  leaving: false,
};

/** A log with an event each hour of the last three, the last of alice, who writes what she likes. */
async function withLog(
  test: (
    log: { root: string; path: string; run: (...args: string[]) => Promise<Outcome> },
  ) => Promise<void>,
): Promise<void> {
  await inPassableFolder(async (root) => {
    const folder = `${root}/var/lib/device-trust`;
    ensureRootOwnedDir(folder, { mode: 0o700, root });
    const path = `${folder}/state.db`;
    let now = Date.now() - 3 * HOUR;
    const state = new State(path, () => now);
    state.saveDevice(DEVICE);
    const user = { state: "failed", details: {}, attempts: 0, unreported: true } as const;
    state.saveUser({ ...user, userId: ALICE, username: "alice", removed: [] });
    state.recordEvent("device.enrolled", DEVICE.deviceId);
    now += HOUR;
    state.recordEvent("desired-state.changed", 'ETag "1"');
    now += HOUR;
    state.recordEvent("user.failed", EVIL, ALICE);
    state.close();
    await test({ root, path, run: (...args) => runEvents(root, args) });
  });
}

const EVIL = "No home.\x1b]0;title\x07\n     9  2026-11-25 forged\x9b2J\u202e";

function runEvents(root: string, args: string[]) {
  return runProgram(programFromSource(root), ["events", ...args]);
}

Deno.test("each event is a line, oldest first, with its id, and steers no terminal", () =>
  withLog(async ({ run }) => {
    const { code, out, err } = await run();
    assert.deepEqual([code, err], [0, ""]);
    const lines = out.split("\n");
    assert.equal(lines.length, 4, "the last one ends, too");
    const [first = "", second = "", third = ""] = lines;
    const time = "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d [+-]\\d\\d:\\d\\d";
    assert.match(
      first,
      new RegExp(`^ {5}1 {2}${time} {2}device\\.enrolled +- +${DEVICE.deviceId}$`),
    );
    assert.match(third, new RegExp(`^ {5}3 {2}${time} {2}user\\.failed +alice  No home\\.`));
    assert.equal(second.indexOf("ETag"), third.indexOf("No home"), "aligned");
    assert.doesNotMatch(out.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
  }));

Deno.test("--json gives one document with what was recorded, and steers no terminal either", () =>
  withLog(async ({ run }) => {
    const { code, out } = await run("--json");
    assert.equal(code, 0);
    assert.doesNotMatch(out.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
    const { events } = JSON.parse(out);
    assert.deepEqual(Object.keys(events[0]), [
      ...["eventId", "at", "type", "userId", "username", "detail"],
    ]);
    assert.deepEqual(
      events.map(({ eventId, type, userId }: Record<string, unknown>) => [eventId, type, userId]),
      [[1, "device.enrolled", null], [2, "desired-state.changed", null], [3, "user.failed", ALICE]],
    );
    assert.equal(events[2].detail, EVIL);
    assert.match(events[2].at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }));

Deno.test("--since leaves out what was before", () =>
  withLog(async ({ run }) => {
    const ids = async (since: string) =>
      JSON.parse((await run("--json", "--since", since)).out).events
        .map(({ eventId }: { eventId: number }) => eventId);
    assert.deepEqual(await ids("90m"), [3]);
    assert.deepEqual(await ids("7d"), [1, 2, 3]);
    assert.deepEqual(await ids(new Date(Date.now() - 2.5 * HOUR).toISOString()), [2, 3]);
    assert.deepEqual(await ids("9999-01-01"), []);
    const { code, out, err } = await run("--since", "yesterday");
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /--since 'yesterday' must be a duration such as 30m/);
  }));

Deno.test("reading changes nothing", () =>
  withLog(async ({ run, path }) => {
    const before = await Deno.readFile(path);
    await run();
    await run("--json");
    assert.deepEqual(await Deno.readFile(path), before);
  }));

Deno.test("a device that has left shows what is left of the time before, with 3", () =>
  withLog(async ({ run, path }) => {
    const state = new State(path, Date.now);
    state.forgetDevice();
    state.recordEvent("device.left", DEVICE.deviceId);
    state.close();
    const { code, out, err } = await run();
    assert.equal(code, 3);
    assert.match(out, / user\.failed +22222222-2222-4222-8222-222222222222 /, "no longer named");
    assert.match(out, / device\.left .*\n$/);
    assert.match(err, /not enrolled; these events are of the time before/);
  }));

Deno.test("a device that was never enrolled has none, with 3", () =>
  inPassableFolder(async (root) => {
    const { code, out, err } = await runEvents(root, ["--json"]);
    assert.deepEqual([code, JSON.parse(out)], [3, { events: [] }]);
    assert.match(err, /not enrolled/);
    assert.deepEqual([...Deno.readDirSync(root)], [], "nothing was made");
  }));

testWith(
  ["root", "setpriv"],
  "who is not root is told who may read it",
  () =>
    withLog(async ({ root }) => {
      // Root's rights, but for the one to pass by what modes say; and the folder is another's.
      await Deno.chown(`${root}/var/lib/device-trust`, 61_301, 61_301);
      const program = programFromSource(root);
      const bounded = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"] as const;
      const { code, out, err } = await runProgram([...bounded, ...program], ["events"]);
      assert.deepEqual([code, out], [1, ""]);
      assert.match(err, /for root's eyes: sudo device-trust events/);
    }),
);
