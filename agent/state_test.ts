import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { sha256Hex } from "./verify.ts";
import { NewerDatabase } from "./database.ts";
import { Ledger } from "./ledger.ts";
import { lockFile, LockHeld, lockHolder } from "./lock.ts";
import { State, type UserRow } from "./state.ts";

const DAY = 86_400_000;

async function inFolder(test: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const user: UserRow = {
  userId: "22222222-2222-4222-8222-222222222222",
  username: "alice",
  uid: "1001",
  state: "failed",
  details: { held: ["aa"], serial: "aa" },
  error: { code: "store-locked", message: "Somebody holds it." },
  attempts: 3,
  retryAt: 12,
  checkedAt: 11,
  unreported: true,
  removed: [{ kind: "leaf", id: "aa" }],
};

Deno.test("State gives back what was saved, also after it was opened again", () =>
  inFolder((folder) => {
    const path = `${folder}/state.db`;
    const device = { server: "https://a.test", deviceId: "x", leaving: false };
    const first = new State(path, () => 1000);
    first.saveUser(user);
    first.saveDevice(device);
    first.saveSync({ lastSync: 5, clockOffset: -7 });
    first.saveDesired('"e"', "{}");
    first.recordDirectory("/b");
    first.recordDirectory("/a");
    first.close();
    const second = new State(path, () => 1000);
    assert.deepEqual(second.users(), [user]);
    assert.deepEqual(second.device(), device);
    assert.deepEqual(second.sync(), { lastSync: 5, clockOffset: -7 });
    assert.deepEqual(second.desired(), { etag: '"e"', body: "{}", receivedAt: 1000 });
    assert.deepEqual(second.createdDirectories(), ["/b", "/a"]);
    second.forgetDevice();
    assert.deepEqual([second.device(), second.users(), second.desired()], [
      undefined,
      [],
      undefined,
    ]);
    second.close();
  }));

Deno.test("the audit log only grows, and forgets after 90 days", () =>
  inFolder((folder) => {
    let now = 0;
    const state = new State(`${folder}/state.db`, () => now);
    const details = () => state.events(10).map((event) => event.detail);
    state.recordEvent("device.enrolled", "first");
    now = 89 * DAY;
    state.recordEvent("user.installed", "second", user.userId);
    state.forgetOldEvents(now);
    assert.deepEqual(details(), ["second", "first"]);
    now = 91 * DAY;
    state.recordEvent("user.removed", "third");
    assert.deepEqual(
      details(),
      ["third", "second", "first"],
      "not before the server told the time",
    );
    state.forgetOldEvents(now);
    assert.deepEqual(details(), ["third", "second"]);
    state.close();
  }));

Deno.test("events that a wrong clock dated are kept as long as those around them", () =>
  inFolder((folder) => {
    let now = 10_000 * DAY;
    const state = new State(`${folder}/state.db`, () => now);
    const details = () => state.events(10).map((event) => event.detail);
    for (const [at, detail] of [[10_000, "1"], [0, "2"], [20_000, "3"], [10_001, "4"]] as const) {
      now = at * DAY;
      state.recordEvent("device.enrolled", detail);
    }
    state.forgetOldEvents(10_002 * DAY);
    assert.deepEqual(details(), ["4", "3", "2", "1"]);
    state.forgetOldEvents(10_090.5 * DAY);
    assert.deepEqual(details(), ["4"]);
    state.forgetOldEvents(30_000 * DAY);
    assert.deepEqual(details(), ["4"], "the newest is there until there is another");
    state.close();
  }));

Deno.test("a clock that was set back does not keep a user's events out of the log", () =>
  inFolder((folder) => {
    let now = 1000 * DAY;
    const state = new State(`${folder}/state.db`, () => now);
    for (let number = 1; number <= 500; number++) {
      state.recordEvent("user.failed", `${number}`, user.userId);
    }
    now = 0;
    state.recordEvent("user.failed", "after", user.userId);
    assert.deepEqual(state.events(1).map(({ detail }) => detail), ["after"]);
    state.close();
  }));

Deno.test("of one user the audit log takes 500 entries a day, and all of everybody else", () =>
  inFolder((folder) => {
    let now = 0;
    const state = new State(`${folder}/state.db`, () => now);
    for (let number = 1; number <= 501; number++) {
      state.recordEvent("user.failed", `${number}`, user.userId);
    }
    assert.deepEqual(state.events(1).map(({ detail }) => detail), ["500"]);
    state.recordEvent("user.failed", "another's", "33333333-3333-4333-8333-333333333333");
    state.recordEvent("desired-state.changed", "the device's");
    now = DAY;
    state.recordEvent("user.installed", "the next day's", user.userId);
    assert.deepEqual(state.events(3).map(({ detail }) => detail), [
      "the next day's",
      "the device's",
      "another's",
    ]);
    state.close();
  }));

Deno.test("a state file of a newer version is refused and left as it is", () =>
  inFolder((folder) => {
    const path = `${folder}/state.db`;
    new State(path, () => 0).close();
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    const before = Deno.readFileSync(path);
    assert.throws(() => new State(path, () => 0), NewerDatabase);
    assert.deepEqual(Deno.readFileSync(path), before);
  }));

Deno.test("Ledger keeps keys with what is needed to ask for them again", () =>
  inFolder(async (folder) => {
    const ledger = new Ledger(`${folder}/ledger.db`, () => 0);
    const [spki, other] = [Uint8Array.of(1, 2), Uint8Array.of(3)];
    const [name, otherName] = [await sha256Hex(spki), await sha256Hex(other)];
    ledger.recordKey(name, spki, "RSA-2048");
    ledger.recordKey(otherName, other, "P-256");
    assert.deepEqual(ledger.keys(), [name, otherName]);
    assert.deepEqual(ledger.key(name), { spki, algorithm: "RSA-2048" });
    ledger.forgetKey(name);
    assert.deepEqual([ledger.keys(), ledger.key(name)], [[otherName], undefined]);
    ledger.close();
  }));

Deno.test("one lock, one holder; it is free again when the holder ends", () =>
  inFolder(async (folder) => {
    const path = `${folder}/agent.lock`;
    assert.equal(lockHolder(path), undefined);
    const script = `import { lockFile } from ${JSON.stringify(import.meta.resolve("./lock.ts"))};
      lockFile(${JSON.stringify(path)}, "fail"); console.log("held");
      await Deno.stdin.read(new Uint8Array(1));`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", script],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assert.deepEqual(lockHolder(path), { pid: child.pid });
    assert.throws(() => lockFile(path, "fail"), LockHeld);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    await child.stdin.close().catch(() => {});
    assert.equal(lockHolder(path), undefined);
    lockFile(path, "fail")[Symbol.dispose]();
  }));
