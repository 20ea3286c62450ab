/** A device whose agent is a process of one round, and what is on it before and after one. */
import assert from "node:assert/strict";
import { type EventRow, State, type UserRow } from "../agent/state.ts";
import { databaseOf, databaseState, homeOf, makeDeviceRoot } from "./device_root.ts";
import type { DistortedServer } from "./distorted_server.ts";
import { type CertutilState, treeState } from "./nss_witness.ts";
import {
  driveDevice,
  type Outcome,
  type Program,
  programFromSource,
  runProgram,
} from "./product.ts";

/** The local account of every such device's managed user. */
const ALICE = "alice";

/** What a device holds for its user. */
export interface Holdings {
  /** By certutil; undefined where there is no database. */
  database: CertutilState | undefined;
  /** Everything below the home, byte for byte. */
  home: string[];
  /** Everything below `/etc`, where the selection filters are. */
  policies: string[];
  row: UserRow | undefined;
}

/** A device with one managed user. */
export class HostileDevice {
  readonly program: Program;

  private constructor(
    readonly root: string,
    readonly deviceId: string,
    readonly userId: string,
  ) {
    this.program = programFromSource(root);
  }

  /** Enrols one below `root`, with a user bound to its account; nothing is installed yet. */
  static async enroll(server: DistortedServer, root: string): Promise<HostileDevice> {
    await makeDeviceRoot(root, [ALICE]);
    const deviceId = await driveDevice(programFromSource(root)).enroll(server);
    const { admin } = server.administrator;
    const email = `${deviceId}@example.com`;
    const userId = String(Object(await admin("POST", "/users", { email })).userId);
    await admin("PUT", `/devices/${deviceId}/users/${userId}`, { username: ALICE });
    return new HostileDevice(root, deviceId, userId);
  }

  /** One round of the agent. */
  async round(): Promise<Outcome> {
    return await runProgram(this.program, ["agent", "--once"]);
  }

  /** A round that leaves one leaf with its key and nothing to be desired. */
  async goodRound(): Promise<Holdings> {
    const { code, err } = await this.round();
    assert.equal(code, 0, err);
    const holdings = await this.holdings();
    assert.deepEqual(
      { leaves: leavesIn(holdings).length, keys: holdings.database?.keys.length },
      { leaves: 1, keys: 1 },
    );
    assert.equal(holdings.row?.state, "installed");
    assert.equal(holdings.row?.error, undefined);
    assert.equal(this.lastError(), undefined);
    return holdings;
  }

  /** What `status` tells an operator. */
  async told(): Promise<string> {
    return (await runProgram(this.program, ["status"])).out;
  }

  async holdings(): Promise<Holdings> {
    return {
      database: await databaseState(databaseOf(this.root, ALICE)),
      home: treeState(homeOf(this.root, ALICE)),
      policies: treeState(`${this.root}/etc`),
      row: this.row(),
    };
  }

  row(): UserRow | undefined {
    return this.#read((state) => state.user(this.userId));
  }

  /** The newest event of the user's trouble. */
  lastUserEvent(): EventRow | undefined {
    return this.events().find(({ type }) => type === "user.failed" || type === "user.waiting");
  }

  /** The newest events first. */
  events(): EventRow[] {
    return this.#read((state) => state.events(1000));
  }

  /** The device's own trouble. */
  lastError(): string | undefined {
    return this.#read((state) => state.sync().error?.message);
  }

  #read<T>(look: (state: State) => T): T {
    const state = new State(`${this.root}/var/lib/device-trust/state.db`, Date.now);
    try {
      return look(state);
    } finally {
      state.close();
    }
  }
}

/** The names of our leaves. */
export function leavesIn({ database }: Holdings): string[] {
  return Object.keys(database?.trust ?? {})
    .filter((name) => name.includes("Device Trust Certificate - "));
}
