import assert from "node:assert/strict";
import { Problem } from "../platform/errors.ts";
import { type DeviceReport, LIMITS } from "./contract.ts";
import { DeviceReports } from "./device_report.ts";
import { openLog } from "./log.ts";
import type { ServerAnswer, ServerRequest } from "./server_client.ts";
import { State, type UserRow } from "./state.ts";
import { UserRows } from "./user_rows.ts";

const ALICE = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const MALLORY = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/** An agent server of the moment, and what it has heard. */
class Scratch {
  readonly heard: DeviceReport[] = [];
  /** Status of the answer to a report. */
  judge: (report: DeviceReport) => number | Promise<number> = () => 204;
  /** Ends the wait for more of the kind. */
  endPause = () => {};
  readonly reports: DeviceReports;
  readonly #stop = new AbortController();

  constructor(readonly state: State) {
    const world = {
      state,
      log: openLog({ write: () => {} }),
      now: () => 0,
      random: () => 0.5,
      identity: { device: { deviceId: "device" } },
      client: {
        request: (request: ServerRequest) => this.#answer(request),
      },
      platform: {
        system: () =>
          Promise.resolve({ os: "linux" as const, hostname: "laptop", osVersion: "Test 1" }),
      },
      pause: () => new Promise<void>((resolve) => this.endPause = resolve),
    };
    const rows = new UserRows(world);
    this.reports = new DeviceReports(world, rows, () => [], this.#stop.signal);
  }

  save(userId: string, changes: Partial<UserRow> = {}): void {
    this.state.saveUser({
      userId,
      username: userId.slice(0, 1),
      state: "installed",
      details: { serial: "aa" },
      attempts: 0,
      unreported: true,
      removed: [],
      ...changes,
    });
  }

  /** Users that the server does not know of as they are. */
  unreported(): string[] {
    return this.state.users().filter((row) => row.unreported).map(({ userId }) => userId);
  }

  async #answer({ body }: ServerRequest): Promise<ServerAnswer> {
    const report: DeviceReport = JSON.parse(new TextDecoder().decode(body));
    const status = await this.judge(report);
    if (status === 0) throw new Problem("unreachable", "No answer.");
    if (status === 204) this.heard.push(report);
    return { status, headers: new Headers(), body: new Uint8Array() };
  }
}

async function withReports(test: (scratch: Scratch) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const state = new State(`${folder}/state.db`, () => 0);
  try {
    await test(new Scratch(state));
  } finally {
    state.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const names = ({ users }: DeviceReport) => users.map(({ userId }) => userId);

Deno.test("a report that one user has made unacceptable keeps nobody else's from the server", () =>
  withReports(async (scratch) => {
    scratch.save(ALICE);
    scratch.save(MALLORY);
    scratch.judge = (report) => names(report).includes(MALLORY) ? 413 : 204;
    await scratch.reports.now();
    assert.deepEqual(scratch.heard.map(names), [[ALICE]]);
    assert.deepEqual(scratch.unreported(), [MALLORY]);
    assert.ok(scratch.state.user(MALLORY)?.retryAt !== undefined, "it is tried again");
  }));

Deno.test("what is too much for one report comes in several", () =>
  withReports(async (scratch) => {
    const removed = Array.from({ length: LIMITS.removedItems }, () => {
      return { kind: "leaf" as const, id: "鍵".repeat(1000) };
    });
    const hostile = [1, 2].map((number) => MALLORY.replace(/.$/, `${number}`));
    for (const userId of hostile) scratch.save(userId, { removed });
    scratch.save(ALICE);
    await scratch.reports.now();
    assert.deepEqual(scratch.heard.flatMap(names).toSorted(), [ALICE, ...hostile]);
    for (const report of scratch.heard) {
      const bytes = new TextEncoder().encode(JSON.stringify(report)).length;
      assert.ok(bytes <= LIMITS.reportBytes, `${bytes} bytes`);
    }
    assert.equal(scratch.heard.length, 2);
  }));

Deno.test("a server out of reach is not asked for each user", () =>
  withReports(async (scratch) => {
    scratch.save(ALICE);
    scratch.save(MALLORY);
    let asked = 0;
    scratch.judge = () => {
      asked++;
      return 0;
    };
    await scratch.reports.now();
    assert.equal(asked, 1);
    assert.deepEqual(scratch.unreported(), [ALICE, MALLORY]);
  }));

Deno.test("what changes while a report is under way is in the next one", () =>
  withReports(async (scratch) => {
    scratch.save(ALICE, { state: "removed", removed: [{ kind: "leaf", id: "aa" }] });
    scratch.judge = () => {
      const [row] = scratch.state.users();
      assert.ok(row);
      const removed = [...row.removed, { kind: "filter" as const, id: "/policy.json" }];
      scratch.state.saveUser({ ...row, unreported: true, removed });
      scratch.judge = () => 204;
      return 204;
    };
    await Promise.all([scratch.reports.now(), scratch.reports.now()]);
    await scratch.reports.now();
    const told = scratch.heard.map(({ users }) => users[0]?.removed?.map(({ kind }) => kind));
    assert.deepEqual(told, [["leaf"], ["filter"]]);
    assert.deepEqual(scratch.unreported(), []);
  }));

Deno.test("news of several users within a moment is one report", () =>
  withReports(async (scratch) => {
    scratch.save(ALICE);
    const soon = scratch.reports.soon();
    scratch.save(MALLORY);
    await scratch.reports.soon();
    assert.deepEqual(scratch.heard, []);
    scratch.endPause();
    await soon;
    assert.deepEqual(scratch.heard.map(names), [[ALICE, MALLORY]]);
  }));
