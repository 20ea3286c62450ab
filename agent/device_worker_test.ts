/** The worker over real state, with a platform and a server that record what is asked of them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Account } from "../platform/accounts.ts";
import { Problem } from "../platform/errors.ts";
import type { DevicePlatform, UserAgentExit } from "../platform/platform.ts";
import { systemPaths } from "../platform/paths.ts";
import type { DesiredState, DeviceReport } from "./contract.ts";
import { createDeviceKey } from "./new_device_key.ts";
import { DeviceWorker } from "./device_worker.ts";
import { BROWSER_START_TIME } from "./filter_timing.ts";
import { openLog } from "./log.ts";
import type { ServerAnswer, ServerClient, ServerRequest } from "./server_client.ts";
import { State } from "./state.ts";

const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;
const anchors = { root: pem("root"), intermediate: pem("intermediate") };
const deviceId = "11111111-1111-4111-8111-111111111111";
const alice = "22222222-2222-4222-8222-222222222222";
const bob = "33333333-3333-4333-8333-333333333333";
const filter = { browser: "chrome", location: "/policy.json", state: "ok", writtenAt: 7 } as const;

/** A device whose platform and server record, and do as the test says. */
class Scratch {
  readonly log: string[] = [];
  readonly reports: DeviceReport[] = [];
  readonly state: State;
  worker!: DeviceWorker;
  now = 1_000_000;
  serial = 0;
  filterWrittenAt = 7;
  reachable = true;
  /** Accounts that there are. */
  accounts = new Map([["alice", 1001], ["bob", 1002]]);
  /** What a user-agent does instead of its work. */
  userAgent: Map<string, () => Promise<UserAgentExit | undefined>> = new Map();
  /** Whose user-agents wait in no session, where they would. */
  readonly loggedOff = new Set<string>();

  constructor(readonly folder: string) {
    this.state = new State(`${folder}/state.db`, () => this.now);
  }

  async open(): Promise<this> {
    const device = {
      deviceId,
      server: "https://agents.test",
      publicUrl: "https://agents.test",
      ...anchors,
      leaving: false,
    };
    this.state.saveDevice(device);
    const key = await createDeviceKey(`${this.folder}/device.key`);
    this.worker = new DeviceWorker({
      state: this.state,
      platform: this.platform,
      identity: { device, key },
      client: this.client,
      program: { argv: ["device-trust"], env: {}, files: [] },
      log: openLog({ write: () => {}, text: false }),
      now: () => this.now,
      random: () => 0.5,
      pause: (milliseconds, signal) => this.#pause(milliseconds, signal),
      callUserAgent: (account) => {
        this.log.push(`channel ${account.name}`);
        return Promise.resolve(!this.loggedOff.has(account.name));
      },
    });
    return this;
  }

  /** Ends the pause that was begun last. */
  endPause = () => {};

  readonly client: ServerClient = {
    clock: { offset: 0, known: true },
    request: (request) => Promise.resolve(this.#answer(request)),
    close: () => {},
  };

  readonly platform: DevicePlatform = {
    os: "linux",
    paths: systemPaths({ os: "linux", root: "/nowhere" }),
    privileged: false,
    meeting: "sockets",
    makeRunFolders: () => {},
    readUserFile: () => undefined,
    system: () => Promise.resolve({ os: "linux", hostname: "laptop", osVersion: "Test 1" }),
    account: (name) => {
      const uid = this.accounts.get(name);
      if (uid === undefined) {
        return Promise.reject(new Problem("no-local-account", `There is no account '${name}'.`));
      }
      return Promise.resolve({ name, uid: String(uid), home: `/home/${name}`, runAs: "self" });
    },
    writeFilters: () => {
      this.log.push("write filters");
      return [{ ...filter, writtenAt: this.filterWrittenAt }];
    },
    inspectFilters: () => [filter],
    touchFilters: () => {
      this.log.push("touch filters");
      return [{ ...filter, writtenAt: this.now }];
    },
    removeFilters: () => {
      this.log.push("remove filters");
      return { removed: ["/policy.json"], removedDirectories: [], left: [] };
    },
    startUserAgent: (account) => this.#userAgent(account),
  };

  desired(users: DesiredState["users"], enabled = true): Promise<void> {
    const desired: DesiredState = {
      brand: "JumpCloud",
      distribution: { enabled },
      certificate: { keyAlgorithm: "P-256", overlapSeconds: 604800 },
      selection: { patterns: ["https://localhost:8443"] },
      macosApplications: [],
      trustAnchors: anchors,
      users,
    };
    return this.worker.desired(`"${++this.serial}"`, JSON.stringify(desired), false);
  }

  states(): Record<string, string> {
    return Object.fromEntries(this.state.users().map((row) => [row.username, row.state]));
  }

  async #userAgent(account: Account): Promise<UserAgentExit | undefined> {
    this.log.push(`run ${account.name}`);
    const instead = this.userAgent.get(account.name);
    if (instead) return await instead();
    const uid = account.uid;
    const slice = this.worker.requests.slice(uid);
    const serial = slice.leaves[0]?.serial ?? "aa";
    this.worker.requests.report(uid, {
      userId: slice.userId,
      state: slice.wanted ? "installed" : "removed",
      ...(slice.wanted ? { serial } : {}),
      held: slice.wanted ? [serial] : [],
      removed: slice.wanted ? [] : [{ kind: "leaf", id: serial }],
    });
    return { code: 0, timedOut: false, errors: "" };
  }

  #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    this.log.push(`pause ${milliseconds}`);
    return new Promise((resolve) => {
      this.endPause = resolve;
      signal.addEventListener("abort", () => resolve());
    });
  }

  #answer({ method, path, body }: ServerRequest): ServerAnswer {
    if (!this.reachable) throw new Problem("unreachable", "No answer.");
    this.log.push(`${method} ${path.split("/").at(-1)}`);
    if (path.endsWith("/reports")) this.reports.push(JSON.parse(new TextDecoder().decode(body)));
    return { status: 204, headers: new Headers(), body: new Uint8Array() };
  }
}

function row(scratch: Scratch) {
  const row = scratch.state.user(alice);
  assert.ok(row);
  return row;
}

async function withDevice(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const scratch = await new Scratch(folder).open();
  try {
    await test(scratch);
  } finally {
    scratch.worker.stop();
    scratch.state.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const user = (userId: string, username: string, ...serials: string[]) => ({
  userId,
  username,
  email: `${username}@example.com`,
  leaves: serials.map((serial) => ({ serial, status: "current" as const })),
});
const leafed = [user(alice, "alice", "aa"), user(bob, "bob", "aa")];

Deno.test("ON: filters first, then each user's channel and user-agent, then the report", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log, ["write filters", "channel alice", "run alice", "POST reports"]);
    assert.deepEqual(scratch.states(), { alice: "installed" });
    assert.deepEqual(scratch.reports.at(-1)?.users, [{
      userId: alice,
      state: "installed",
      serial: "aa",
      filters: [{ browser: "chrome", location: "/policy.json", state: "ok" }],
    }]);
  }));

Deno.test("the server's echo of what was just installed starts nothing", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    scratch.log.length = 0;
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log, ["write filters"]);
  }));

Deno.test("OFF: leaves go before the filters, so that no browser is left asking", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    scratch.log.length = 0;
    await scratch.desired(leafed, false);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log.slice(-2), ["remove filters", "POST reports"]);
    assert.deepEqual(scratch.states(), { alice: "removed", bob: "removed" });
    const removed = scratch.reports.at(-1)?.users.flatMap((user) => user.removed ?? []);
    assert.deepEqual(removed?.map((item) => item.kind).toSorted(), ["filter", "leaf", "leaf"]);
  }));

Deno.test("a new filter is touched once, for browsers that were starting when it was written", () =>
  withDevice(async (scratch) => {
    scratch.filterWrittenAt = scratch.now;
    scratch.userAgent.set("alice", async () => {
      scratch.now += BROWSER_START_TIME;
      scratch.endPause();
      await new Promise((resolve) => setTimeout(resolve, 0));
      assert.equal(scratch.worker.requests.slice("1001").filterWrittenAt, scratch.now);
      scratch.filterWrittenAt = scratch.now;
      return { code: 1, timedOut: false, errors: "" };
    });
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    await scratch.worker.sync(true);
    await scratch.worker.settle();
    const filters = scratch.log.filter((line) => /filter|pause/.test(line));
    const touched = [`pause ${BROWSER_START_TIME}`, "touch filters"];
    assert.deepEqual(filters, ["write filters", ...touched, "write filters"]);
  }));

Deno.test("a new filter is not touched when nobody waits for a browser, nor an old one", () =>
  withDevice(async (scratch) => {
    scratch.filterWrittenAt = scratch.now;
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    scratch.now += 60_000;
    await scratch.worker.sync(true);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log.filter((line) => /filter|pause/.test(line)), [
      "write filters",
      `pause ${BROWSER_START_TIME}`,
      "write filters",
    ]);
  }));

Deno.test("a user with another account leaves the former one before the new one is served", () =>
  withDevice(async (scratch) => {
    scratch.accounts.set("alice2", 1003);
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    scratch.userAgent.set("alice", () => {
      const slice = scratch.worker.requests.slice("1001");
      assert.deepEqual([slice.wanted, slice.final], [false, true]);
      scratch.worker.requests.report("1001", {
        userId: alice,
        state: "removed",
        held: [],
        removed: [{ kind: "leaf", id: "aa" }],
      });
      return Promise.resolve({ code: 0, timedOut: false, errors: "" });
    });
    scratch.log.length = 0;
    await scratch.desired([user(alice, "alice2", "aa")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log.filter((line) => line.startsWith("run")), [
      "run alice",
      "run alice2",
    ]);
    assert.deepEqual(scratch.states(), { alice2: "installed" });
    assert.deepEqual(scratch.reports.at(-1)?.users[0]?.removed, [{ kind: "leaf", id: "aa" }]);
  }));

Deno.test("the filters stay while one user's store cannot be emptied", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    scratch.userAgent.set("bob", () => {
      scratch.worker.requests.report("1002", {
        userId: bob,
        state: "removing",
        held: [],
        removed: [],
        error: { code: "store-locked", message: "Somebody holds it." },
      });
      return Promise.resolve({ code: 4, timedOut: false, errors: "" });
    });
    scratch.log.length = 0;
    await scratch.desired(leafed, false);
    await scratch.worker.settle();
    assert.ok(!scratch.log.includes("remove filters"));
    assert.deepEqual(scratch.states(), { alice: "removed", bob: "removing" });
    assert.equal(scratch.worker.needsAttention(), true);
    scratch.userAgent.clear();
    scratch.now += 600_000;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.ok(scratch.log.includes("remove filters"));
  }));

Deno.test("one user's stuck user-agent delays nobody else", () =>
  withDevice(async (scratch) => {
    let end = () => {};
    scratch.userAgent.set("alice", () =>
      new Promise((resolve) => {
        end = () => resolve({ code: 143, timedOut: true, errors: "" });
      }));
    await scratch.desired([user(alice, "alice"), user(bob, "bob")]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(scratch.states().bob, "installed");
    await scratch.desired([user(alice, "alice"), user(bob, "bob", "aa")], false);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(scratch.states().bob, "removed");
    end();
    scratch.userAgent.clear();
    await scratch.worker.settle();
    assert.equal(scratch.states().alice, "removed");
  }));

Deno.test("a user-agent that ends without a word is a failure, tried again after a pause", () =>
  withDevice(async (scratch) => {
    const silent = () => Promise.resolve({ code: 139, timedOut: false, errors: "" });
    scratch.userAgent.set("alice", silent);
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    const row = scratch.state.user(alice);
    assert.equal(row?.state, "failed");
    assert.match(row?.error?.message ?? "", /ended with code 139/);
    assert.equal(scratch.worker.nextTry(), scratch.now + 500);
    scratch.log.length = 0;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.ok(!scratch.log.includes("run alice"));
    scratch.now += 500;
    scratch.userAgent.clear();
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "installed" });
  }));

Deno.test("OFF does not wait for the pause of an ON that failed, nor ON for that of an OFF", () =>
  withDevice(async (scratch) => {
    const failing = () => Promise.resolve({ code: 139, timedOut: false, errors: "" });
    const settled = async (enabled: boolean) => {
      await scratch.desired([user(alice, "alice")], enabled);
      await scratch.worker.settle();
      return scratch.states().alice;
    };
    scratch.userAgent.set("alice", failing);
    assert.equal(await settled(true), "failed");
    scratch.userAgent.clear();
    assert.equal(await settled(false), "removed");
    assert.equal(await settled(true), "installed");
    scratch.userAgent.set("alice", failing);
    assert.equal(await settled(false), "removing");
    scratch.userAgent.clear();
    assert.equal(await settled(true), "installed");
  }));

Deno.test("a user without a local account is reported and asks for nothing", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "carol")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log, ["remove filters", "POST reports"]);
    assert.equal(scratch.reports[0]?.users[0]?.error?.code, "no-local-account");
    assert.equal(scratch.worker.needsAttention(), true);
  }));

Deno.test("a refused desired state changes nothing and is remembered as an event", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    const before = scratch.state.desired();
    scratch.log.length = 0;
    for (const body of ["{}", "<html>", "", '{"users": []}']) {
      await assert.rejects(scratch.worker.desired('"9"', body, true), Problem);
    }
    assert.deepEqual(scratch.log, []);
    assert.deepEqual(scratch.state.desired(), before);
    assert.equal(scratch.state.events(1)[0]?.type, "desired-state.refused");
  }));

Deno.test("a user that left the desired state is removed, reported, and then forgotten", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    await scratch.desired([user(bob, "bob", "aa")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { bob: "installed" });
    assert.ok(!scratch.log.includes("remove filters"));
    assert.equal(scratch.reports.at(-1)?.users[0]?.state, "removed");
  }));

Deno.test("a report that was not heard is sent again", () =>
  withDevice(async (scratch) => {
    scratch.reachable = false;
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    assert.equal(scratch.reports.length, 0);
    assert.ok((scratch.worker.nextTry() ?? Infinity) <= scratch.now + 1000);
    scratch.reachable = true;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.equal(scratch.reports.length, 1);
  }));

Deno.test("a report that is never heard is sent ever more rarely", () =>
  withDevice(async (scratch) => {
    scratch.reachable = false;
    await scratch.desired([user(alice, "alice", "aa")]);
    const pauses: number[] = [];
    for (let failure = 1; failure <= 12; failure++) {
      await scratch.worker.settle();
      const next = scratch.worker.nextTry() ?? Infinity;
      pauses.push(next - scratch.now);
      scratch.now = next;
      await scratch.worker.sync(false);
    }
    assert.deepEqual(pauses.slice(0, 4), [500, 1000, 2000, 4000]);
    assert.deepEqual(pauses.slice(-2), [150_000, 150_000]);
  }));

Deno.test("a report for another user is refused", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    const forged = { userId: bob, state: "removed" as const, held: [], removed: [] };
    assert.throws(() => scratch.worker.requests.report("1001", forged), Problem);
    assert.deepEqual(scratch.states(), { alice: "installed", bob: "installed" });
  }));

Deno.test("where filters are the device's, no user's word is taken for them", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    const filters = [{ ...filter, state: "shadowed" as const }];
    const report = { userId: alice, state: "installed" as const, serial: "aa", held: ["aa"] };
    scratch.worker.requests.report("1001", { ...report, removed: [], filters });
    assert.equal(scratch.state.user(alice)?.details.filters, undefined);
    assert.equal(scratch.worker.needsAttention(), false);
  }));

Deno.test("leaving empties every store once more, also those that OFF had emptied", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    await scratch.desired(leafed, false);
    await scratch.worker.settle();
    scratch.log.length = 0;
    await scratch.worker.leave("deleted");
    await scratch.worker.settle();
    assert.ok(scratch.log.includes("run alice") && scratch.log.includes("run bob"));
    assert.ok(!scratch.log.includes("POST reports"));
    assert.equal(scratch.worker.isClean(), true);
  }));

Deno.test("a look that the end of leaving overtakes writes nothing again", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    await scratch.worker.leave("unenrolled");
    await scratch.worker.settle();
    assert.equal(scratch.worker.isClean(), true);
    scratch.log.length = 0;
    const found = Promise.withResolvers<void>();
    const { account } = scratch.platform;
    scratch.platform.account = (name) => found.promise.then(() => account(name));
    // As the server's answer to leaving brings it about, too.
    const look = scratch.worker.sync(true);
    const device = scratch.state.device();
    assert.ok(device);
    scratch.state.endDevice(device);
    found.resolve();
    await look;
    await scratch.worker.settle();
    assert.ok(!scratch.log.includes("write filters"), scratch.log.join());
    assert.deepEqual(scratch.state.users(), []);
  }));

const window = { start: "1970-01-02T00:00:00Z", end: "1970-01-03T00:00:00Z" };

/** A user-agent that reports a leaf with a plan. */
function reports(scratch: Scratch, serial: string, renewAt: string) {
  return () => {
    scratch.worker.requests.report("1001", {
      userId: alice,
      state: "installed",
      serial,
      held: [serial],
      renewAt,
      renewal: window,
      removed: [],
    });
    return Promise.resolve({ code: 0, timedOut: false, errors: "" });
  };
}

Deno.test("a user-agent runs when a renewal is due by the server's clock, not before", () =>
  withDevice(async (scratch) => {
    scratch.client.clock.offset = 50_000;
    const due = Date.parse(window.start);
    scratch.userAgent.set("alice", reports(scratch, "aa", window.start));
    const users = [{ ...user(alice, "alice", "aa"), renewal: window }];
    scratch.now = due - 60_000;
    await scratch.desired(users);
    await scratch.worker.settle();
    assert.equal(scratch.worker.nextTry(), due - 50_000);
    scratch.log.length = 0;
    scratch.now = due - 50_001;
    await scratch.worker.sync(false);
    assert.ok(!scratch.log.includes("run alice"));
    scratch.now++;
    await scratch.worker.sync(false);
    assert.ok(scratch.log.includes("run alice"));
    await scratch.worker.settle();
  }));

Deno.test("no renewal is due before the server has told the time", () =>
  withDevice(async (scratch) => {
    scratch.userAgent.set("alice", reports(scratch, "aa", window.start));
    await scratch.desired([{ ...user(alice, "alice", "aa"), renewal: window }]);
    await scratch.worker.settle();
    scratch.client.clock.known = false;
    scratch.log.length = 0;
    scratch.now = Date.parse(window.end);
    scratch.state.saveUser({ ...row(scratch), checkedAt: scratch.now });
    await scratch.worker.sync(false);
    assert.ok(!scratch.log.includes("run alice"));
  }));

Deno.test("a clock that is set back ends pauses and looks that it planned when it was ahead", () =>
  withDevice(async (scratch) => {
    scratch.now = Date.parse(window.end);
    scratch.userAgent.set("bob", () => Promise.resolve({ code: 1, timedOut: false, errors: "" }));
    await scratch.desired(leafed);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "installed", bob: "failed" });
    scratch.log.length = 0;
    scratch.now -= 365 * 86_400_000;
    assert.ok((scratch.worker.nextTry() ?? Infinity) <= scratch.now, "it is time already");
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log.filter((did) => did.startsWith("run")), ["run alice", "run bob"]);
    const next = scratch.worker.nextTry() ?? Infinity;
    assert.ok(next > scratch.now && next <= scratch.now + 300_000, "bob has a pause again");
    scratch.log.length = 0;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.ok(!scratch.log.some((did) => did.startsWith("run")), "nothing is done over and over");
  }));

Deno.test("renew() has everybody, or one user, renew now, and says who did", () =>
  withDevice(async (scratch) => {
    await scratch.desired(leafed);
    await scratch.worker.settle();
    scratch.userAgent.set("alice", () => {
      assert.equal(scratch.worker.requests.slice("1001").renewNow, true);
      return reports(scratch, "bb", window.start)();
    });
    scratch.log.length = 0;
    assert.deepEqual(await scratch.worker.renew("alice"), [
      { username: "alice", renewed: true, serial: "bb" },
    ]);
    assert.ok(!scratch.log.includes("run bob"));
    const outcomes = await scratch.worker.renew();
    assert.deepEqual(outcomes.map(({ username, renewed }) => [username, renewed]), [
      ["alice", false],
      ["bob", false],
    ]);
    assert.equal(scratch.worker.requests.slice("1001").renewNow, undefined);
    assert.deepEqual(await scratch.worker.renew("carol"), []);
  }));

Deno.test("a settled store is looked at again after an hour", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    scratch.log.length = 0;
    scratch.now += 3_599_000;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.ok(!scratch.log.includes("run alice"));
    scratch.now += 1000;
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    assert.ok(scratch.log.includes("run alice"));
  }));

/** What alice's user-agent says that has come by itself. */
const installed = {
  userId: alice,
  state: "installed" as const,
  serial: "aa",
  held: ["aa"],
  removed: [],
};

Deno.test("who is not logged on waits, is not tried again, and is served when the session begins", () =>
  withDevice(async (scratch) => {
    scratch.loggedOff.add("alice");
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "waiting" });
    assert.equal(row(scratch).error?.code, "not-logged-on");
    assert.ok(!scratch.log.includes("run alice"));
    assert.equal(scratch.worker.nextTry(), undefined);
    scratch.worker.requests.report("1001", installed);
    assert.deepEqual(scratch.states(), { alice: "installed" });
    assert.equal(scratch.worker.nextTry(), scratch.now + 3_600_000);
  }));

Deno.test("who never logged on holds nothing, so that OFF is done without a session", () =>
  withDevice(async (scratch) => {
    scratch.loggedOff.add("alice");
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    await scratch.desired([], false);
    await scratch.worker.leave("unenrolled");
    await scratch.worker.settle();
    assert.equal(scratch.worker.isClean(), true);
  }));

Deno.test("who logged off keeps a leaf that is in order, and is not looked for without end", () =>
  withDevice(async (scratch) => {
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    scratch.loggedOff.add("alice");
    scratch.now += 3_600_000;
    await scratch.worker.sync(false);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "installed" });
    assert.equal(row(scratch).error, undefined);
    assert.equal(scratch.worker.nextTry(), undefined);
    await scratch.desired([user(alice, "alice", "aa")], false);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "removing" });
    assert.equal(scratch.worker.nextTry(), undefined);
  }));

Deno.test("a user-agent in its session has run when it has reported, or has had its time", () =>
  withDevice(async (scratch) => {
    scratch.userAgent.set("alice", () => Promise.resolve(undefined));
    await scratch.desired([user(alice, "alice")]);
    const isWaitedFor = async () => {
      while (scratch.log.at(-1) !== "pause 120000") {
        await new Promise((next) => setTimeout(next, 0));
      }
    };
    await isWaitedFor();
    scratch.endPause();
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "failed" });
    assert.match(row(scratch).error?.message ?? "", /longer than 120 s/);
    await scratch.worker.sync(true);
    await isWaitedFor();
    scratch.worker.requests.report("1001", installed);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "installed" });
  }));

Deno.test("a session that is needed and not there is waited for", () =>
  withDevice(async (scratch) => {
    const problem = new Problem("not-logged-on", "Nobody is logged on.");
    scratch.userAgent.set("alice", () => Promise.reject(problem));
    await scratch.desired([user(alice, "alice")]);
    await scratch.worker.settle();
    assert.deepEqual(scratch.states(), { alice: "waiting" });
  }));

Deno.test("a root that is all users' is there before the first runs, and leaves with the last", () =>
  withDevice(async (scratch) => {
    let held: string[] = [];
    const unused = () => Promise.reject(new Error("nobody asks for that"));
    scratch.platform.openDeviceStore = () => ({
      kind: "memory",
      location: "the test",
      createKey: unused,
      sign: unused,
      removeKey: unused,
      install: async (_role, der) => {
        held = [createHash("sha256").update(der).digest("hex")];
        scratch.log.push("install root");
        return await Promise.resolve();
      },
      list: () =>
        Promise.resolve({
          certificates: held.map((sha256) => {
            return { sha256, der: new Uint8Array(), hasKey: false };
          }),
          keys: [],
        }),
      removeCertificate: (sha256) => {
        held = held.filter((other) => other !== sha256);
        scratch.log.push("remove root");
        return Promise.resolve();
      },
      close: () => {},
    });
    await scratch.desired(leafed);
    await scratch.worker.settle();
    assert.deepEqual(scratch.log.slice(0, 2), ["write filters", "install root"]);
    scratch.log.length = 0;
    await scratch.desired([user(alice, "alice", "aa")]);
    await scratch.worker.settle();
    assert.ok(!scratch.log.includes("remove root"), "alice needs it still");
    scratch.log.length = 0;
    const [root] = held;
    await scratch.desired([user(alice, "alice", "aa")], false);
    await scratch.worker.settle();
    const order = ["run alice", "remove filters", "remove root", "POST reports"]
      .map((done) => scratch.log.lastIndexOf(done));
    assert.ok(order.every((at, index) => at > (order[index - 1] ?? -1)), scratch.log.join());
    const removed = scratch.reports.flatMap(({ users }) =>
      users.flatMap((row) => row.removed ?? [])
    );
    assert.ok(removed.some(({ kind, id }) => kind === "root" && id === root));
  }));
